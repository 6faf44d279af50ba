//! What a turn's steps say, to people and to the model.
//!
//! Owns the server's own sentences and the putting together of rounds from recorded steps. Pure: no store, no bus.
//! Invariant: the words about plans, approvals and outcomes come from the gate's view of them and from nowhere else.

use legator_core::brain::{
    Called, Cite, Coverage, Piece, Round, Step, TURN_EVIDENCE_BYTES_MAX, TaskLine, ToolState,
};
use legator_core::ids::HostId;
use legator_core::plan::PlanState;
use legator_core::task::TaskState;
use legator_core::text;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How a plan ended, in one sentence.
pub(crate) fn outcome(verb: &str, state: PlanState, tasks: &[TaskLine]) -> String {
    let reason = match state {
        PlanState::Finished => return finished(verb, tasks),
        PlanState::Rejected => "was rejected; nothing ran",
        PlanState::Expired => "was not approved or started in time; nothing ran on hosts that had not begun",
        PlanState::Cancelled => "was cancelled",
        PlanState::Refused => "was refused by policy; nothing ran",
        _ => "has not ended",
    };
    format!("The plan {verb} {reason}.")
}

fn finished(verb: &str, tasks: &[TaskLine]) -> String {
    let count = |wanted: TaskState| tasks.iter().filter(|task| task.state == wanted).count();
    let verified = tasks.iter().filter(|task| task.verified == Some(true)).count();
    let unverified = tasks.iter().filter(|task| task.verified == Some(false)).count();
    let states: Vec<String> = TaskState::ALL
        .into_iter()
        .filter_map(|state| match count(state) {
            0 => None,
            number => Some(format!("{number} {state}")),
        })
        .collect();
    let held = match (verified, unverified) {
        (0, 0) => String::new(),
        (held, 0) => format!("; verified on {held}"),
        (held, not) => format!("; verified on {held}, NOT verified on {not}"),
    };
    format!("The plan {verb} has ended: {}{held}.", states.join(", "))
}

/// How much output the model may still be shown in this turn, in bytes.
pub(crate) fn evidence_left(steps: &[Step]) -> usize {
    let shown: usize = steps
        .iter()
        .map(|step| match step {
            Step::Evidence { text, .. } => text.len(),
            _ => 0,
        })
        .sum();
    TURN_EVIDENCE_BYTES_MAX.saturating_sub(shown)
}

/// What hosts returned, as evidence: safe to show, without credentials, at most so many bytes; and whether something was left out.
pub(crate) fn evidence_text(stdout: &[u8], stderr: &[u8], bytes_max: usize) -> (String, bool) {
    let mut whole = text::redact(&text::shown_bytes(stdout));
    if !stderr.is_empty() {
        whole.push_str("\nstderr:\n");
        whole.push_str(&text::redact(&text::shown_bytes(stderr)));
    }
    match bytes_max {
        0 => ("(left out: the turn's bound on output is reached)".to_owned(), true),
        bound => (text::ends(&whole, bound), whole.len() > bound),
    }
}

/// A value of a model as it is recorded: strings safe to show and bounded, no credentials.
pub(crate) fn safe_args(args: &Value, depth: u8) -> Value {
    match args {
        Value::String(text) => Value::String(text::redact(&text::shown(&text::ends(text, 4096)))),
        Value::Array(items) if depth > 0 => {
            items.iter().take(256).map(|item| safe_args(item, depth - 1)).collect()
        }
        Value::Object(fields) if depth > 0 => {
            let safe = |(name, value): (&String, &Value)| {
                (text::shown_line(text::cut(name, 120)), safe_args(value, depth - 1))
            };
            fields.iter().take(64).map(safe).collect()
        }
        Value::Array(_) | Value::Object(_) => Value::String("…".to_owned()),
        other => other.clone(),
    }
}

