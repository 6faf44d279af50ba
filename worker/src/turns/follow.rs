//! Plans of a turn, followed to their end.
//!
//! Owns the steps that tell of a plan, its approval and its outcome: all by the server, from the gate's view and the kept output.
//! Invariant: a plan is announced once, each change of its approval is told, and its end is told once.

use super::{TurnError, Turns, begin, told};
use legator_core::brain::{Approver, EVIDENCE_BYTES_MAX, PlanHost, Step, TaskLine};
use legator_core::digest::Digest;
use legator_core::ids::PlanId;
use legator_core::level::Level;
use legator_core::plan::PlanState;
use legator_core::text;
use legator_gate::{Caller, Cap, PlanView, TaskView};
use legator_store::chats::{Add, Call, Turn};
use legator_store::outputs::{self, Output};

/// How many hosts are named in a step.
const NAMED_MAX: usize = 50;
/// The largest state before or after that a step carries, in bytes.
const STATE_BYTES_MAX: usize = 4096;
const DIFF_BYTES_MAX: usize = 16 * 1024;

impl Turns {
    /// Writes down what became of a call's plan since the last time; the turn then, and whether the call is over.
    pub(super) async fn follow(
        &self,
        turn: Turn,
        caller: &Caller,
        (call, plan): (&Call, PlanId),
    ) -> Result<(Turn, bool), TurnError> {
        let Some(view) = legator_gate::plan_view(&self.gate, turn.tenant, plan).await? else {
            let turn = self.refuse(turn, call, "the plan is gone").await?;
            return Ok((turn, true));
        };
        match call.what.level == Level::Observe.word() {
            true => self.reading(turn, caller, (call, &view)).await,
            false => self.proposal(turn, (call, &view)).await,
        }
    }

    /// A read: evidence once every host has ended.
    async fn reading(
        &self,
        turn: Turn,
        caller: &Caller,
        (call, view): (&Call, &PlanView),
    ) -> Result<(Turn, bool), TurnError> {
        if view.state == PlanState::Pending {
            // A policy may want approvals for a read; nobody is asked for what a model wants to look at.
            // The server takes the plan back, as the person could: the model has no right to.
            let person = Caller { cap: Cap::All, ..caller.clone() };
            drop(legator_gate::cancel(&self.gate, &person, view.id).await);
            let turn = self.refuse_followed(turn, call, "the policy wants approvals for this read").await?;
            return Ok((turn, true));
        }
        if !view.state.is_final() {
            return Ok((turn, false));
        }
        if view.tasks.is_empty() || view.state != PlanState::Finished {
            let why = format!("the read was {}: {}", view.state, view.decision.reason);
            let turn = self.refuse_followed(turn, call, &why).await?;
            return Ok((turn, true));
        }
        let steps = self.evidence(&turn, call, view).await?;
        let add = Add { steps, closed: vec![call.what.call.clone()], ..Add::default() };
        Ok((self.grow(turn, add).await?, true))
    }

    async fn evidence(&self, turn: &Turn, call: &Call, view: &PlanView) -> Result<Vec<Step>, TurnError> {
        let ids: Vec<_> = view.tasks.iter().map(|task| task.id).collect();
        let mut kept = outputs::of_tasks(&self.store, &ids).await?;
        let left = told::evidence_left(&self.steps(turn).await?);
        let share = (left / view.tasks.len().max(1)).min(EVIDENCE_BYTES_MAX);
        let steps = view.tasks.iter().enumerate().map(|(place, task)| {
            let output: Output = kept.remove(&task.id).unwrap_or_default();
            let empty = output.stdout.is_empty() && output.stderr.is_empty();
            let (text, cut) = match empty {
                true => (String::new(), false),
                false => told::evidence_text(&output.stdout, &output.stderr, share),
            };
            Step::Evidence {
                call: call.what.call.clone(),
                id: format!("e{}", turn.steps as usize + place + 1),
                plan: view.id,
                task: task.id,
                host: task.host,
                name: text::shown_line(&task.name),
                state: task.state,
                exit_code: task.exit_code,
                text: if empty { reason(task).unwrap_or_default() } else { text },
                bytes: (output.stdout.len() + output.stderr.len()) as u64,
                cut,
            }
        });
        Ok(steps.collect())
    }

