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

/// How many hosts' states before and after a model is shown of one plan.
const STATES_MAX: usize = 5;

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
    format!("The plan {verb} has ended: {}{held}{}.", states.join(", "), changed(tasks))
}

/// What is another number or another yes or no afterwards, where one host was changed. Words of a host are left out: this is the server's line.
fn changed(tasks: &[TaskLine]) -> String {
    let [task] = tasks else { return String::new() };
    let (Some(before), Some(after)) = (task.before.as_object(), task.after.as_object()) else {
        return String::new();
    };
    let plain = |value: &Value| value.is_number() || value.is_boolean();
    // A start time says no more than the process that it belongs to.
    let named = |name: &str| {
        let word = name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        word && !name.ends_with("_start")
    };
    let differs = |(name, old): (&String, &Value)| {
        let new = after.get(name).filter(|new| *new != old && plain(new) && plain(old) && named(name))?;
        Some(format!("; {name} {old} → {new}"))
    };
    before.iter().filter_map(differs).take(4).collect()
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
            Step::Outcome { call, id, text, tasks, .. } => {
                let mut pieces = vec![Piece::Server { text: format!("outcome [{id}]: {text}") }];
                pieces.extend(tasks.iter().take(STATES_MAX).filter_map(|task| states(id, task)));
                (call, pieces)
            }
            _ => continue,
        };
        results.entry(call.as_str()).or_default().extend(pieces);
    }
    results
}

/// The states before and after of one host's share: what the host says, as data.
fn states(id: &str, task: &TaskLine) -> Option<Piece> {
    if task.before.is_null() && task.after.is_null() {
        return None;
    }
    let text = text::redact(&format!("before: {}\nafter: {}", task.before, task.after));
    let (host, bytes) = (task.name.clone(), text.len() as u64);
    Some(Piece::Host { evidence: id.to_owned(), host, text, bytes, cut: false })
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

/// What really came of a turn: of its plan, or that there is none, whatever the model says.
pub(crate) fn facts(steps: &[Step]) -> String {
    let outcome = steps.iter().rev().find_map(|step| match step {
        Step::Outcome { text, .. } => Some(text.clone()),
        _ => None,
    });
    let open = steps.iter().find_map(|step| match step {
        Step::Plan { verb, .. } => Some(format!("The plan {verb} was made and has not ended.")),
        _ => None,
    });
    let refused =
        steps.iter().filter(|step| matches!(step, Step::Tool { state: ToolState::Refused, .. })).count();
    outcome.or(open).unwrap_or_else(|| match refused {
        0 => "In this turn no plan was made, nothing was approved and nothing was changed.".to_owned(),
        1 => "In this turn no plan was made, nothing was approved and nothing was changed; 1 call was refused.".to_owned(),
        more => format!("In this turn no plan was made, nothing was approved and nothing was changed; {more} calls were refused."),
    })
}

#[cfg(test)]
mod tests;
