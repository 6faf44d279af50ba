//! A plan as an approver has to see it: rendered from the plan's own bytes, hashed here.
//!
//! Owns the check that what is shown is what would be signed. Never takes the server's word for a digest.

use crate::exit::Fault;
use legator_core::plan::{Leaf, Plan, leaves_root};
use legator_core::text::{shown, shown_line};
use legator_core::verbs;
use legator_wire::dsse::from_b64;
use serde_json::Value;

/// A plan and its hosts, proven to belong together.
pub struct Shown {
    /// The plan.
    pub plan: Plan,
    /// Its hosts.
    pub leaves: Vec<Leaf>,
    /// The difference that the server computed, where the verb shows one. It is shown as such.
    pub difference: Option<String>,
}

impl Shown {
    /// What `GET /plans/{id}/bytes` answered, checked: the leaves are those of the plan.
    pub fn parse(answer: &Value) -> Result<Self, Fault> {
        let bad = |what: &str| Fault::failed(format!("the server's plan {what}: do not approve it"));
        let bytes = answer
            .get("plan")
            .and_then(Value::as_str)
            .and_then(from_b64)
            .ok_or_else(|| bad("has no bytes"))?;
        let plan = Plan::parse(bytes).map_err(|error| bad(&format!("does not parse ({error})")))?;
        let leaves = answer.get("leaves").cloned().unwrap_or_default();
        let leaves: Vec<Leaf> =
            serde_json::from_value(leaves).map_err(|error| bad(&format!("has no hosts ({error})")))?;
        if leaves.len() != plan.body().hosts as usize || leaves_root(&leaves) != plan.body().root {
            return Err(bad("names other hosts than its digest"));
        }
        let difference = answer.get("difference").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { plan, leaves, difference })
    }

    /// The plan for people: verb, arguments, effects, targets, times, digest.
    pub fn text(&self) -> String {
        let body = self.plan.body();
        let mut text = String::new();
        let mut line =
            |title: &str, value: &str| text.push_str(&format!("{title:<10} {}\n", shown_line(value)));
        line("plan", &body.plan.to_string());
        line("digest", &self.plan.digest().to_string());
        line("verb", &body.verb);
        if let Ok(call) = verbs::parse(&body.verb, &body.args, Some(body.level)) {
            line("does", &call.text);
        }
        line("arguments", &body.args.to_string());
        line("level", body.level.word());
        line("effects", &self.effects());
        line("asked by", &body.requester.to_string());
        line("reason", body.reason.as_deref().unwrap_or("none given"));
        line("hosts", &self.hosts());
        let rollout = &body.rollout;
        let stop = rollout.stop_after_failures.map_or("never".to_owned(), |failures| failures.to_string());
        line(
            "rollout",
            &format!(
                "waves of {}, {} at a time, stops after failures: {stop}",
                rollout.batch, rollout.max_parallel
            ),
        );
        line("decide by", &body.decide_by.to_string());
        line("expires", &body.expires_at.to_string());
        if let Some(difference) = &self.difference {
            text.push_str("difference\n");
            text.push_str(&crate::out::indented(difference));
        }
        text
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
        let names: Vec<String> = self.leaves.iter().take(50).map(|leaf| shown(&leaf.name)).collect();
        let more = self.leaves.len().saturating_sub(50);
        let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{}: {}{rest}", self.leaves.len(), names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use legator_core::digest::Digest;
    use legator_core::ids::{HostId, PersonId, PlanId, TaskId, TenantId};
    use legator_core::level::{Effects, Level};
    use legator_core::plan::{PlanBody, Rollout};
    use legator_core::span::Span;
    use legator_core::time::Timestamp;
    use legator_wire::dsse::to_b64;
    use serde_json::json;

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
}