/// The rounds so far, as a model is told about them.
pub(crate) fn rounds(steps: &[Step]) -> Vec<Round> {
    let results = results(steps);
    let mut rounds: BTreeMap<u32, Round> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for step in steps {
        match step {
            Step::Text { round, text } => {
                let round =
                    rounds.entry(*round).or_insert_with(|| Round { text: String::new(), calls: vec![] });
                round.text.push_str(text);
            }
            Step::Tool { round, call, tool, args, .. } if seen.insert(call) => {
                let round =
                    rounds.entry(*round).or_insert_with(|| Round { text: String::new(), calls: vec![] });
                let result = results.get(call.as_str()).cloned().unwrap_or_default();
                round.calls.push(Called { id: call.clone(), tool: tool.clone(), args: args.clone(), result });
            }
            _ => {}
        }
    }
    rounds.into_values().collect()
}

fn results(steps: &[Step]) -> BTreeMap<&str, Vec<Piece>> {
    let mut results: BTreeMap<&str, Vec<Piece>> = BTreeMap::new();
    for step in steps {
        let (call, pieces) = match step {
            Step::Tool { call, state: ToolState::Refused, reason, .. } => {
                let reason = reason.as_deref().unwrap_or("no reason");
                (call, vec![Piece::Server { text: format!("refused, nothing happened: {reason}") }])
            }
            Step::Evidence { call, .. } => (call, evidence_pieces(step)),
            Step::Plan { call, text, after_reading, .. } => {
                let note = if after_reading.is_empty() {
                    ""
                } else {
                    " It is marked for the approvers as proposed after reading host data."
                };
                (call, vec![Piece::Server { text: format!("the plan was made: {text}.{note}") }])
            }
            Step::Outcome { call, id, text, .. } => {
                (call, vec![Piece::Server { text: format!("outcome [{id}]: {text}") }])
            }
            _ => continue,
        };
        results.entry(call.as_str()).or_default().extend(pieces);
    }
    results
}

fn evidence_pieces(step: &Step) -> Vec<Piece> {
    let Step::Evidence { id, name, state, exit_code, text, bytes, cut, .. } = step else { return vec![] };
    let code = exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let line = Piece::Server { text: format!("[{id}] the host's task is {state}{code}") };
    let data = Piece::Host {
        evidence: id.clone(),
        host: name.clone(),
        text: text.clone(),
        bytes: *bytes,
        cut: *cut,
    };
    match text.is_empty() {
        true => vec![line],
        false => vec![line, data],
    }
}

/// What an answer may cite.
pub(crate) fn citable(steps: &[Step]) -> BTreeMap<String, Cite> {
    let cite = |step: &Step| match step {
        Step::Evidence { id, plan, task, .. } => {
            Some(Cite { id: id.clone(), plan: *plan, task: Some(*task) })
        }
        Step::Outcome { id, plan, .. } => Some(Cite { id: id.clone(), plan: *plan, task: None }),
        _ => None,
    };
    steps.iter().filter_map(cite).map(|cite| (cite.id.clone(), cite)).collect()
}

/// How many hosts were asked and how many answered, each counted once.
pub(crate) fn coverage(steps: &[Step]) -> Coverage {
    let answered = |state: TaskState| matches!(state, TaskState::Succeeded | TaskState::Failed);
    let mut asked: BTreeMap<HostId, bool> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Evidence { host, state, .. } => *asked.entry(*host).or_default() |= answered(*state),
            Step::Outcome { tasks, .. } => {
                tasks.iter().for_each(|task| *asked.entry(task.host).or_default() |= answered(task.state));
            }
            _ => {}
        }
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Coverage {
        asked: count(asked.len()),
        answered: count(asked.values().filter(|answered| **answered).count()),
    }
}

/// What really came of a turn's plan.
pub(crate) fn facts(steps: &[Step]) -> Option<String> {
    steps.iter().rev().find_map(|step| match step {
        Step::Outcome { text, .. } => Some(text.clone()),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
