//! How the steps of a chat look in a terminal.
//!
//! Owns the lines of each kind of step. Pure: prints nothing. Invariant: words of hosts and models are made safe before they stand in a line.

use crate::out::{at, word};
use legator_core::text::{brief, shown, shown_line};
use serde_json::Value;

/// How many lines of what a host returned are shown.
const EVIDENCE_LINES_MAX: usize = 8;
const DOCUMENT_BYTES_MAX: usize = 300;
const ARGS_BYTES_MAX: usize = 160;

/// A look, a proposal, or a call that was refused.
pub fn tool(step: &Value) -> String {
    let verb = [word(step, "verb"), word(step, "tool")].into_iter().find(|name| !name.is_empty());
    let on = match word(step, "on") {
        on if on.is_empty() => on,
        on => format!(" on {on}"),
    };
    let what = format!("{}{}{on}", verb.unwrap_or_default(), args(at(step, "args")));
    match word(step, "state").as_str() {
        "reading" => format!("  · looks: {what}"),
        "proposed" => format!("  · proposes: {what}"),
        _ => format!("  ✗ refused: {what}\n    {}", word(step, "reason")),
    }
}

fn args(args: &Value) -> String {
    let pairs = args.as_object().into_iter().flatten().filter(|(name, _)| *name != "on");
    let text: String = pairs
        .map(|(name, value)| match value {
            Value::String(text) => format!(" {}={}", shown_line(name), shown_line(text)),
            other => format!(" {}={}", shown_line(name), shown_line(&other.to_string())),
        })
        .collect();
    brief(&text, ARGS_BYTES_MAX)
}

/// What a host returned.
pub fn evidence(step: &Value) -> String {
    let state = word(step, "state");
    let sign = if state == "succeeded" { '✓' } else { '✗' };
    let code = match word(step, "exit_code").as_str() {
        "" | "0" => String::new(),
        code => format!(", exit code {code}"),
    };
    let mut text = format!(
        "  {sign} [{}] {}: {state}{code}, {} bytes",
        word(step, "id"),
        word(step, "name"),
        word(step, "bytes")
    );
    let said = compact(at(step, "text").as_str().unwrap_or_default());
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in lines.iter().take(EVIDENCE_LINES_MAX) {
        text.push_str(&format!("\n    | {}", brief(line, DOCUMENT_BYTES_MAX)));
    }
    match (lines.len().saturating_sub(EVIDENCE_LINES_MAX), at(step, "cut").as_bool()) {
        (0, Some(true)) => text.push_str("\n    | … cut"),
        (0, _) => {}
        (more, _) => text.push_str(&format!("\n    | … {more} more lines")),
    }
    text
}

/// The text, safe to show; a JSON document on one line.
fn compact(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(document @ (Value::Object(_) | Value::Array(_))) => {
            brief(&shown_line(&document.to_string()), DOCUMENT_BYTES_MAX)
        }
        _ => shown(text),
    }
}

/// A plan that was made.
pub fn plan(step: &Value) -> String {
    let read = word(step, "after_reading");
    let after = if read.is_empty() { String::new() } else { format!(", proposed after reading {read}") };
    format!("  · plan {}: {}{after}", word(step, "plan"), word(step, "text"))
}

/// Where an approval stands; nothing where other lines say it.
pub fn approval(step: &Value) -> Option<String> {
    let votes = at(step, "by").as_array().map_or(0, Vec::len);
    match word(step, "state").as_str() {
        "pending" => Some(format!("  · {votes} of {} approvals", word(step, "approvals_needed"))),
        "running" => Some("  · runs".to_owned()),
        "finished" | "preparing" => None,
        state => Some(format!("  · {}", shown_line(state))),
    }
}

