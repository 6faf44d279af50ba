//! Following a plan until it ends: live output by host, then each task's end.
//!
//! Owns how a plan's end is told and which exit code it has. Invariant: silence is never success.

mod printer;

use crate::cli::Session;
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, Format, word};
use crate::sse;
use legator_core::plan::PlanState;
use legator_core::task::TaskState;
use legator_wire::dsse::{from_b64, to_b64};
use printer::Printer;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// The state of a plan in an answer.
pub fn state(plan: &Value) -> Option<PlanState> {
    out::at(plan, "state").as_str()?.parse().ok()
}

/// The tasks of a plan in an answer.
pub fn tasks(plan: &Value) -> &[Value] {
    out::list(plan, "tasks")
}

fn task_state(task: &Value) -> Option<TaskState> {
    out::at(task, "state").as_str()?.parse().ok()
}

/// The name of a task's host.
pub fn host_name(task: &Value) -> String {
    let name = word(task, "name");
    if name.is_empty() { word(task, "host") } else { name }
}

/// The bytes kept of a stream.
pub fn kept(task: &Value, stream: &str) -> Vec<u8> {
    let output = out::at(task, &format!("output.{stream}"));
    let text = output.get("text").and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
    text.or_else(|| output.get("b64").and_then(Value::as_str).and_then(from_b64)).unwrap_or_default()
}

/// One line a task: host, state and why.
pub fn end_line(task: &Value) -> String {
    let mut line = format!("{}: {}", host_name(task), out::tinted(&word(task, "state")));
    let (code, signal) = (word(task, "exit_code"), word(task, "signal"));
    let (reason, detail) = (word(task, "reason"), word(task, "detail"));
    let mut why = Vec::new();
    if !detail.is_empty() {
        why.push(detail);
    } else if !code.is_empty() && code != "0" {
        why.push(format!("it exited with code {code}"));
    } else if !signal.is_empty() {
        why.push(format!("signal {signal} ended it"));
    }
    if !reason.is_empty() {
        why.push(if why.is_empty() { reason } else { format!("({reason})") });
    }
    if !why.is_empty() {
        line.push_str(&format!(": {}", why.join(" ")));
    }
    match out::at(task, "verified").as_bool() {
        Some(true) => line.push_str(&format!(", {}", out::tinted("verified"))),
        Some(false) => line.push_str(&format!(", {}", out::tinted("NOT verified"))),
        None => {}
    }
    line
}

/// The exit code of a plan that stands like this.
pub fn exit_of(plan: &Value) -> Exit {
    match state(plan) {
        Some(PlanState::Pending | PlanState::Preparing) => Exit::Waiting,
        Some(PlanState::Refused | PlanState::Rejected) => Exit::Refused,
        Some(PlanState::Finished) => {
            let good =
                tasks(plan).iter().filter(|task| task_state(task) == Some(TaskState::Succeeded)).count();
            match good {
                0 => Exit::Failed,
                count if count == tasks(plan).len() => Exit::Ok,
                _ => Exit::SomeFailed,
            }
        }
        _ => Exit::Failed,
    }
}

/// The record of `exec -o json`: one a host. Bytes that are no UTF-8 stand beside the text, in base64.
pub fn exec_record(task: &Value) -> Value {
    let mut record = json!({
        "host": out::at(task, "name").as_str().or_else(|| out::at(task, "host").as_str()),
        "state": out::at(task, "state"),
        "exit_code": out::at(task, "exit_code"),
        "reason": out::at(task, "reason").as_str().or_else(|| out::at(task, "detail").as_str()),
    });
    for stream in ["stdout", "stderr"] {
        let bytes = kept(task, stream);
        let text = String::from_utf8_lossy(&bytes);
        if let Value::Object(fields) = &mut record {
            if out::at(task, &format!("output.{stream}.truncated")).as_bool() == Some(true) {
                fields.insert(format!("{stream}_truncated"), json!(true));
            }
            if text.as_bytes() != bytes {
                fields.insert(format!("{stream}_b64"), json!(to_b64(&bytes)));
            }
            fields.insert(stream.into(), json!(text));
        }
    }
    record
}

/// The record of a host whose plan waits for people.
fn held(mut record: Value, plan: &str) -> Value {
    if let Value::Object(fields) = &mut record {
        fields.insert("reason".into(), json!("it waits for approval"));
        fields.insert("plan".into(), json!(plan));
    }
    record
}

