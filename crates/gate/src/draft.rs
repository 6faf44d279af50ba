//! A plan in the making: its body, what people are told besides, its tasks, and the event that tells of it.
//!
//! Owns the times and the defaults of a rollout. Invariant: the plan's bytes are made from the final list of leaves and never again.

use legator_core::decision::{Decision, Effect};
use legator_core::error::{ErrorKind, Failure};
use legator_core::event::{About as Subject, NewEvent};
use legator_core::ids::{PlanId, TaskId, TurnId};
use legator_core::level::Level;
use legator_core::plan::{BadPlan, Leaf, Plan, PlanBody, PlanState, Rollout, leaves_root};
use legator_core::span::Span;
use legator_core::task::{TaskMove, TaskState};
use legator_core::time::Timestamp;
use legator_store::hosts::HostRow;
use legator_store::plans::PlanRow;
use legator_store::tasks::TaskRow;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ask::{Ask, AskRollout};
use crate::error::GateError;

/// When approving ends, when nothing was asked for: 15 minutes.
const DECIDE_IN: Span = Span::from_secs(15 * 60);
/// How long after that a task may start, when nothing was asked for: one hour.
const START_WITHIN: Span = Span::from_secs(3600);
/// The longest life of a plan: 7 days.
const LIFE_MAX: Span = Span::from_secs(7 * 86_400);
/// Hosts of a wave of a change, when nothing was asked for.
const CHANGE_BATCH: u32 = 10;
/// Names in an event, at most.
const NAMED_MAX: usize = 50;

/// What people are told of a plan besides its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// One line.
    pub(crate) text: String,
    /// It runs an unconfined program.
    #[serde(default)]
    pub(crate) unconfined: bool,
    /// By which door.
    pub(crate) via: String,
    /// The selector that was asked with.
    pub(crate) selector: String,
    /// The turn of a chat that proposed it.
    #[serde(default)]
    pub(crate) turn: Option<TurnId>,
    /// For `task.undo`: the verb that is taken back.
    #[serde(default)]
    pub(crate) undoes: Option<String>,
    /// Hosts of the tenant when it was asked.
    #[serde(default)]
    pub(crate) fleet: u32,
    /// Whether the assistant asked.
    #[serde(default)]
    pub(crate) proposed: bool,
    /// Names of hosts that were left out, since they did not show their present state.
    #[serde(default)]
    pub(crate) left_out: Vec<String>,
    /// The difference that approvers are shown.
    #[serde(default)]
    pub(crate) diff: Option<String>,
}

impl About {
    pub(crate) fn of(row: &PlanRow) -> Result<Self, GateError> {
        serde_json::from_str(&row.about).map_err(|error| GateError::corrupt("plan", error))
    }
}

/// The body in a row's bytes, also while it is a draft.
pub(crate) fn body(row: &PlanRow) -> Result<PlanBody, GateError> {
    serde_json::from_slice(&row.body).map_err(|error| GateError::corrupt("plan", error))
}

/// When approving ends, and the last moment at which a task may start.
pub(crate) fn times(ask: &Ask, now: Timestamp) -> Result<(Timestamp, Timestamp), Failure> {
    let bounded = |name: &str, span: Span| {
        let fits = span >= Span::from_secs(1) && span <= LIFE_MAX;
        fits.then_some(span).ok_or_else(|| {
            Failure::invalid("bad-times", format!("{name} is {span}; it can be from 1s to {LIFE_MAX}"))
        })
    };
    let decide_in = ask.decide_in.map(|span| bounded("decide_in", span)).transpose()?;
    let expires_in = ask.expires_in.map(|span| bounded("expires_in", span)).transpose()?;
    let life = Span::from_millis(decide_in.unwrap_or(DECIDE_IN).millis() + START_WITHIN.millis());
    let expires_in = expires_in.unwrap_or(life).min(LIFE_MAX);
    match decide_in {
        Some(decide_in) if decide_in > expires_in => {
            let detail = format!("decide_in {decide_in} is longer than expires_in {expires_in}");
            Err(Failure::invalid("bad-times", detail))
        }
        _ => Ok((now + decide_in.unwrap_or(DECIDE_IN).min(expires_in), now + expires_in)),
    }
}