/// How a plan ended, host by host where something differs.
pub fn outcome(step: &Value) -> String {
    let tasks = at(step, "tasks").as_array().map(Vec::as_slice).unwrap_or_default();
    let good =
        |task: &Value| word(task, "state") == "succeeded" && at(task, "verified").as_bool() != Some(false);
    let sign = if !tasks.is_empty() && tasks.iter().all(good) { '✓' } else { '✗' };
    let mut text = format!("  {sign} [{}] {}", word(step, "id"), word(step, "text"));
    for task in tasks.iter().filter(|task| !good(task)) {
        let reason = match word(task, "reason") {
            reason if reason.is_empty() => reason,
            reason => format!(", {reason}"),
        };
        text.push_str(&format!("\n    {}: {}{reason}", word(task, "name"), word(task, "state")));
    }
    text
}

/// What stands below an answer: what it rests on, and what the server says really happened.
pub fn below_answer(step: &Value) -> String {
    let cites: Vec<String> =
        at(step, "cites").as_array().into_iter().flatten().map(|cite| word(cite, "id")).collect();
    let mut lines = Vec::new();
    if !cites.is_empty() {
        lines.push(format!("  rests on {}", cites.join(", ")));
    }
    match at(step, "dropped").as_u64().unwrap_or(0) {
        0 => {}
        1 => lines.push("  1 citation of nothing was taken out".to_owned()),
        more => lines.push(format!("  {more} citations of nothing were taken out")),
    }
    let facts = word(step, "facts");
    if !facts.is_empty() {
        lines.push(format!("  server: {facts}"));
    }
    lines.join("\n")
}

/// An earlier turn.
pub fn earlier(turn: &Value) -> String {
    let answer = at(turn, "answer").as_str().map(shown);
    let steps = at(turn, "steps").as_array().map(Vec::as_slice).unwrap_or_default();
    let last = steps.last().cloned().unwrap_or_default();
    let ended = match (answer, word(turn, "state").as_str()) {
        (Some(answer), _) => answer,
        (None, "failed") => format!("  ✗ {}", word(&last, "text")),
        (None, _) => "  (not answered yet)".to_owned(),
    };
    let facts = match word(&last, "facts") {
        facts if facts.is_empty() || !steps.iter().any(|step| word(step, "kind") == "plan") => String::new(),
        facts => format!("\n  server: {facts}"),
    };
    format!("{}> {}\n{ended}{facts}", word(turn, "name"), word(turn, "text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_step_has_its_lines_and_no_escape_reaches_a_terminal() {
        let bad = "x\u{1b}[2J\u{202e}y";
        let steps = [
            tool(
                &json!({"verb": "service.status", "args": {"name": bad, "on": "*"}, "state": "reading", "on": bad}),
            ),
            tool(&json!({"tool": bad, "args": {bad: [bad]}, "state": "refused", "reason": bad})),
            evidence(
                &json!({"id": "e3", "name": bad, "state": "failed", "exit_code": 2, "bytes": 9, "text": format!("a\n{bad}")}),
            ),
            plan(&json!({"plan": "plan_1", "text": bad, "after_reading": ["e3"]})),
            outcome(
                &json!({"id": "e8", "text": bad, "tasks": [{"name": bad, "state": "failed", "reason": bad}]}),
            ),
            below_answer(&json!({"cites": [{"id": "e8"}], "dropped": 2, "facts": bad})),
            earlier(&json!({"name": bad, "text": bad, "answer": bad, "steps": []})),
        ];
        for step in &steps {
            assert!(!step.contains('\u{1b}') && !step.contains('\u{202e}'), "{step}");
        }
        assert!(steps[0].starts_with("  · looks: service.status name=x"));
        assert!(steps[1].contains("✗ refused"));
        assert!(steps[2].contains("✗ [e3]") && steps[2].contains("\n    | a\n"));
        assert!(steps[3].ends_with("proposed after reading e3"));
        assert!(steps[5].contains("rests on e8") && steps[5].contains("2 citations"));
    }

    #[test]
    fn long_output_is_cut_and_says_so() {
        let step = evidence(&json!({"id": "e1", "state": "succeeded", "text": "line\n".repeat(50)}));
        assert_eq!(step.lines().count(), EVIDENCE_LINES_MAX + 2);
        assert!(step.ends_with("… 42 more lines"));
    }
}