/// Whether something more can be waited for: approvals count only where the caller waits for them.
fn goes_on(plan: &Value, patience: Patience) -> bool {
    match state(plan) {
        Some(PlanState::Pending) => patience == Patience::ForApprovals,
        Some(state) => !state.is_final(),
        None => false,
    }
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patience {
    /// Until it ends, but not for people.
    #[default]
    ForHosts,
    /// Until it ends, people included.
    ForApprovals,
}

/// Follows a plan from this answer on, printing output where people look, and answers the plan as it ended.
pub async fn follow(session: &Session, plan: Value, patience: Patience) -> Result<Value, Fault> {
    let path = format!("/api/v1/plans/{}", word(&plan, "id"));
    let mut printer = Printer::new(&plan);
    let live = session.format.is_for_people();
    let mut plan = plan;
    if goes_on(&plan, patience) {
        let mut stream = sse::Stream::new(&session.client, &format!("{path}/stream"), None);
        while goes_on(&plan, patience) && !out::reader_is_gone() {
            let event = stream.next().await?;
            let data: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
            match event.kind.as_str() {
                "output" if live => printer.piece(&data),
                "plan" | "task" | "end" => plan = session.client.get(&path).await?,
                _ => {}
            }
        }
    }
    if live {
        tasks(&plan).iter().for_each(|task| printer.end(task));
    }
    Ok(plan)
}

/// Shows a plan that was just made, follows it, and ends with its exit code. Who interrupts it is told that it goes on.
pub async fn see_through(session: &Session, plan: Value, patience: Patience) -> Outcome {
    let id = word(&plan, "id");
    let mut interrupt = signal(SignalKind::interrupt())?;
    let plan = tokio::select! {
        biased;
        plan = follow(session, plan, patience) => plan?,
        _ = interrupt.recv() => {
            out::note(&format!("\nplan {id} goes on without you\n  legatorctl plans watch {id}\n  legatorctl plans cancel {id}"));
            return Ok(Exit::Interrupted);
        }
    };
    if out::reader_is_gone() {
        return Ok(Exit::Interrupted);
    }
    let exit = exit_of(&plan);
    match session.format {
        Format::Table | Format::Wide => ends(&plan),
        Format::Name => out::record(session.format, &plan, String::new),
        _ if tasks(&plan).is_empty() || (exit == Exit::Waiting && word(&plan, "verb") != "shell.run") => {
            out::record(session.format, &plan, String::new);
        }
        format => {
            let waiting = (exit == Exit::Waiting).then(|| word(&plan, "id"));
            let records = tasks(&plan).iter().map(exec_record).map(|record| match &waiting {
                Some(plan) => held(record, plan),
                None => record,
            });
            let records: Vec<Value> = records.collect();
            out::records(if format == Format::Json { Format::Jsonl } else { format }, &records, &[]);
        }
    }
    tell(&plan);
    Ok(exit)
}

/// Says on standard error how a plan stands that did not simply run.
fn tell(plan: &Value) {
    let id = word(plan, "id");
    match state(plan) {
        Some(PlanState::Pending | PlanState::Preparing) => {
            out::note(&format!("plan {id} waits for approval: {}", word(plan, "decision.reason")));
            out::note(&format!(
                "  legatorctl approvals approve {id}\n  legatorctl plans watch {id}\n  legatorctl why {id}"
            ));
        }
        Some(PlanState::Refused) => {
            out::note(&format!(
                "plan {id} was {}: {} (rule {})\n  legatorctl why {id}",
                out::tinted("refused"),
                word(plan, "decision.reason"),
                word(plan, "decision.rule")
            ));
        }
        Some(state @ (PlanState::Rejected | PlanState::Expired | PlanState::Cancelled)) => {
            let votes = out::list(plan, "approvals").iter().filter(|vote| word(vote, "decision") == "reject");
            let said: String = votes
                .map(|vote| {
                    let reason = word(vote, "reason");
                    let colon = if reason.is_empty() { "" } else { ": " };
                    format!(" by {}{colon}{reason}", person(&word(vote, "person")))
                })
                .collect();
            let word = match state {
                PlanState::Rejected => "was rejected",
                PlanState::Expired => "expired before it ran",
                _ => "was cancelled",
            };
            out::note(&format!("plan {id} {word}{said}"));
        }
        _ => {}
    }
}

/// A person for people: the one of an installation without authentication has a name that everybody knows.
pub fn person(id: &str) -> String {
    let local = legator_core::ids::PersonId::LOCAL.to_string();
    if id == local { "local".to_owned() } else { id.to_owned() }
}

fn ends(plan: &Value) {
    let many = tasks(plan).len() > 1;
    let shown = |task: &&Value| {
        many || task_state(task).is_some_and(|state| state.is_final() && state != TaskState::Succeeded)
            || out::at(task, "verified").is_boolean()
    };
    if state(plan) == Some(PlanState::Finished) {
        tasks(plan).iter().filter(shown).for_each(|task| out::note(&end_line(task)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(states: &[&str]) -> Value {
        let tasks: Vec<Value> = states.iter().map(|state| json!({"state": state})).collect();
        json!({"state": "finished", "tasks": tasks})
    }

    #[test]
    fn silence_is_never_success() {
        assert_eq!(exit_of(&plan(&["succeeded", "succeeded"])), Exit::Ok);
        assert_eq!(exit_of(&plan(&["succeeded", "unknown"])), Exit::SomeFailed);
        assert_eq!(exit_of(&plan(&["unreachable"])), Exit::Failed);
        assert_eq!(exit_of(&plan(&[])), Exit::Failed);
        assert_eq!(exit_of(&json!({"state": "pending"})), Exit::Waiting);
        assert_eq!(exit_of(&json!({"state": "refused"})), Exit::Refused);
        assert_eq!(exit_of(&json!({})), Exit::Failed);
    }

    #[test]
    fn a_record_of_exec_has_the_promised_fields() {
        let task = json!({"name": "web-03", "host": "host_1", "state": "succeeded", "exit_code": 0,
            "output": {"stdout": {"text": "hi\n"}, "stderr": {"b64": "aG8="}}});
        let record = exec_record(&task);
        assert_eq!(
            record,
            json!({"host": "web-03", "state": "succeeded", "exit_code": 0, "stdout": "hi\n", "stderr": "ho", "reason": null})
        );
        let task = json!({"output": {"stdout": {"b64": "/w==", "truncated": true}}});
        let record = exec_record(&task);
        assert_eq!((&record["stdout"], &record["stdout_b64"]), (&json!("\u{fffd}"), &json!("/w==")));
        assert_eq!(record["stdout_truncated"], true);
    }
}
