//! Chats: conversations about a host or the fleet, with their turns, steps and calls.
//!
//! Owns the tables `chats`, `turns`, `chat_steps`, `turn_calls`. Never decides what a turn may do. Invariant: who asked what is sealed, steps of
//! a chat are numbered from 1 without gaps, and a step is added to a turn only by who knows its fence and how many steps it has.

mod calls;
mod steps;
mod turns;

pub use calls::{Call, NewCall, call_of_plan, calls, close_call, set_plan};
pub use steps::{Add, StepRow, add, end, last_step, steps, steps_of_turn};
pub use turns::{
    Asked, OPEN_TURNS_MAX, TOO_MANY, Turn, TurnState, ask, claim, extend, open_turns, recent_turns, turn,
    words_of,
};

use crate::{Audited, Op, Store, StoreError, Tx, sql};
use legator_core::brain::Scope;
use legator_core::event::{About, NewEvent};
use legator_core::ids::{ChatId, PersonId, TenantId};
use legator_core::time::Timestamp;
use sea_orm::QueryResult;
use serde_json::json;

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// Its id.
    pub id: ChatId,
    /// Its tenant.
    pub tenant: TenantId,
    /// What it is about.
    pub scope: Scope,
    /// What people see as its name.
    pub title: String,
    /// Who began it.
    pub made_by: PersonId,
    /// When.
    pub made_at: Timestamp,
    /// When something was said last.
    pub changed_at: Timestamp,
    /// How many steps it has: the number of the last one.
    pub steps: u64,
}

const COLUMNS: &str = "id, tenant, scope, title, made_by, made_at, changed_at, steps";

fn chat(row: &QueryResult) -> Result<Chat, StoreError> {
    Ok(Chat {
        id: sql::parsed(row, 0, "chat")?,
        tenant: sql::parsed(row, 1, "chat's tenant")?,
        scope: sql::parsed(row, 2, "chat's scope")?,
        title: sql::column(row, 3)?,
        made_by: sql::parsed(row, 4, "chat's maker")?,
        made_at: Timestamp::from_millis(sql::column(row, 5)?),
        changed_at: Timestamp::from_millis(sql::column(row, 6)?),
        steps: number(row, 7)?,
    })
}

fn number(row: &QueryResult, place: usize) -> Result<u64, StoreError> {
    let number: i64 = sql::column(row, place)?;
    u64::try_from(number).map_err(|why| StoreError::corrupt("number", why))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The chat about this, made when there is none yet; says whether it was made.
pub async fn begin(
    store: &Store,
    op: &Op,
    person: PersonId,
    about: (Scope, &str),
) -> Result<(Chat, bool), StoreError> {
    if let Some(found) = by_scope(store, op.tenant, about.0).await? {
        return Ok((found, false));
    }
    let made = store.write(op, async |tx| make(tx, person, about).await).await;
    match by_scope(store, op.tenant, about.0).await? {
        // Whoever came second finds the other's.
        Some(found) => Ok((found, made.is_ok())),
        None => Err(made.err().unwrap_or_else(|| StoreError::corrupt("chat", "it is gone"))),
    }
}

async fn make(tx: &Tx, person: PersonId, (scope, title): (Scope, &str)) -> Result<Audited<()>, StoreError> {
    let (id, now) = (ChatId::fresh(tx.ids()), tx.now().millis());
    let text = "INSERT INTO chats (id, tenant, scope, title, made_by, made_at, changed_at, steps) VALUES (?, ?, ?, ?, ?, ?, ?, 0)";
    let values = vec![
        id.to_string().into(),
        tx.op().tenant.to_string().into(),
        scope.to_string().into(),
        title.into(),
        person.to_string().into(),
        now.into(),
        now.into(),
    ];
    tx.execute(text, values).await?;
    let about = match scope {
        Scope::Host(host) => About::host(host),
        Scope::Fleet => About::nothing(),
    };
    Ok(Audited::new((), NewEvent::new("chat.begun", about, json!({"chat": id, "scope": scope}))))
}

async fn by_scope(store: &Store, tenant: TenantId, scope: Scope) -> Result<Option<Chat>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM chats WHERE tenant = ? AND scope = ?");
    let values = vec![tenant.to_string().into(), scope.to_string().into()];
    sql::one(store.reader(), &text, values).await?.map(|row| chat(&row)).transpose()
}

/// A chat of a tenant.
pub async fn get(store: &Store, tenant: TenantId, id: ChatId) -> Result<Option<Chat>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM chats WHERE tenant = ? AND id = ?");
    let values = vec![tenant.to_string().into(), id.to_string().into()];
    sql::one(store.reader(), &text, values).await?.map(|row| chat(&row)).transpose()
}

/// Chats of a tenant, newest first, before this one; at most 500.
pub async fn list(
    store: &Store,
    tenant: TenantId,
    before: Option<ChatId>,
    limit: u32,
) -> Result<Vec<Chat>, StoreError> {
    let limit = limit.clamp(1, 501);
    let text =
        format!("SELECT {COLUMNS} FROM chats WHERE tenant = ? AND id < ? ORDER BY id DESC LIMIT {limit}");
    let last = before.map_or_else(|| "chat_~".to_owned(), |chat| chat.to_string());
    let rows = sql::all(store.reader(), &text, vec![tenant.to_string().into(), last.into()]).await?;
    rows.iter().map(chat).collect()
}
