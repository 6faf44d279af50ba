//! Revoke: a person takes their yes back, as long as something is left to stop.
//!
//! Owns what becomes of the plan. Invariant: hosts that were handed a grant end in what really happened to them.

use legator_core::error::Failure;
use legator_core::event::{About as Subject, NewEvent};
use legator_core::ids::PlanId;
use legator_core::plan::{PlanMove, PlanState};
use legator_store::plans::PlanRow;
use legator_store::tasks;
use legator_store::{Audited, Tx, approvals, plans};
use serde_json::json;

use crate::Gate;
use crate::caller::{Auth, Caller, Cap};
use crate::decide::cancelled;
use crate::error::GateError;
use crate::hosts::Fleet;
use crate::view::{self, PlanView};
use crate::votes;

/// Takes the caller's approval of a plan back. A plan that is left with too few waits again; of one that is running, no further
/// host is started.
///
/// # Errors
/// `no-approval` when the caller has none, `plan-over` when it has ended.
pub async fn revoke_approval(gate: &Gate, caller: &Caller, plan: PlanId) -> Result<PlanView, Failure> {
    let row = crate::ask::find(gate, caller.tenant, plan).await?;
    if caller.cap == Cap::ReadOrPropose {
        return Err(Failure::forbidden("brain-may-not", "the assistant takes nothing back; a person does"));
    }
    let fleet = Fleet::of(gate, row.tenant).await?;
    let op = caller.op();
    let written = gate.store.write(&op, async |tx| write(gate, tx, caller, (plan, &fleet)).await);
    written.await?;
    let found = view::plan_view(gate, caller.tenant, plan).await?;
    found.ok_or_else(|| Failure::not_found("plan"))
}

async fn write(
    gate: &Gate,
    tx: &Tx,
    caller: &Caller,
    on: (PlanId, &Fleet),
) -> Result<Audited<()>, GateError> {
    let mut row = plans::of_act(tx, on.0).await?.ok_or_else(|| Failure::not_found("plan"))?;
    let open = matches!(row.state, PlanState::Pending | PlanState::Approved | PlanState::Running);
    if !open {
        return Err(Failure::conflict("plan-over", format!("this plan is {}", row.state)).into());
    }
    if !approvals::remove(tx, row.id, caller.person).await? {
        return Err(Failure::conflict("no-approval", "you have no approval of this plan to take back").into());
    }
    let rows = tasks::of_plan_in(tx, row.id).await?;
    let hosts = on.1.facts(rows.iter().map(|task| task.host));
    let weighed = votes::weigh(gate, tx, &row, &hosts).await?;
    let short = !weighed.enough(row.decision.approvals_needed) || gate.auth == Auth::Off;
    row.revoked = true;
    let mut stopped = 0;
    match row.state {
        PlanState::Approved if short => row.state = row.state.after(PlanMove::Unapprove)?,
        PlanState::Running if short => stopped = stop(tx, rows).await?,
        _ => {}
    }
    finish(tx, &mut row).await?;
    let data = json!({"person": caller.person, "state": row.state, "stopped": stopped, "digest": row.digest});
    Ok(Audited::new((), NewEvent::new("approval.revoked", Subject::plan(row.id), data)))
}

async fn stop(tx: &Tx, rows: Vec<tasks::TaskRow>) -> Result<usize, GateError> {
    let why = ("approval-revoked", "an approval was taken back before this host was started");
    let changes = cancelled(rows, tx.now(), why)?;
    match tasks::update(tx, &changes).await? {
        true => Ok(changes.len()),
        false => Err(GateError::Conflict),
    }
}

/// Writes the plan, and ends it if nothing of it is left.
pub(crate) async fn finish(tx: &Tx, row: &mut PlanRow) -> Result<(), GateError> {
    if !plans::update(tx, row).await? {
        return Err(GateError::Conflict);
    }
    if row.state == PlanState::Running
        && let Some((_, ended)) = plans::finish(tx, &[row.id]).await?.pop()
    {
        row.state = ended;
    }
    Ok(())
}
