//! Reap: what the passing of time ends, and what is left to do.
//!
//! Owns expiry and loss. Never ends what may still be told by a host: a task that was handed over is `unknown`, not failed.
//! Invariant: it finds by the store alone whatever a lost message left behind.

use legator_core::event::{About as Subject, NewEvent};
use legator_core::ids::{PlanId, TenantId, TraceId};
use legator_core::plan::{PlanMove, PlanState};
use legator_core::task::{TaskMove, TaskState};
use legator_core::time::Timestamp;
use legator_store::plans::Open;
use legator_store::tasks::{Change, TaskRow};
use legator_store::{Audited, Op, Tx, plans, tasks};
use serde_json::json;

use crate::Gate;
use crate::draft;
use crate::error::GateError;
use crate::prepare::READING_MAX;
use crate::revoke::finish;

/// What a sweep found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Plans with tasks that wait to be handed over: to seal.
    pub dispatch: Vec<PlanId>,
    /// Plans whose reading is done: to prepare.
    pub prepare: Vec<PlanId>,
    /// Plans that were changed here: to wake watchers.
    pub changed: Vec<PlanId>,
}

/// Sweeps over everything that has not ended.
///
/// # Errors
/// When the store fails.
pub async fn reap(gate: &Gate) -> Result<Reaped, GateError> {
    let now = gate.store.clock().now();
    let mut reaped = Reaped::default();
    for open in plans::open(&gate.store).await? {
        if is_over(&open, now) {
            if expire(gate, open.id).await? {
                reaped.changed.push(open.id);
            }
            continue;
        }
        match open.state {
            PlanState::Approved | PlanState::Running if open.waiting > 0 => reaped.dispatch.push(open.id),
            PlanState::Preparing if open.reading == 0 || now >= open.made_at + READING_MAX => {
                reaped.prepare.push(open.id)
            }
            _ => {}
        }
    }
    reaped.changed.extend(lose(gate, now).await?);
    Ok(reaped)
}

/// Whether time, or the end of its last task, ends something of this plan.
fn is_over(open: &Open, now: Timestamp) -> bool {
    match open.state {
        PlanState::Preparing | PlanState::Pending => now >= open.decide_by,
        PlanState::Approved => now >= open.expires_at,
        PlanState::Running => (now >= open.expires_at && open.waiting > 0) || open.open == 0,
        _ => false,
    }
}

async fn expire(gate: &Gate, plan: PlanId) -> Result<bool, GateError> {
    let Some(row) = plans::get(&gate.store, plan).await? else { return Ok(false) };
    let op = Op::system(row.tenant, "reap", TraceId::fresh(gate.store.ids()));
    match gate.store.write(&op, async |tx| write(tx, plan).await).await {
        Ok(()) => Ok(true),
        // Somebody was faster; the next sweep looks again.
        Err(GateError::Conflict | GateError::Nothing) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn write(tx: &Tx, plan: PlanId) -> Result<Audited<()>, GateError> {
    let mut row = plans::of_act(tx, plan).await?.ok_or(GateError::Nothing)?;
    let now = tx.now();
    let rows = tasks::of_plan_in(tx, plan).await?;
    let due = match row.state {
        PlanState::Preparing | PlanState::Pending => now >= row.decide_by,
        PlanState::Approved => now >= row.expires_at,
        PlanState::Running => now >= row.expires_at || rows.iter().all(|task| task.state.is_final()),
        _ => false,
    };
    if !due {
        return Err(GateError::Nothing);
    }
    let changes = expired(rows, row.revoked, now)?;
    if !tasks::update(tx, &changes).await? {
        return Err(GateError::Conflict);
    }
    let ran = row.state == PlanState::Running;
    if !ran {
        row.state = row.state.after(PlanMove::Expire)?;
        row.ended_at = Some(now);
    }
    finish(tx, &mut row).await?;
    let kind = if ran && row.state.is_final() { "plan.finished" } else { "plan.expired" };
    let data = json!({"state": row.state, "expired": changes.len(), "digest": row.digest});
    Ok(Audited::new((), NewEvent::new(kind, Subject::plan(plan), data)))
}

/// The waiting ones among these tasks, ended: cancelled where somebody took an approval back, expired otherwise.
fn expired(rows: Vec<TaskRow>, revoked: bool, now: Timestamp) -> Result<Vec<Change>, GateError> {
    let (by, why) = match revoked {
        true => {
            (TaskMove::Cancel, ("approval-revoked", "an approval was taken back, and no other came in time"))
        }
        false => (TaskMove::Expire, ("expired", "it did not start before the end of its plan")),
    };
    let waiting = rows.into_iter().filter(|task| task.state == TaskState::Waiting);
    let end = |mut task: TaskRow| {
        draft::end(&mut task, by, now, why)?;
        Ok(Change { from: TaskState::Waiting, to: task })
    };
    waiting.map(end).collect()
}

/// Tasks that were handed over and of which nothing came back in time.
async fn lose(gate: &Gate, now: Timestamp) -> Result<Vec<PlanId>, GateError> {
    if !tasks::any_lost(&gate.store, now).await? {
        return Ok(Vec::new());
    }
    let trace = TraceId::fresh(gate.store.ids());
    let op = Op::system(TenantId::DEFAULT, "reap", trace);
    match gate.store.write(&op, async |tx| write_lost(tx, trace).await).await {
        Err(GateError::Nothing | GateError::Conflict) => Ok(Vec::new()),
        other => other,
    }
}

async fn write_lost(tx: &Tx, trace: TraceId) -> Result<Audited<Vec<PlanId>>, GateError> {
    let why = ("no-receipt", "it was handed to the host and no receipt came back in time");
    let lost = tasks::lost_in(tx).await?.into_iter().map(|mut task| {
        let from = task.state;
        draft::end(&mut task, TaskMove::Lose, tx.now(), why)?;
        Ok(Change { from, to: task })
    });
    let lost = lost.collect::<Result<Vec<Change>, GateError>>()?;
    if !tasks::update(tx, &lost).await? {
        return Err(GateError::Conflict);
    }
    let mut of: Vec<PlanId> = lost.iter().map(|change| change.to.plan).collect();
    of.sort_unstable();
    of.dedup();
    let ended: Vec<PlanId> = plans::finish(tx, &of).await?.into_iter().map(|(plan, _)| plan).collect();
    let mut events = lost.iter().map(|change| {
        let task = &change.to;
        let data = json!({"name": task.name, "state": task.state, "reason": task.reason, "grant": task.grant,
            "plan_finished": ended.contains(&task.plan)});
        let event = NewEvent::new("task.ended", Subject::task(task.host, task.plan, task.id), data);
        (Op::system(task.tenant, "reap", trace), event)
    });
    let Some((op, event)) = events.next() else { return Err(GateError::Nothing) };
    Ok(events.fold(Audited::new_by(of, op, event), |audited, (op, event)| audited.and_by(op, event)))
}
