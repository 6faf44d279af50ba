//! Steps of chats: what people see, in order.
//!
//! Owns the numbering. Invariant: a step is added together with the turn's count of steps, by compare-and-set.

use super::calls::{self, NewCall};
use super::turns::{Turn, TurnState};
use super::{number, signed};
use crate::store::Keeping;
use crate::{Audited, Op, Store, StoreError, Tx, sql};
use legator_core::brain::{Step, Usage};
use legator_core::event::NewEvent;
use legator_core::ids::{ChatId, TurnId};
use legator_core::time::Timestamp;
use sea_orm::QueryResult;

/// A step as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// Its number in the chat, from 1.
    pub seq: u64,
    /// Its turn.
    pub turn: TurnId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub step: Step,
}

/// What is added to a turn at once.
#[derive(Debug, Clone, Default)]
pub struct Add {
    /// Steps, in order.
    pub steps: Vec<Step>,
    /// Calls that begin.
    pub calls: Vec<NewCall>,
    /// Calls that are over.
    pub closed: Vec<String>,
    /// Where the turn stands then; as before when absent.
    pub state: Option<TurnState>,
    /// What it cost.
    pub used: Usage,
}

/// Adds to a turn that is as the caller knows it; the turn as it is then, or nothing when it is at another fence, state or step.
pub async fn add(store: &Store, turn: &Turn, what: Add) -> Result<Option<Turn>, StoreError> {
    store.keep(Keeping::Turns, async |tx| add_in(tx, turn, &what).await).await
}

/// Ends a turn: the same, in an act with its event.
pub async fn end(
    store: &Store,
    op: &Op,
    turn: &Turn,
    what: Add,
    event: NewEvent,
) -> Result<Option<Turn>, StoreError> {
    let done = store.write(op, async |tx| match add_in(tx, turn, &what).await? {
        Some(after) => Ok(Audited::new(Some(after), event)),
        // Nothing was written, so nothing may be told: the act is given up.
        None => Err(StoreError::Fenced(turn.id.to_string())),
    });
    match done.await {
        Err(StoreError::Fenced(_)) => Ok(None),
        other => other,
    }
}

async fn add_in(tx: &Tx, turn: &Turn, what: &Add) -> Result<Option<Turn>, StoreError> {
    let state = what.state.unwrap_or(turn.state);
    let used = turn.used.plus(what.used);
    let count = u32::try_from(what.steps.len()).unwrap_or(u32::MAX);
    // A step of the brain ends the row of attempts.
    let attempts = if what.used.rounds > 0 { 0 } else { turn.attempts };
    let text = "UPDATE turns SET state = ?, steps = steps + ?, attempts = ?, used = ? WHERE id = ? AND fence = ? AND steps = ? AND state = ?";
    let values = vec![
        state.word().into(),
        i64::from(count).into(),
        i64::from(attempts).into(),
        serde_json::to_string(&used).unwrap_or_default().into(),
        turn.id.to_string().into(),
        signed(turn.fence).into(),
        i64::from(turn.steps).into(),
        turn.state.word().into(),
    ];
    if tx.execute(text, values).await? != 1 {
        return Ok(None);
    }
    insert(tx, (turn.chat, turn.id), &what.steps).await?;
    calls::insert(tx, turn.id, &what.calls).await?;
    for call in &what.closed {
        calls::close_in(tx, turn.id, call).await?;
    }
    Ok(Some(Turn { state, used, attempts, steps: turn.steps + count, ..turn.clone() }))
}

/// Writes steps at the end of a chat. The caller has counted them in the turn.
pub(super) async fn insert(
    tx: &Tx,
    (chat, turn): (ChatId, TurnId),
    steps: &[Step],
) -> Result<(), StoreError> {
    for step in steps {
        let body = serde_json::to_string(step).map_err(|why| StoreError::corrupt("step", why))?;
        let text = "INSERT INTO chat_steps (chat, seq, turn, at, body) SELECT id, steps + 1, ?, ?, ? FROM chats WHERE id = ?";
        let values =
            vec![turn.to_string().into(), tx.now().millis().into(), body.into(), chat.to_string().into()];
        tx.execute(text, values).await?;
        let text = "UPDATE chats SET steps = steps + 1, changed_at = ? WHERE id = ?";
        tx.execute(text, vec![tx.now().millis().into(), chat.to_string().into()]).await?;
    }
    Ok(())
}

fn read(row: &QueryResult) -> Result<StepRow, StoreError> {
    let body: String = sql::column(row, 3)?;
    Ok(StepRow {
        seq: number(row, 0)?,
        turn: sql::parsed(row, 1, "step's turn")?,
        at: Timestamp::from_millis(sql::column(row, 2)?),
        step: serde_json::from_str(&body).map_err(|why| StoreError::corrupt("step", why))?,
    })
}

/// Steps of a chat after this number, in order; at most 500.
pub async fn steps(store: &Store, chat: ChatId, after: u64, limit: u32) -> Result<Vec<StepRow>, StoreError> {
    let limit = limit.clamp(1, 501);
    let text = format!(
        "SELECT seq, turn, at, body FROM chat_steps WHERE chat = ? AND seq > ? ORDER BY seq LIMIT {limit}"
    );
    let rows = sql::all(store.reader(), &text, vec![chat.to_string().into(), signed(after).into()]).await?;
    rows.iter().map(read).collect()
}

/// All steps of a turn, in order; at most 2,000.
pub async fn steps_of_turn(store: &Store, turn: TurnId) -> Result<Vec<StepRow>, StoreError> {
    let text = "SELECT seq, turn, at, body FROM chat_steps WHERE turn = ? ORDER BY seq LIMIT 2000";
    let rows = sql::all(store.reader(), text, vec![turn.to_string().into()]).await?;
    rows.iter().map(read).collect()
}

/// The last step of a turn.
pub async fn last_step(store: &Store, turn: TurnId) -> Result<Option<StepRow>, StoreError> {
    let text = "SELECT seq, turn, at, body FROM chat_steps WHERE turn = ? ORDER BY seq DESC LIMIT 1";
    let row = sql::one(store.reader(), text, vec![turn.to_string().into()]).await?;
    row.map(|row| read(&row)).transpose()
}