/// The rollout that was asked for, or the default of its level: reads go to all hosts at once, changes ten by ten, and stop at the
/// first failure.
pub(crate) fn rollout(asked: Option<&AskRollout>, level: Level, hosts: usize) -> Result<Rollout, Failure> {
    let hosts = u32::try_from(hosts).unwrap_or(u32::MAX).max(1);
    let changes = level == Level::Remediate;
    let batch =
        asked.and_then(|asked| asked.batch).unwrap_or(if changes { CHANGE_BATCH.min(hosts) } else { hosts });
    let stop = asked.and_then(|asked| asked.stop_after_failures);
    let rollout = Rollout {
        batch,
        max_parallel: asked.and_then(|asked| asked.max_parallel).unwrap_or(batch),
        stop_after_failures: stop.or(changes.then_some(1)),
        pause: asked.and_then(|asked| asked.pause).unwrap_or(Span::from_millis(0)),
    };
    match rollout.is_valid() {
        true => Ok(rollout),
        false => Err(Failure::invalid("bad-rollout", "a number of the rollout is out of its range")
            .hint("batch, max_parallel and stop_after_failures are from 1 to 100000, pause at most 1d")),
    }
}

/// The tasks of a new plan, in the order of its hosts.
pub(crate) fn tasks(body: &PlanBody, hosts: &[&HostRow], fresh: impl Fn() -> TaskId) -> Vec<TaskRow> {
    let task = |(place, host): (u32, &&HostRow)| TaskRow {
        id: fresh(),
        plan: body.plan,
        tenant: body.tenant,
        host: host.id,
        place,
        name: host.facts.name.clone(),
        key: host.key.clone(),
        shown: None,
        state: TaskState::Waiting,
        wave: None,
        apart: false,
        sent_at: None,
        lose_at: None,
        grant: None,
        ended_at: None,
        reason: None,
        detail: None,
        receipt: None,
        receipt_digest: None,
        was_unknown: false,
    };
    (0..).zip(hosts).map(task).collect()
}

/// Fixes the body over these tasks: the plan whose bytes are kept.
pub(crate) fn fix(mut body: PlanBody, tasks: &[TaskRow]) -> Result<Plan, Failure> {
    let leaves: Vec<Leaf> = tasks.iter().map(TaskRow::leaf).collect();
    body.hosts = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
    body.root = leaves_root(&leaves);
    Plan::make(body).map_err(|error| match error {
        BadPlan::TooLarge(_) => Failure::new(ErrorKind::TooLarge, "plan-too-large", error.to_string()),
        other => Failure::invalid("bad-plan", other.to_string()),
    })
}

/// Where a plan stands after the policy was asked.
pub(crate) fn state_after(decision: &Decision) -> PlanState {
    match decision.effect {
        Effect::Allow => PlanState::Approved,
        Effect::NeedsApproval => PlanState::Pending,
        Effect::Refuse => PlanState::Refused,
    }
}

/// Ends tasks, all by the same move.
pub(crate) fn end(
    task: &mut TaskRow,
    by: TaskMove,
    now: Timestamp,
    why: (&str, &str),
) -> Result<(), GateError> {
    task.state = task.state.after(by)?;
    task.ended_at = Some(now);
    task.reason = Some(why.0.to_owned());
    task.detail = Some(why.1.to_owned());
    Ok(())
}

/// The row of a plan that is fixed.
pub(crate) fn row(plan: &Plan, about: &About, decision: Decision, now: Timestamp) -> PlanRow {
    let body = plan.body();
    let state = state_after(&decision);
    PlanRow {
        id: body.plan,
        tenant: body.tenant,
        version: 1,
        state,
        verb: body.verb.clone(),
        requester: body.requester,
        made_at: body.made_at,
        decide_by: body.decide_by,
        expires_at: body.expires_at,
        digest: Some(plan.digest()),
        body: plan.bytes().to_vec(),
        about: serde_json::to_string(about).unwrap_or_default(),
        decision,
        reading: None,
        prepares: None,
        revoked: false,
        taken_back: false,
        wave: 0,
        ended_at: state.is_final().then_some(now),
    }
}

/// The event of a new plan.
pub(crate) fn made(row: &PlanRow, body: &PlanBody, about: &About, tasks: &[TaskRow]) -> NewEvent {
    let hosts: Vec<_> =
        tasks.iter().take(NAMED_MAX).map(|task| json!({"id": task.host, "name": task.name})).collect();
    let data = json!({
        "verb": row.verb, "text": about.text, "level": body.level, "effects": body.effects, "hosts": tasks.len(),
        "named": hosts, "selector": about.selector, "digest": row.digest, "state": row.state, "decision": row.decision,
        "reason": body.reason, "decide_by": row.decide_by, "expires_at": row.expires_at, "turn": about.turn,
        "prepares": row.prepares, "left_out": about.left_out,
    });
    let about = match tasks {
        [only] => Subject { host: Some(only.host), ..Subject::plan(row.id) },
        _ => Subject::plan(row.id),
    };
    NewEvent::new("plan.made", about, data)
}

/// A fresh id of a plan.
pub(crate) fn plan_id(gate: &crate::Gate) -> PlanId {
    PlanId::fresh(gate.store.ids())
}