    /// A proposal: announced, its approval told, its outcome told.
    async fn proposal(
        &self,
        mut turn: Turn,
        (call, view): (&Call, &PlanView),
    ) -> Result<(Turn, bool), TurnError> {
        let Some(digest) = view.digest else {
            // The present state is still being read; or it never got that far.
            return match view.state.is_final() {
                true => self.ended(turn, (call, view), vec![]).await,
                false => Ok((turn, false)),
            };
        };
        let recorded = self.steps(&turn).await?;
        let mut steps = Vec::new();
        if !recorded.iter().any(|step| matches!(step, Step::Plan { plan, .. } if *plan == view.id)) {
            steps.push(announced(call, view, digest, begin::read_before(&recorded)));
        }
        let approval = approval(view, digest);
        let told = recorded
            .iter()
            .rev()
            .find(|step| matches!(step, Step::Approval { plan, .. } if *plan == view.id));
        if told != Some(&approval) {
            steps.push(approval);
        }
        if view.state.is_final() {
            return self.ended(turn, (call, view), steps).await;
        }
        if !steps.is_empty() {
            turn = self.grow(turn, Add { steps, ..Add::default() }).await?;
        }
        Ok((turn, false))
    }

    async fn ended(
        &self,
        turn: Turn,
        (call, view): (&Call, &PlanView),
        mut steps: Vec<Step>,
    ) -> Result<(Turn, bool), TurnError> {
        let tasks: Vec<TaskLine> = view.tasks.iter().map(line).collect();
        let text = told::outcome(&view.verb, view.state, &tasks);
        let id = format!("e{}", turn.steps as usize + steps.len() + 1);
        let tasks = tasks.into_iter().take(NAMED_MAX).collect();
        steps.push(Step::Outcome {
            call: call.what.call.clone(),
            id,
            plan: view.id,
            state: view.state,
            tasks,
            text,
        });
        let add = Add { steps, closed: vec![call.what.call.clone()], ..Add::default() };
        Ok((self.grow(turn, add).await?, true))
    }

    /// A call whose plan came to nothing.
    async fn refuse_followed(&self, turn: Turn, call: &Call, why: &str) -> Result<Turn, TurnError> {
        let turn = self.refuse(turn, call, why).await?;
        self.grow(turn, Add { closed: vec![call.what.call.clone()], ..Add::default() }).await
    }
}

fn announced(call: &Call, view: &PlanView, digest: Digest, after_reading: Vec<String>) -> Step {
    let host = |task: &TaskView| PlanHost { id: task.host, name: text::shown_line(&task.name) };
    Step::Plan {
        call: call.what.call.clone(),
        plan: view.id,
        digest,
        verb: view.verb.clone(),
        args: told::safe_args(&view.args, 6),
        level: view.level,
        text: text::shown_line(&text::brief(&view.text, 1000)),
        hosts: view.tasks.iter().take(NAMED_MAX).map(host).collect(),
        hosts_count: view.hosts_total,
        effect: view.decision.effect,
        rule: view.decision.rule.clone(),
        approvals_needed: view.decision.approvals_needed,
        decide_by: view.decide_by,
        after_reading,
        diff: view.diff.as_ref().map(|diff| text::shown(&text::ends(diff, DIFF_BYTES_MAX))),
    }
}

fn approval(view: &PlanView, digest: Digest) -> Step {
    let by = view.approvals.iter().map(|approval| Approver {
        person: approval.person.to_string(),
        vote: approval.decision.to_string(),
    });
    Step::Approval {
        plan: view.id,
        digest,
        state: view.state,
        approvals_needed: view.decision.approvals_needed,
        by: by.collect(),
    }
}

fn line(task: &TaskView) -> TaskLine {
    TaskLine {
        task: task.id,
        host: task.host,
        name: text::shown_line(&task.name),
        state: task.state,
        verified: task.verified,
        exit_code: task.exit_code,
        before: bounded(task.before.as_ref()),
        after: bounded(task.after.as_ref()),
        reason: reason(task),
    }
}

fn reason(task: &TaskView) -> Option<String> {
    let words = task.detail.as_ref().or(task.reason.as_ref())?;
    Some(text::redact(&text::shown_line(&text::brief(words, 500))))
}

/// A state of a host, as far as a step carries it; made safe to show.
fn bounded(state: Option<&serde_json::Value>) -> serde_json::Value {
    match state {
        Some(state) if state.to_string().len() <= STATE_BYTES_MAX => told::safe_args(state, 8),
        Some(_) => serde_json::Value::String("too large to show here; see the task".to_owned()),
        None => serde_json::Value::Null,
    }
}
