//! Plans of an exported log: who approved exactly what, what was granted, what the host signed.
//!
//! Owns the chain plan → grant → receipt → event. Invariant: each receipt is opened with the key that stands in its leaf, under the
//! root that stands in the plan, whose digest stands in the grant that the pinned authority signed.

use super::Checked;
use crate::exit::Fault;
use crate::plan::Shown;
use legator_core::digest::Digest;
use legator_core::plan::Leaf;
use legator_core::text::shown_line;
use legator_wire::dsse::Envelope;
use legator_wire::grant::Grant;
use legator_wire::keys::PublicKey;
use legator_wire::receipt::Receipt;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// What was verified.
#[derive(Debug, Default)]
pub struct Tasks {
    /// Plans.
    pub plans: u64,
    /// Grants.
    pub grants: u64,
    /// Receipts.
    pub receipts: u64,
    /// Receipts of tasks whose end the log does not reach.
    pub newer: u64,
    /// The account of the task that was asked for.
    pub text: String,
    seen: BTreeMap<String, String>,
    told: BTreeSet<String>,
}

/// What events of the log name.
#[derive(Debug, Default)]
pub struct Named {
    /// Digests of receipts, by task.
    pub receipts: BTreeMap<String, Vec<String>>,
    /// Digests of plans, by plan.
    pub plans: BTreeMap<String, String>,
}

impl Named {
    /// Takes in what an event names.
    pub fn remember(&mut self, event: &str) {
        let Ok(event) = serde_json::from_str::<Value>(event) else { return };
        let word = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let data = event.get("data");
        let of = |name: &str| word(data.and_then(|data| data.get(name)));
        let kind = word(event.get("kind")).unwrap_or_default();
        let settles = matches!(kind.as_str(), "plan.made" | "plan.prepared" | "plan.sealed");
        if let (true, Some(plan), Some(digest)) = (settles, word(event.get("plan")), of("digest")) {
            self.plans.insert(plan, digest);
        }
        let tasks = data.and_then(|data| data.get("tasks")).and_then(Value::as_array).cloned();
        let one = (word(event.get("task")), of("receipt"));
        let tasks = tasks.unwrap_or_default();
        let pairs = tasks.iter().map(|entry| (word(entry.get("task")), word(entry.get("receipt"))));
        for (task, receipt) in pairs.chain([one]) {
            if let (Some(task), Some(receipt)) = (task, receipt) {
                self.receipts.entry(task).or_default().push(receipt);
            }
        }
    }

    /// Every plan of the log is in the export, once, and every task whose receipt the log names has it there.
    fn is_all_there(&self, found: &Tasks) -> Result<(), Fault> {
        let missing = |what: String| Err(Fault::failed(format!("the export is not whole: {what}")));
        for (plan, digest) in &self.plans {
            match found.seen.get(plan) {
                Some(seen) if seen == digest => {}
                Some(_) => return missing(format!("{plan} is not the plan that the log names")),
                None => return missing(format!("{plan} is missing")),
            }
        }
        match self.receipts.keys().find(|task| !found.told.contains(*task)) {
            Some(task) => missing(format!("the receipt of {task} is missing")),
            None => Ok(()),
        }
    }
}

/// Verifies the plans of an export.
pub fn verify(path: &Path, log: &Checked, task: Option<&str>) -> Result<Tasks, Fault> {
    let mut found = Tasks::default();
    let file = File::open(path).map_err(|error| Fault::failed(format!("{}: {error}", path.display())))?;
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| Fault::failed(format!("{}: {error}", path.display())))?;
        let bad = |what: String| Fault::failed(format!("{} line {}: {what}", path.display(), number + 1));
        let plan: Value = serde_json::from_str(&line).map_err(|error| bad(error.to_string()))?;
        one(&plan, log, task, &mut found).map_err(bad)?;
    }
    log.named.is_all_there(&found)?;
    absent(found, task)
}

fn absent(found: Tasks, task: Option<&str>) -> Result<Tasks, Fault> {
    match task {
        Some(task) if found.text.is_empty() => {
            Err(Fault::failed(format!("the export has no receipt of {task}")))
        }
        _ => Ok(found),
    }
}

