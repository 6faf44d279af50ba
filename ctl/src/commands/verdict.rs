//! What a policy decides, for people: the answer, the rule that gave it, and what would change it.
//!
//! Owns the text of `why`, `policies simulate` and `--dry-run`. Decides nothing.

use crate::cli::Session;
use crate::exit::{Exit, Fault};
use crate::follow::person;
use crate::out::{self, counted, tinted, word};
use reqwest::Method;
use serde_json::Value;

/// The answer of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It may run.
    Allow,
    /// It may run after approvals.
    Waits,
    /// It may not run.
    Refuse,
}

impl Effect {
    fn of(decision: &Value) -> Self {
        match word(decision, "effect").as_str() {
            "allow" => Self::Allow,
            "needs_approval" => Self::Waits,
            _ => Self::Refuse,
        }
    }

    /// The exit code of a plan of which this were decided.
    pub fn exit(self) -> Exit {
        match self {
            Self::Allow => Exit::Ok,
            Self::Waits => Exit::Waiting,
            Self::Refuse => Exit::Refused,
        }
    }
}

/// Asks what would be decided, and shows it.
pub async fn simulate(session: &Session, ask: &Value) -> Result<Effect, Fault> {
    let answer = session.client.call(Method::POST, "/api/v1/policies/simulate", ask).await?;
    out::record(session.format, &answer, || text(&answer));
    Ok(Effect::of(out::at(&answer, "decision")))
}

/// `allowed`, `refused`, `needs 2 approvals`.
fn answer(decision: &Value) -> String {
    match Effect::of(decision) {
        Effect::Allow => tinted("allowed"),
        Effect::Refuse => tinted("refused"),
        Effect::Waits => {
            format!(
                "needs {}",
                counted(out::at(decision, "approvals_needed").as_u64().unwrap_or(0), "approval")
            )
        }
    }
}

/// Names that stand for no rule of a policy.
const NO_RULES: [&str; 5] = ["host-level", "no-host", "no-rule", "policy-error", "assistant-proposes"];

fn rule(decision: &Value) -> String {
    let name = word(decision, "rule");
    if NO_RULES.contains(&name.as_str()) {
        return format!("{name}, which stands above every policy");
    }
    let version = word(decision, "policy_version");
    let policy = if version == "0" { "the built-in policy".to_owned() } else { format!("policy {version}") };
    format!("{name} of {policy}")
}

/// The answer of a policy, how it comes about, and what would change it.
pub fn text(why: &Value) -> String {
    let decision = out::at(why, "decision");
    let mut text = out::pairs_text(&[
        ("answer", answer(decision)),
        ("rule", rule(decision)),
        ("because", word(decision, "reason")),
        ("frozen", frozen(why)),
    ]);
    text.push_str(&by_host(out::list(why, "hosts")));
    text.push_str(&changes(why, decision));
    text
}

fn frozen(why: &Value) -> String {
    let until = word(why, "frozen_until");
    if until.is_empty() { until } else { format!("until {until}: nothing but reads starts before") }
}

/// Hosts that the rules tell apart, each kind with all rules that apply to it.
fn by_host(kinds: &[Value]) -> String {
    let mut text = String::from("hosts\n");
    for kind in kinds {
        let named: Vec<String> = out::list(kind, "hosts").iter().map(out::plain).collect();
        let more = out::at(kind, "count").as_u64().unwrap_or(0).saturating_sub(named.len() as u64);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let rules: Vec<String> = out::list(kind, "rules").iter().map(out::plain).collect();
        let rules = if rules.is_empty() { "no rule applies".to_owned() } else { rules.join(", ") };
        let decision = out::at(kind, "decision");
        text.push_str(&format!("  {}{more}: {} ({rules})\n", named.join(", "), answer(decision)));
    }
    text
}

fn changes(why: &Value, decision: &Value) -> String {
    let changes = out::list(why, "changes");
    if Effect::of(decision) == Effect::Allow {
        return String::new();
    }
    if changes.is_empty() {
        return "nothing short of another policy would make it looser\n".to_owned();
    }
    let mut text = String::from("it would be looser if\n");
    for change in changes {
        let then = out::at(change, "then");
        text.push_str(&format!("  {}: {} ({})\n", word(change, "if"), answer(then), word(then, "rule")));
    }
    text
}

/// Why a plan stands where it stands.
pub fn of_plan(why: &Value) -> String {
    let (asked, now) = (out::at(why, "asked"), out::at(why, "now"));
    let differs = (answer(asked), word(asked, "rule")) != (answer(now), word(now, "rule"));
    let counted_votes = out::list(why, "approvals");
    let yes = counted_votes.iter().filter(|vote| word(vote, "decision") == "approve").count();
    let needed = out::at(now, "approvals_needed").as_u64().unwrap_or(0);
    let mut text = out::pairs_text(&[
        ("plan", word(why, "plan")),
        ("state", word(why, "state")),
        ("answer", answer(asked)),
        ("rule", rule(asked)),
        ("because", word(asked, "reason")),
        ("now", if differs { format!("{} ({})", answer(now), rule(now)) } else { String::new() }),
        ("approvals", if needed == 0 { String::new() } else { format!("{yes} of {needed}") }),
        ("frozen", frozen(why)),
    ]);
    for vote in counted_votes {
        text.push_str(&format!("  {}\n", vote_line(vote)));
    }
    let policy = out::at(why, "policy");
    text.push_str(&by_host(out::list(policy, "hosts")));
    text.push_str(&changes(policy, now));
    text
}

/// A vote for people.
pub fn vote_line(vote: &Value) -> String {
    let mut line = format!("{} by {}", tinted(&word(vote, "decision")), person(&word(vote, "person")));
    let signed = word(vote, "signed_by");
    if !signed.is_empty() {
        line.push_str(&format!(", signed with {signed}"));
    }
    for (field, before) in [("mark", ", "), ("reason", ": ")] {
        let text = word(vote, field);
        let is_told = field != "mark" || word(vote, "decision") == "approve";
        if is_told && !text.is_empty() {
            line.push_str(&format!("{before}{}", text.replace('_', " ")));
        }
    }
    line
}
