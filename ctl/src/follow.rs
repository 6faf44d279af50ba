//! Following a plan until it ends: live output by host, then each task's end.
//!
//! Owns the printing of output that comes in pieces, once each. Invariant: what the live stream lost is printed from the kept output.

use crate::cli::Session;
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, Format, word};
use crate::sse;
use legator_core::plan::PlanState;
use legator_core::task::TaskState;
use legator_core::text::shown_bytes;
use legator_wire::dsse::from_b64;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The state of a plan in an answer.
pub fn state(plan: &Value) -> Option<PlanState> {
    out::at(plan, "state").as_str()?.parse().ok()
}

/// The tasks of a plan in an answer.
pub fn tasks(plan: &Value) -> &[Value] {
    out::at(plan, "tasks").as_array().map_or(&[], Vec::as_slice)
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
    let output = out::at(task, &format!("output.{stream}")).clone();
    let text = output.get("text").and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
    text.or_else(|| output.get("b64").and_then(Value::as_str).and_then(from_b64)).unwrap_or_default()
}

/// What was printed so far of each stream of each task, in bytes.
#[derive(Default)]
pub struct Printer {
    printed: BTreeMap<(String, String), u64>,
    many: bool,
    names: BTreeMap<String, String>,
}

impl Printer {
    /// A printer for a plan; with several hosts each line begins with the host's name.
    pub fn new(plan: &Value) -> Self {
        let names = tasks(plan).iter().map(|task| (word(task, "id"), host_name(task))).collect();
        Self { printed: BTreeMap::new(), many: tasks(plan).len() > 1, names }
    }

    fn piece(&mut self, event: &Value) {
        let task = word(event, "task");
        let stream = word(event, "stream");
        let offset = out::at(event, "offset").as_u64().unwrap_or(0);
        let Some(bytes) = out::at(event, "b64").as_str().and_then(from_b64) else { return };
        let done = self.printed.entry((task.clone(), stream.clone())).or_insert(0);
        // A gap is left to the kept output; what came before is not printed again.
        if offset > *done {
            return;
        }
        let skip = usize::try_from(*done - offset).unwrap_or(usize::MAX);
        if let Some(fresh) = bytes.get(skip..).filter(|fresh| !fresh.is_empty()) {
            *done += fresh.len() as u64;
            self.print(&task, &stream, fresh);
        }
    }

    fn print(&self, task: &str, stream: &str, bytes: &[u8]) {
        let text = shown_bytes(bytes);
        let prefix = if self.many { self.names.get(task).map(|name| format!("{name}: ")) } else { None };
        let text = match prefix {
            Some(prefix) => text.lines().map(|line| format!("{prefix}{line}\n")).collect(),
            None => text,
        };
        match stream {
            "stderr" => anstream::eprint!("{text}"),
            _ => anstream::print!("{text}"),
        }
    }

    /// Prints what the live stream did not bring, and how the task ended where it did not succeed.
    fn end(&mut self, task: &Value) {
        let id = word(task, "id");
        for stream in ["stdout", "stderr"] {
            let bytes = kept(task, stream);
            let key = (id.clone(), stream.to_owned());
            let done = usize::try_from(self.printed.get(&key).copied().unwrap_or(0)).unwrap_or(usize::MAX);
            let cut = out::at(task, &format!("output.{stream}.truncated")).as_bool() == Some(true);
            if let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
                self.print(&id, stream, rest);
            }
            if cut {
                out::note(&format!("{}: {stream} was cut to {} bytes", host_name(task), bytes.len()));
            }
            self.printed.insert(key, u64::MAX);
        }
    }
}

/// One line a task: host, state and why.
pub fn end_line(task: &Value) -> String {
    let mut line = format!("{}: {}", host_name(task), word(task, "state"));
    let code = word(task, "exit_code");
    if !code.is_empty() && code != "0" {
        line.push_str(&format!(", exit code {code}"));
    }
    for field in ["reason", "detail"] {
        let text = word(task, field);
        if !text.is_empty() {
            line.push_str(&format!(", {text}"));
        }
    }
    match out::at(task, "verified").as_bool() {
        Some(true) => line.push_str(", verified"),
        Some(false) => line.push_str(", NOT verified"),
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
                count if count == tasks(plan).len() => Exit::Ok,
                0 => Exit::Failed,
                _ => Exit::SomeFailed,
            }
        }
        _ => Exit::Failed,
    }
}

/// The record of `exec -o json`: one a host.
pub fn exec_record(task: &Value) -> Value {
    let text = |stream: &str| String::from_utf8_lossy(&kept(task, stream)).into_owned();
    json!({
        "host": out::at(task, "name").as_str().or_else(|| out::at(task, "host").as_str()),
        "state": out::at(task, "state"),
        "exit_code": out::at(task, "exit_code"),
        "stdout": text("stdout"),
        "stderr": text("stderr"),
        "reason": out::at(task, "reason"),
    })
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
    let live = matches!(session.format, Format::Table | Format::Wide);
    let mut plan = plan;
    if goes_on(&plan, patience) {
        let mut stream = sse::Stream::new(&session.client, &format!("{path}/stream"), None);
        while goes_on(&plan, patience) {
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

/// Shows a plan that was just made, follows it, and ends with its exit code.
pub async fn see_through(session: &Session, plan: Value, patience: Patience) -> Outcome {
    let plan = follow(session, plan, patience).await?;
    let exit = exit_of(&plan);
    match session.format {
        Format::Json | Format::Jsonl | Format::Yaml if exit != Exit::Waiting => {
            let records: Vec<Value> = tasks(&plan).iter().map(exec_record).collect();
            match session.format {
                Format::Yaml => out::records(session.format, &records, &[]),
                _ => records.iter().for_each(|record| out::say(&record.to_string())),
            }
        }
        Format::Json | Format::Jsonl | Format::Yaml | Format::Name => {
            out::record(session.format, &plan, String::new)
        }
        Format::Table | Format::Wide => ends(&plan),
    }
    match exit {
        Exit::Waiting => {
            let id = word(&plan, "id");
            out::note(&format!("plan {id} waits for approval: {}", word(&plan, "decision.reason")));
            out::note(&format!("  legatorctl approvals approve {id}\n  legatorctl plans watch {id}"));
        }
        Exit::Refused => out::note(&format!(
            "plan {} was {}: {} ({})",
            word(&plan, "id"),
            word(&plan, "state"),
            word(&plan, "decision.reason"),
            word(&plan, "decision.rule")
        )),
        _ => {}
    }
    Ok(exit)
}

fn ends(plan: &Value) {
    let many = tasks(plan).len() > 1;
    let shown = |task: &&Value| {
        many || task_state(task).is_some_and(|state| state.is_final() && state != TaskState::Succeeded)
            || out::at(task, "verified").is_boolean()
    };
    if state(plan).is_some_and(PlanState::is_final) {
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
    }
}
