//! Cancel: a plan is taken back.
//!
//! Owns what becomes of its tasks. Invariant: a task that was handed over is not called cancelled on the server's word; its host is told
//! to stop and says itself, signed, how it ended.

use legator_core::error::Failure;
use legator_core::event::{About as Subject, NewEvent};
use legator_core::ids::{HostId, PlanId, TaskId};
use legator_core::plan::{PlanMove, PlanState};
use legator_core::rights::Permission;
use legator_core::task::TaskState;
use legator_core::time::Timestamp;
use legator_store::{Audited, Tx, plans, tasks};
use legator_wire::dsse::Envelope;
use legator_wire::keys::AuthorityKey;
use legator_wire::order::Cancel;
use serde_json::json;

use crate::Gate;
use crate::caller::{Caller, Cap};
use crate::decide::cancelled;
use crate::error::GateError;
use crate::revoke::finish;
use crate::view::{self, PlanView};

/// Cancels a plan. Returns the tasks that were handed over, whose hosts have to be told.
///
/// # Errors
/// `plan-over` when it has ended; forbidden for who neither asked for it nor may approve.
pub async fn cancel(
    gate: &Gate,
    caller: &Caller,
    plan: PlanId,
) -> Result<(PlanView, Vec<(HostId, TaskId)>), Failure> {
    let row = crate::ask::find(gate, caller.tenant, plan).await?;
    let own = row.requester == caller.person && caller.has(Permission::MakePlans);
    if caller.cap == Cap::ReadOrPropose || !(own || caller.has(Permission::Approve)) {
        let detail = "a plan is cancelled by who asked for it, or by who may approve";
        return Err(Failure::forbidden("not-your-plan", detail));
    }
    let tell = gate.store.write(&caller.op(), async |tx| write(tx, plan).await).await?;
    let found = view::plan_view(gate, caller.tenant, plan).await?;
    Ok((found.ok_or_else(|| Failure::not_found("plan"))?, tell))
}

async fn write(tx: &Tx, plan: PlanId) -> Result<Audited<Vec<(HostId, TaskId)>>, GateError> {
    let mut row = plans::of_act(tx, plan).await?.ok_or_else(|| Failure::not_found("plan"))?;
    if row.state.is_final() {
        return Err(Failure::conflict("plan-over", format!("this plan is {}", row.state)).into());
    }
    let mut rows = tasks::of_plan_in(tx, plan).await?;
    if let Some(reading) = row.reading.filter(|_| row.state == PlanState::Preparing) {
        rows.extend(tasks::of_plan_in(tx, reading).await?);
    }
    let handed = rows.iter().filter(|task| matches!(task.state, TaskState::Sent | TaskState::Running));
    let tell: Vec<(HostId, TaskId)> = handed.map(|task| (task.host, task.id)).collect();
    let changes =
        cancelled(rows, tx.now(), ("cancelled", "the plan was taken back before this host was started"))?;
    if !tasks::update(tx, &changes).await? {
        return Err(GateError::Conflict);
    }
    if row.state == PlanState::Running {
        row.taken_back = true;
    } else {
        row.state = row.state.after(PlanMove::Cancel)?;
        row.ended_at = Some(tx.now());
    }
    finish(tx, &mut row).await?;
    let data =
        json!({"state": row.state, "cancelled": changes.len(), "told": tell.len(), "digest": row.digest});
    Ok(Audited::new(tell, NewEvent::new("plan.cancelled", Subject::plan(plan), data)))
}

/// The order that tells a probe to stop a task.
pub fn cancel_order(gate: &Gate, key: &AuthorityKey, on: (HostId, TaskId), now: Timestamp) -> Envelope {
    let order = Cancel { installation: gate.installation().to_owned(), host: on.0, task: on.1, made_at: now };
    Envelope::seal(&order, key)
}
