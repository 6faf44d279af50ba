//! Calls of a turn: what a model asked for, and the plan that does it.
//!
//! Owns the table `turn_calls`. Invariant: a turn has at most one call that is a proposal.

use super::number;
use crate::store::Keeping;
use crate::{Store, StoreError, Tx, sql};
use legator_core::ids::{PlanId, TurnId};
use sea_orm::QueryResult;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A call that begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewCall {
    /// Its id, unique in the turn.
    pub call: String,
    /// Whether it is the turn's proposal.
    pub proposal: bool,
    /// The verb.
    pub verb: String,
    /// At which level: its word.
    pub level: String,
    /// Its arguments.
    pub args: Value,
    /// Which hosts.
    pub selector: String,
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What it is.
    pub what: NewCall,
    /// The plan that does it, once it is made.
    pub plan: Option<PlanId>,
    /// Whether its result is still to come.
    pub open: bool,
}

pub(super) async fn insert(tx: &Tx, turn: TurnId, calls: &[NewCall]) -> Result<(), StoreError> {
    for call in calls {
        let body = serde_json::to_string(call).map_err(|why| StoreError::corrupt("call", why))?;
        let text =
            "INSERT INTO turn_calls (turn, call, body, proposal, plan, open) VALUES (?, ?, ?, ?, NULL, 1)";
        let values = vec![
            turn.to_string().into(),
            call.call.clone().into(),
            body.into(),
            i64::from(call.proposal).into(),
        ];
        tx.execute(text, values).await?;
    }
    Ok(())
}

pub(super) async fn close_in(tx: &Tx, turn: TurnId, call: &str) -> Result<(), StoreError> {
    let text = "UPDATE turn_calls SET open = 0 WHERE turn = ? AND call = ?";
    tx.execute(text, vec![turn.to_string().into(), call.into()]).await?;
    Ok(())
}

/// A call came to nothing before a plan was made: it is over, and does not count as the turn's proposal.
pub async fn close_call(store: &Store, turn: TurnId, call: &str) -> Result<(), StoreError> {
    let text = "UPDATE turn_calls SET open = 0, proposal = 0 WHERE turn = ? AND call = ? AND plan IS NULL";
    let values = vec![turn.to_string().into(), call.into()];
    let _: u64 = store.keep(Keeping::Turns, async |tx| tx.execute(text, values).await).await?;
    Ok(())
}

/// The plan of a call was made.
pub async fn set_plan(store: &Store, turn: TurnId, call: &str, plan: PlanId) -> Result<(), StoreError> {
    let text = "UPDATE turn_calls SET plan = ? WHERE turn = ? AND call = ? AND plan IS NULL";
    let values = vec![plan.to_string().into(), turn.to_string().into(), call.into()];
    let _: u64 = store.keep(Keeping::Turns, async |tx| tx.execute(text, values).await).await?;
    Ok(())
}

fn read(row: &QueryResult) -> Result<Call, StoreError> {
    let body: String = sql::column(row, 0)?;
    let plan: Option<String> = sql::column(row, 1)?;
    let what: NewCall = serde_json::from_str(&body).map_err(|why| StoreError::corrupt("call", why))?;
    Ok(Call {
        // A proposal that came to nothing is none any more.
        what: NewCall { proposal: number(row, 3)? == 1, ..what },
        plan: plan
            .map(|plan| plan.parse().map_err(|why| StoreError::corrupt("call's plan", why)))
            .transpose()?,
        open: number(row, 2)? == 1,
    })
}

/// All calls of a turn; at most 500.
pub async fn calls(store: &Store, turn: TurnId) -> Result<Vec<Call>, StoreError> {
    let text = "SELECT body, plan, open, proposal FROM turn_calls WHERE turn = ? ORDER BY call LIMIT 500";
    let rows = sql::all(store.reader(), text, vec![turn.to_string().into()]).await?;
    rows.iter().map(read).collect()
}

/// The turn whose call this plan does.
pub async fn call_of_plan(store: &Store, plan: PlanId) -> Result<Option<TurnId>, StoreError> {
    let text = "SELECT turn FROM turn_calls WHERE plan = ? LIMIT 1";
    let row = sql::one(store.reader(), text, vec![plan.to_string().into()]).await?;
    row.map(|row| sql::parsed(&row, 0, "call's turn")).transpose()
}
