//! `audit verify`: checks an exported log offline, trusting nothing but a pinned fingerprint.
//!
//! Owns what is trusted, what is printed and the exit code; the checks of the log stand in `legator_wire::checkpoint` and `legator_core::audit`.
//! Invariant: without a pin nothing is proven, and without a remembered checkpoint the end is not.

mod evidence;
pub mod manifest;

use crate::commands::audit::Verify;
use crate::context::{Contexts, Wish};
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, Format};
use legator_core::audit::{Broken, End, Line, Report};
use legator_core::digest::Digest;
use legator_wire::checkpoint::ExportVerifier;
use serde_json::json;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// The log within an exported folder.
pub const LOG: &str = "log.jsonl";
/// Plans with their grants, approvals and receipts within an exported folder, one a line.
pub const PLANS: &str = "plans.jsonl";

/// Runs it.
pub fn run(verify: &Verify, wish: &Wish, format: Format) -> Outcome {
    let mut contexts = Contexts::load()?;
    let stored = contexts.pick(wish.context.as_deref())?.cloned().unwrap_or_default();
    let pin = verify.key.clone().or(stored.authority.clone()).ok_or_else(|| {
        Fault::failed("no authority is pinned: nothing can be proven")
            .hint("give its fingerprint with --key, or pin it once with `legatorctl login`")
    })?;
    let pin = fingerprint(&pin)?;
    // What is remembered belongs to the pinned authority of its context only.
    let own = stored.authority.as_deref() == Some(pin.to_string().as_str());
    let since = match &verify.since {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| Fault::usage(format!("{}: {error}", path.display())))?,
        ),
        None => stored.checkpoint.clone().filter(|_| own),
    };
    let checked = log(&verify.dir.join(LOG), pin, since)?;
    let tasks = evidence::verify(&verify.dir.join(PLANS), &checked, verify.task.as_deref())?;
    manifest::check(&verify.dir)
        .map_err(|fault| Fault::failed(format!("{}{}", fault.text, so_far(&checked.report))))?;
    if own && checked.note.is_some() {
        let name = wish.context.clone().or(contexts.current.clone()).unwrap_or_default();
        if let Some(context) = contexts.contexts.get_mut(&name) {
            context.checkpoint.clone_from(&checked.note);
            contexts.save()?;
        }
    }
    show(format, &checked.report, &tasks);
    Ok(Exit::Ok)
}

/// A fingerprint, with or without `sha256:` before it.
fn fingerprint(text: &str) -> Result<Digest, Fault> {
    let whole = if text.starts_with("sha256:") { text.to_owned() } else { format!("sha256:{text}") };
    whole.parse().map_err(|error| Fault::usage(format!("{error}")))
}

/// A log that holds.
pub struct Checked {
    /// What was found.
    pub report: Report,
    /// The newest checkpoint's note.
    pub note: Option<String>,
    /// The pinned authority's key, where the log names it.
    pub authority: Option<legator_wire::keys::PublicKey>,
    /// What events of the log name, which the plans of the export have to show.
    pub named: evidence::Named,
}

/// The plans that a log names, as far as it can be read.
pub fn plans_of(log: &[u8]) -> Vec<String> {
    let mut named = evidence::Named::default();
    for line in log.split(|byte| *byte == b'\n') {
        if let Ok(Line::Record(record)) = serde_json::from_slice(line) {
            named.remember(&record.event);
        }
    }
    named.plans.into_keys().collect()
}

fn log(path: &Path, pin: Digest, since: Option<String>) -> Result<Checked, Fault> {
    let file = File::open(path).map_err(|error| Fault::failed(format!("{}: {error}", path.display())))?;
    let mut verifier = ExportVerifier::new(pin, since);
    let (mut note, mut authority, mut named) = (None, None, evidence::Named::default());
    for text in BufReader::new(file).lines() {
        let text = text.map_err(|error| Fault::failed(format!("{}: {error}", path.display())))?;
        verifier.line(&text).map_err(broken)?;
        match serde_json::from_str::<Line>(&text) {
            Ok(Line::Checkpoint { note: text }) => note = Some(text),
            Ok(Line::Key { authority: key, .. }) => authority = key.parse().ok(),
            Ok(Line::Record(record)) => named.remember(&record.event),
            Ok(Line::Log { .. }) | Err(_) => {}
        }
    }
    let report = verifier.finish().map_err(broken)?;
    Ok(Checked { report, note, authority, named })
}

fn broken(broken: Broken) -> Fault {
    Fault::failed(format!("the log does not hold: {broken}"))
}

fn so_far(report: &Report) -> String {
    let end = if report.end == End::Proven { "proven" } else { "unproven" };
    format!("; what it holds is complete up to {} of {} records, end {end}", report.signed, report.records)
}

fn show(format: Format, report: &Report, tasks: &evidence::Tasks) {
    let end = match report.end {
        End::Proven => "proven",
        End::Unproven => "unproven",
    };
    let record = json!({
        "intact": true, "records": report.records, "signed": report.signed, "end": end,
        "backdated": report.backdated, "plans": tasks.plans, "grants": tasks.grants, "receipts": tasks.receipts,
    });
    out::record(format, &record, || {
        let mut text =
            format!("intact: complete up to {} of {} records, end {end}\n", report.signed, report.records);
        text.push_str(&format!(
            "{} plans, {} grants, {} receipts verified\n",
            tasks.plans, tasks.grants, tasks.receipts
        ));
        if tasks.newer > 0 {
            text.push_str(&format!(
                "{} receipts are newer than the log and prove nothing yet\n",
                tasks.newer
            ));
        }
        for number in &report.backdated {
            text.push_str(&format!("record {number} is dated before a checkpoint that it follows\n"));
        }
        text.push_str(&tasks.text);
        text
    });
}

#[cfg(test)]
mod tests;
