//! Turns: one question and everything done to answer it.
//!
//! Owns the row of a turn. Invariant: person, tenant, chat and question of a turn are covered by its seal; a turn whose seal does not hold
//! is nobody's and does nothing.

use super::{number, signed};
use crate::seal::Row;
use crate::store::Keeping;
use crate::{Audited, Op, Store, StoreError, Tx, sql};
use legator_core::brain::{Scope, Step, Usage};
use legator_core::event::{About, NewEvent};
use legator_core::ids::{ChatId, KeyId, PersonId, TenantId, TraceId, TurnId};
use legator_core::text;
use legator_core::time::Timestamp;
use sea_orm::QueryResult;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How many turns of one chat may be open at once.
pub const OPEN_TURNS_MAX: u32 = 16;
/// What `ask` fails with when that many are.
pub const TOO_MANY: &str = "open turns of a chat";
const SEAL: &str = "turn";

/// Where a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnState {
    /// Nobody took it up yet.
    Asked,
    /// A brain is at it until the lease ends.
    Thinking,
    /// Hosts or people are at its calls.
    Acting,
    /// It has its answer.
    Answered,
    /// It ended without one.
    Failed,
}

impl TurnState {
    const ALL: [Self; 5] = [Self::Asked, Self::Thinking, Self::Acting, Self::Answered, Self::Failed];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Thinking => "thinking",
            Self::Acting => "acting",
            Self::Answered => "answered",
            Self::Failed => "failed",
        }
    }

    /// Whether something is still to come.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Answered | Self::Failed)
    }
}

/// Who asked what; sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who.
    pub person: PersonId,
    /// Their name.
    pub name: String,
    /// With which key; none without authentication.
    pub key: Option<KeyId>,
    /// Without authentication there is one person for everything.
    pub local: bool,
    /// In which request.
    pub trace: TraceId,
    /// What.
    pub question: String,
}

/// A turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Its id.
    pub id: TurnId,
    /// Its chat.
    pub chat: ChatId,
    /// Its tenant.
    pub tenant: TenantId,
    /// What the chat is about.
    pub scope: Scope,
    /// Who asked what; nothing when the seal does not hold.
    pub asked: Option<Asked>,
    /// When.
    pub made_at: Timestamp,
    /// Where it stands.
    pub state: TurnState,
    /// Rises each time it is sent to a brain.
    pub fence: u64,
    /// How many steps it has.
    pub steps: u32,
    /// How often it was sent without an answer, in a row.
    pub attempts: u32,
    /// Until when the brain that has it is waited for.
    pub lease_until: Timestamp,
    /// What it has cost.
    pub used: Usage,
}

const COLUMNS: &str =
    "id, chat, tenant, scope, asked, key_id, mac, made_at, state, fence, steps, attempts, lease_until, used";

fn read(store: &Store, row: &QueryResult) -> Result<Turn, StoreError> {
    let (id, tenant): (TurnId, TenantId) =
        (sql::parsed(row, 0, "turn")?, sql::parsed(row, 2, "turn's tenant")?);
    let chat: ChatId = sql::parsed(row, 1, "turn's chat")?;
    let scope: Scope = sql::parsed(row, 3, "turn's scope")?;
    let (content, key_id, mac): (String, String, Vec<u8>) =
        (sql::column(row, 4)?, sql::column(row, 5)?, sql::column(row, 6)?);
    let sealed = sealed_content(chat, scope, &content);
    let row_of = Row { kind: SEAL, tenant, id: &id.to_string(), version: 1, content: &sealed };
    let holds = store.sealer().row_holds(&row_of, &key_id, &mac);
    let word: String = sql::column(row, 8)?;
    let state = TurnState::ALL.into_iter().find(|state| state.word() == word);
    let used: String = sql::column(row, 13)?;
    Ok(Turn {
        id,
        chat,
        tenant,
        scope,
        asked: holds.then(|| serde_json::from_str(&content).ok()).flatten(),
        made_at: Timestamp::from_millis(sql::column(row, 7)?),
        state: state.ok_or_else(|| StoreError::corrupt("turn's state", word))?,
        fence: number(row, 9)?,
        steps: u32::try_from(number(row, 10)?).unwrap_or(u32::MAX),
        attempts: u32::try_from(number(row, 11)?).unwrap_or(u32::MAX),
        lease_until: Timestamp::from_millis(sql::column(row, 12)?),
        used: serde_json::from_str(&used).unwrap_or_default(),
    })
}

fn sealed_content(chat: ChatId, scope: Scope, content: &str) -> String {
    format!("{chat} {scope} {content}")
}

/// A new turn with its question as its first step.
///
/// # Errors
/// `TooLarge` of `TOO_MANY` when the chat has too many open ones.
pub async fn ask(store: &Store, op: &Op, chat: &super::Chat, asked: &Asked) -> Result<TurnId, StoreError> {
    store.write(op, async |tx| ask_in(tx, chat, asked).await).await
}

