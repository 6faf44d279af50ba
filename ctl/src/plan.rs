//! A plan as an approver has to see it: rendered from the plan's own bytes, hashed here.
//!
//! Owns the check that what is shown is what would be signed. Never takes the server's word for a digest.

use crate::exit::Fault;
use crate::follow::person;
use crate::out;
use legator_core::plan::{Leaf, Plan, leaves_root};
use legator_core::text::{shown, shown_line};
use legator_core::verbs;
use legator_wire::dsse::{Envelope, from_b64};
use legator_wire::keys::PublicKey;
use legator_wire::receipt::Receipt;
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Hosts that a view of a plan names, at most.
const TOLD_MAX: usize = 1_000;

/// The difference that a plan would make, where its verb shows one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The verb shows none.
    None,
    /// Computed here from what the hosts signed of their present state, as the plan's digest covers it.
    Proven(String),
    /// The server's word only.
    Told(String),
}

/// A plan and its hosts, proven to belong together.
pub struct Shown {
    /// The plan.
    pub plan: Plan,
    /// Its hosts.
    pub leaves: Vec<Leaf>,
    /// The difference.
    pub difference: Difference,
}

fn lie(what: &str) -> Fault {
    Fault::failed(format!("the server's plan {what}: do not approve it"))
}

impl Shown {
    /// What `GET /plans/{id}/bytes` answered, checked: the leaves are those of the plan.
    pub fn parse(answer: &Value) -> Result<Self, Fault> {
        let bytes = answer
            .get("plan")
            .and_then(Value::as_str)
            .and_then(from_b64)
            .ok_or_else(|| lie("has no bytes"))?;
        let plan = Plan::parse(bytes).map_err(|error| lie(&format!("does not parse ({error})")))?;
        let leaves = answer.get("leaves").cloned().unwrap_or_default();
        let leaves: Vec<Leaf> =
            serde_json::from_value(leaves).map_err(|error| lie(&format!("has no hosts ({error})")))?;
        if leaves.len() != plan.body().hosts as usize || leaves_root(&leaves) != plan.body().root {
            return Err(lie("names other hosts than its digest"));
        }
        let told = answer.get("difference").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { plan, leaves, difference: told.map_or(Difference::None, Difference::Told) })
    }

    /// Checks that the server tells people the same plan as its bytes are: id, digest, verb, arguments, level, hosts, who and why.
    pub fn is_what_is_told(&self, wanted: &str, view: &Value) -> Result<(), Fault> {
        let body = self.plan.body();
        let told_hosts = out::list(view, "hosts");
        let shown: Vec<Value> =
            self.leaves.iter().map(|leaf| json!({"id": leaf.host, "name": leaf.name})).collect();
        let same_hosts = shown.get(..shown.len().min(TOLD_MAX)) == Some(told_hosts)
            && out::at(view, "hosts_total") == &json!(body.hosts);
        let pairs = [
            ("id", json!(wanted) == json!(body.plan) && out::at(view, "id") == &json!(body.plan)),
            ("digest", out::at(view, "digest") == &json!(self.plan.digest())),
            ("verb", out::at(view, "verb") == &json!(body.verb)),
            ("arguments", out::at(view, "args") == &body.args),
            ("level", out::at(view, "level") == &json!(body.level)),
            ("effects", out::at(view, "effects") == &json!(body.effects)),
            ("hosts", same_hosts),
            ("requester", out::at(view, "requester") == &json!(body.requester)),
            ("reason", out::at(view, "reason") == &json!(body.reason)),
        ];
        let other: Vec<&str> = pairs.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
        match other.is_empty() {
            true => Ok(()),
            false => Err(lie(&format!("is told with another {} than its bytes have", other.join(", ")))),
        }
    }

    /// Whether its difference has to be proven: its verb shows one, or the server tells one.
    pub fn shows_difference(&self) -> bool {
        let verb = verbs::find(&self.plan.body().verb);
        self.difference != Difference::None || verb.is_some_and(|verb| verb.pre_image)
    }

    /// Computes the difference from the receipts of the plan that read the hosts' present state.
    pub fn prove_difference(&mut self, reading: &Value) -> Result<(), Fault> {
        let body = self.plan.body();
        let call = verbs::parse(&body.verb, &body.args, Some(body.level))
            .map_err(|error| lie(&format!("does not parse ({error})")))?;
        let mut by_text: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for leaf in &self.leaves {
            let state = signed_state(leaf, reading)
                .ok_or_else(|| lie(&format!("has no proof of what {} showed", shown(&leaf.name))))?;
            by_text.entry(verbs::difference(&call, &state)).or_default().push(shown_line(&leaf.name));
        }
        let one = by_text.len() == 1;
        let part = |(text, names): (String, Vec<String>)| match one {
            true => text,
            false => format!("# {}\n{text}", names.join(", ")),
        };
        let text: String = by_text.into_iter().map(part).collect();
        self.difference = Difference::Proven(text);
        Ok(())
    }

    /// The plan for programs.
    pub fn record(&self) -> Value {
        let (difference, proven) = match &self.difference {
            Difference::None => (None, None),
            Difference::Proven(text) => (Some(text), Some(true)),
            Difference::Told(text) => (Some(text), Some(false)),
        };
        json!({
            "id": self.plan.body().plan, "digest": self.plan.digest(), "plan": self.plan.body(), "hosts": self.leaves,
            "difference": difference, "difference_proven": proven,
        })
    }

    /// The plan for people: verb, arguments, effects, targets, times, digest.
    pub fn text(&self) -> String {
        let body = self.plan.body();
        let does = verbs::parse(&body.verb, &body.args, Some(body.level)).map(|call| call.text);
        let rollout = &body.rollout;
        let stop = rollout.stop_after_failures.map_or(String::new(), |failures| {
            format!(", stops after {}", out::counted(u64::from(failures), "failure"))
        });
        let pause = match rollout.pause.millis() {
            0 => String::new(),
            _ => format!(", {} between waves", rollout.pause),
        };
        let pairs = [
            ("plan", body.plan.to_string()),
            ("digest", self.plan.digest().to_string()),
            ("does", shown_line(&does.unwrap_or_default())),
            ("verb", shown_line(&body.verb)),
            ("arguments", out::line(&self.arguments())),
            ("level", body.level.word().to_owned()),
            ("effects", shown_line(&self.effects())),
            ("asked by", person(&body.requester.to_string())),
            ("reason", shown_line(body.reason.as_deref().unwrap_or("none given"))),
            ("hosts", self.hosts()),
            ("rollout", format!("{} a wave, {} at a time{stop}{pause}", rollout.batch, rollout.max_parallel)),
            ("decide by", body.decide_by.to_string()),
            ("expires", body.expires_at.to_string()),
        ];
        let mut text = out::pairs_text(&pairs);
        for (name, value) in self.long_texts() {
            text.push_str(&format!("{}\n{}", shown_line(&name), out::indented(&value)));
        }
        match &self.difference {
            Difference::None => {}
            Difference::Proven(difference) => {
                text.push_str("difference\n");
                text.push_str(&coloured(&out::indented(difference)));
            }
            Difference::Told(difference) => {
                text.push_str("difference, by the server's word only\n");
                text.push_str(&out::indented(difference));
            }
        }
        text
    }

    /// Arguments of several lines: they are shown below, line by line.
    fn long_texts(&self) -> Vec<(String, String)> {
        let fields = self.plan.body().args.as_object().cloned().unwrap_or_default();
        let long = |(name, value): (String, Value)| {
            let text = value.as_str().filter(|text| text.trim_end().contains('\n'))?;
            Some((name, text.to_owned()))
        };
        fields.into_iter().filter_map(long).collect()
    }

    fn arguments(&self) -> Value {
        let mut args = veiled(&self.plan.body().args);
        for (name, text) in self.long_texts() {
            if let Some(field) = args.get_mut(&name) {
                *field = Value::from(format!("{} below", out::counted(text.lines().count() as u64, "line")));
            }
        }
        args
    }

    fn effects(&self) -> String {
        let body = self.plan.body();
        let own = verbs::find(&body.verb)
            .map(|spec| spec.effects_text)
            .unwrap_or("a verb that this program does not know");
        if body.effects.unconfined {
            return format!("UNCONFINED: anything that the probe may do; {own}");
        }
        let mut parts = vec![own.to_owned()];
        if !body.effects.write.is_empty() {
            parts.push(format!("may write below {}", body.effects.write.join(", ")));
        }
        if body.effects.net {
            parts.push("may use the network".to_owned());
        }
        parts.join("; ")
    }

    fn hosts(&self) -> String {
        let names: Vec<String> = self.leaves.iter().take(50).map(|leaf| shown_line(&leaf.name)).collect();
        let more = self.leaves.len().saturating_sub(50);
        let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{}: {}{rest}", self.leaves.len(), names.join(", "))
    }
}