fn envelopes(plan: &Value, name: &str) -> Result<Vec<Envelope>, String> {
    let list = plan.get(name).cloned().filter(|list| !list.is_null());
    list.map_or(Ok(Vec::new()), |list| {
        serde_json::from_value(list).map_err(|error| format!("{name}: {error}"))
    })
}

fn one(line: &Value, log: &Checked, wanted: Option<&str>, found: &mut Tasks) -> Result<(), String> {
    let plan = Shown::parse(line).map_err(|fault| fault.text)?;
    found.plans += 1;
    let (id, digest) = (plan.plan.body().plan.to_string(), plan.plan.digest().to_string());
    if found.seen.insert(id.clone(), digest).is_some() {
        return Err(format!("{id} is there twice"));
    }
    let authority = log.authority.ok_or("the log names no authority")?;
    let mut grants: BTreeMap<Digest, Grant> = BTreeMap::new();
    for envelope in envelopes(line, "grants")? {
        let grant: Grant = envelope.open(&authority).map_err(|error| format!("a grant: {error}"))?;
        if grant.plan != plan.plan.digest() {
            return Err("a grant is for another plan".to_owned());
        }
        grants.insert(envelope.digest(), grant);
        found.grants += 1;
    }
    for envelope in envelopes(line, "receipts")? {
        let (leaf, receipt) = receipt(&envelope, &plan, &grants)?;
        match log.named.receipts.get(&leaf.task.to_string()) {
            Some(known) if known.contains(&envelope.digest().to_string()) => found.receipts += 1,
            Some(_) => return Err(format!("no event of the log names this receipt of {}", leaf.task)),
            None => found.newer += 1,
        }
        found.told.insert(leaf.task.to_string());
        if wanted == Some(leaf.task.to_string().as_str()) {
            let grant = grants.get(&receipt.grant);
            found.text = account(&plan, leaf, grant, &receipt);
        }
    }
    Ok(())
}

fn receipt<'a>(
    envelope: &Envelope,
    plan: &'a Shown,
    grants: &BTreeMap<Digest, Grant>,
) -> Result<(&'a Leaf, Receipt), String> {
    let claimed: Receipt = envelope.claimed().ok_or("a receipt does not parse")?;
    let task = claimed.task.to_string();
    let leaf = plan
        .leaves
        .iter()
        .find(|leaf| leaf.task == claimed.task)
        .ok_or(format!("{task} is not of its plan"))?;
    let key: PublicKey = leaf.key.parse().map_err(|_| format!("{task}: its host's key is none"))?;
    let receipt: Receipt = envelope.open(&key).map_err(|error| format!("the receipt of {task}: {error}"))?;
    if receipt.host != leaf.host {
        return Err(format!("the receipt of {task} is by another host"));
    }
    let refused = receipt.outcome == legator_core::task::Outcome::Refused;
    if !refused && (receipt.plan != plan.plan.digest() || !grants.contains_key(&receipt.grant)) {
        return Err(format!("the receipt of {task} is for another plan or grant"));
    }
    Ok((leaf, receipt))
}

/// Who approved exactly what, and what the host signed.
fn account(plan: &Shown, leaf: &Leaf, grant: Option<&Grant>, receipt: &Receipt) -> String {
    let mut text = format!("\ntask {} on {}\n{}", leaf.task, shown_line(&leaf.name), plan.text());
    for counted in grant.map(|grant| grant.counted.as_slice()).unwrap_or_default() {
        let key = counted.key.map_or(String::new(), |key| format!(" with the key {key}"));
        let mark = counted.mark.as_deref().unwrap_or("");
        text.push_str(&format!("approved by {}{key} {mark}\n", counted.person));
    }
    let outcome = serde_json::to_value(receipt.outcome).unwrap_or_default();
    text.push_str(&format!(
        "the host signed: {outcome}, exit code {:?}, verified {:?}\n",
        receipt.exit_code, receipt.verified
    ));
    for (title, state) in [("before", &receipt.before), ("after", &receipt.after)] {
        if let Some(state) = state {
            text.push_str(&format!("{title:<6} {}\n", shown_line(&state.to_string())));
        }
    }
    text
}