async fn ask_in(tx: &Tx, chat: &super::Chat, asked: &Asked) -> Result<Audited<TurnId>, StoreError> {
    let open = "SELECT COUNT(*) FROM turns WHERE chat = ? AND state IN ('asked', 'thinking', 'acting')";
    let open = tx.one(open, vec![chat.id.to_string().into()]).await?;
    if open.map(|row| number(&row, 0)).transpose()?.unwrap_or(0) >= u64::from(OPEN_TURNS_MAX) {
        return Err(StoreError::TooLarge { what: TOO_MANY, max: OPEN_TURNS_MAX as usize });
    }
    let id = TurnId::fresh(tx.ids());
    let content = serde_json::to_string(asked).map_err(|why| StoreError::corrupt("question", why))?;
    let sealed = sealed_content(chat.id, chat.scope, &content);
    let mac = tx.sealer().seal_row(&Row {
        kind: SEAL,
        tenant: chat.tenant,
        id: &id.to_string(),
        version: 1,
        content: &sealed,
    });
    let text = "INSERT INTO turns (id, chat, tenant, scope, asked, key_id, mac, made_at, state, fence, steps, attempts, lease_until, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'asked', 0, 0, 0, 0, '{}')";
    let values = vec![
        id.to_string().into(),
        chat.id.to_string().into(),
        chat.tenant.to_string().into(),
        chat.scope.to_string().into(),
        content.into(),
        tx.sealer().key_id().into(),
        mac.to_vec().into(),
        tx.now().millis().into(),
    ];
    tx.execute(text, values).await?;
    let step =
        Step::Question { person: asked.person, name: asked.name.clone(), text: asked.question.clone() };
    super::steps::insert(tx, (chat.id, id), &[step]).await?;
    let about = match chat.scope {
        Scope::Host(host) => About::host(host),
        Scope::Fleet => About::nothing(),
    };
    let question = text::redact(&text::brief(&asked.question, 2048));
    let data = json!({"chat": chat.id, "turn": id, "question": question});
    Ok(Audited::new(id, NewEvent::new("turn.asked", about, data)))
}

/// A turn.
pub async fn turn(store: &Store, id: TurnId) -> Result<Option<Turn>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM turns WHERE id = ?");
    let row = sql::one(store.reader(), &text, vec![id.to_string().into()]).await?;
    row.map(|row| read(store, &row)).transpose()
}

/// Turns that are not ended, oldest first; at most 500.
pub async fn open_turns(store: &Store) -> Result<Vec<Turn>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS} FROM turns WHERE state IN ('asked', 'thinking', 'acting') ORDER BY id LIMIT 500"
    );
    let rows = sql::all(store.reader(), &text, vec![]).await?;
    rows.iter().map(|row| read(store, row)).collect()
}

/// The last turns of a chat, newest first; at most 500.
pub async fn recent_turns(
    store: &Store,
    chat: ChatId,
    before: Option<TurnId>,
    limit: u32,
) -> Result<Vec<Turn>, StoreError> {
    let limit = limit.clamp(1, 501);
    let text =
        format!("SELECT {COLUMNS} FROM turns WHERE chat = ? AND id < ? ORDER BY id DESC LIMIT {limit}");
    let last = before.map_or_else(|| "turn_~".to_owned(), |turn| turn.to_string());
    let rows = sql::all(store.reader(), &text, vec![chat.to_string().into(), last.into()]).await?;
    rows.iter().map(|row| read(store, row)).collect()
}

/// What a person asked in a chat, newest first, up to this turn; turns whose seal does not hold are left out.
pub async fn words_of(store: &Store, turn: &Turn, limit: u32) -> Result<Vec<String>, StoreError> {
    let Some(asked) = &turn.asked else { return Ok(vec![]) };
    let mut words = vec![asked.question.clone()];
    let earlier = recent_turns(store, turn.chat, Some(turn.id), limit).await?;
    let own = earlier.into_iter().filter_map(|turn| turn.asked).filter(|other| other.person == asked.person);
    words.extend(own.map(|other| other.question));
    Ok(words)
}

/// Takes a turn up for a brain: it is at the next fence until the lease ends. Nothing when somebody else did.
pub async fn claim(store: &Store, turn: &Turn, lease_until: Timestamp) -> Result<Option<Turn>, StoreError> {
    let text = "UPDATE turns SET state = 'thinking', fence = fence + 1, attempts = attempts + 1, lease_until = ? WHERE id = ? AND fence = ? AND steps = ? AND state = ?";
    let values = vec![
        lease_until.millis().into(),
        turn.id.to_string().into(),
        signed(turn.fence).into(),
        i64::from(turn.steps).into(),
        turn.state.word().into(),
    ];
    let touched: u64 = store.keep(Keeping::Turns, async |tx| tx.execute(text, values).await).await?;
    let claimed = Turn {
        state: TurnState::Thinking,
        fence: turn.fence + 1,
        attempts: turn.attempts + 1,
        lease_until,
        ..turn.clone()
    };
    Ok((touched == 1).then_some(claimed))
}

/// The brain is still at it: the lease ends later. False when the turn is at another fence.
pub async fn extend(
    store: &Store,
    id: TurnId,
    fence: u64,
    lease_until: Timestamp,
) -> Result<bool, StoreError> {
    let text = "UPDATE turns SET lease_until = ? WHERE id = ? AND fence = ? AND state = 'thinking'";
    let values = vec![lease_until.millis().into(), id.to_string().into(), signed(fence).into()];
    let touched: u64 = store.keep(Keeping::Turns, async |tx| tx.execute(text, values).await).await?;
    Ok(touched == 1)
}