/// The state that this host signed in a receipt of the reading, where it is the one that the leaf names.
fn signed_state(leaf: &Leaf, reading: &Value) -> Option<Value> {
    let key: PublicKey = leaf.key.parse().ok()?;
    let envelopes = out::list(reading, "receipts").iter().cloned();
    let mut opened = envelopes
        .filter_map(|envelope| serde_json::from_value::<Envelope>(envelope).ok()?.open::<Receipt>(&key).ok());
    let state = opened.find(|receipt| receipt.host == leaf.host)?.before?;
    (verbs::shown(&state).is_some() && verbs::shown(&state) == leaf.shown).then_some(state)
}

/// Added and removed lines of an indented difference in their colours.
fn coloured(text: &str) -> String {
    let line = |line: &str| match line.as_bytes().get(2) {
        Some(b'+') => format!("{}\n", line.green()),
        Some(b'-') => format!("{}\n", line.red()),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Arguments as people read them: where a secret value stands, only that one does.
pub(crate) fn veiled(args: &Value) -> Value {
    let mut args = args.clone();
    let secrets = args.get_mut("secrets").and_then(Value::as_object_mut);
    for secret in secrets.into_iter().flat_map(|secrets| secrets.values_mut()) {
        *secret = Value::from(verbs::UNSEEN);
    }
    args
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use legator_core::digest::Digest;
    use legator_core::ids::{HostId, PersonId, PlanId, TaskId, TenantId};
    use legator_core::level::{Effects, Level};
    use legator_core::plan::{PlanBody, Rollout};
    use legator_core::span::Span;
    use legator_core::time::Timestamp;
    use legator_wire::dsse::to_b64;

    fn leaf(name: &str) -> Leaf {
        Leaf {
            index: 0,
            task: TaskId::new(1),
            host: HostId::new(1),
            name: name.into(),
            key: "00".repeat(32),
            shown: None,
        }
    }

    fn plan(leaves: &[Leaf]) -> Plan {
        Plan::make(PlanBody {
            v: 1,
            installation: Digest::of(b"a").to_string(),
            tenant: TenantId::DEFAULT,
            plan: PlanId::new(1),
            verb: "service.restart".into(),
            args: json!({"name": "nginx"}),
            level: Level::Remediate,
            effects: Effects::none(),
            rollout: Rollout {
                batch: 1,
                max_parallel: 1,
                stop_after_failures: Some(1),
                pause: Span::from_secs(0),
            },
            requester: PersonId::LOCAL,
            reason: Some("it hangs\u{1b}[2J".into()),
            timeout: Span::from_secs(60),
            output_bytes_max: 1024,
            made_at: Timestamp::from_millis(0),
            decide_by: Timestamp::from_millis(1),
            expires_at: Timestamp::from_millis(2),
            hosts: 1,
            root: leaves_root(leaves),
            nonce: "n".into(),
        })
        .unwrap()
    }

    #[test]
    fn a_plan_with_other_hosts_than_its_digest_is_not_shown() {
        let leaves = [leaf("web-03")];
        let answer = |shown: &[Leaf]| json!({"plan": to_b64(plan(&leaves).bytes()), "leaves": shown});
        let shown = Shown::parse(&answer(&leaves)).ok().unwrap();
        assert!(shown.text().contains("web-03") && !shown.text().contains('\u{1b}'));
        assert!(Shown::parse(&answer(&[leaf("db-01")])).is_err());
        assert!(Shown::parse(&answer(&[])).is_err());
        assert!(Shown::parse(&json!({})).is_err());
    }

    #[test]
    fn a_plan_that_is_told_otherwise_than_its_bytes_are_is_not_approved() {
        let leaves = [leaf("web-03")];
        let plan = plan(&leaves);
        let answer = json!({"plan": to_b64(plan.bytes()), "leaves": leaves});
        let shown = Shown::parse(&answer).ok().unwrap();
        let body = plan.body();
        let view = json!({
            "id": body.plan, "digest": plan.digest(), "verb": body.verb, "args": body.args, "level": body.level,
            "effects": body.effects, "requester": body.requester, "reason": body.reason, "hosts_total": 1,
            "hosts": [{"id": leaves[0].host, "name": "web-03"}],
        });
        let id = body.plan.to_string();
        assert!(shown.is_what_is_told(&id, &view).is_ok());
        assert!(shown.is_what_is_told("plan_other", &view).is_err());
        for field in view.as_object().unwrap().keys() {
            for other in [json!("other"), Value::Null, json!(2)] {
                let mut harmed = view.clone();
                harmed[field] = other;
                let fault = shown.is_what_is_told(&id, &harmed).err();
                assert!(fault.is_some_and(|fault| fault.text.contains("do not approve")), "{field}");
            }
        }
    }
}
