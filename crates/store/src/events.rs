//! Events on their way into the database.
//!
//! Owns the row of an event and the proof that an act carries one. Never changes a row: numbers are given in the chain.

use crate::{StoreError, sql};
use legator_core::event::{Actor, Event, NewEvent};
use legator_core::ids::{EventId, Ids, TenantId, TraceId};
use legator_core::time::Timestamp;
use sea_orm::{DatabaseTransaction, Value};

/// The most bytes of one event's text.
pub(crate) const EVENT_BYTES_MAX: usize = 1 << 20;

/// For whom, by whom and in which request an act happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// For which tenant.
    pub tenant: TenantId,
    /// By whom.
    pub actor: Actor,
    /// In which request.
    pub trace: TraceId,
}

impl Op {
    /// An act of Legator's own part, such as `record` or `reap`.
    pub fn system(tenant: TenantId, part: &str, trace: TraceId) -> Self {
        Self { tenant, actor: Actor::system(part), trace }
    }
}

/// What an act returns: a value, and at least one event that tells of it.
#[derive(Debug)]
pub struct Audited<T> {
    pub(crate) value: T,
    pub(crate) events: Vec<(Option<Op>, NewEvent)>,
}

impl<T> Audited<T> {
    /// A value and the event that tells of it.
    pub fn new(value: T, event: NewEvent) -> Self {
        Self { value, events: vec![(None, event)] }
    }

    /// A value and several events.
    pub fn many(value: T, first: NewEvent, rest: Vec<NewEvent>) -> Self {
        let events = std::iter::once(first).chain(rest).map(|event| (None, event)).collect();
        Self { value, events }
    }

    /// A value and an event of another tenant, actor or request than the transaction's: for what is recorded in batches.
    pub fn new_by(value: T, op: Op, event: NewEvent) -> Self {
        Self { value, events: vec![(Some(op), event)] }
    }

    /// Another value with the same events.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Audited<U> {
        Audited { value: change(self.value), events: self.events }
    }

    /// The value of the other, with the events of both.
    #[must_use]
    pub fn join<U>(mut self, other: Audited<U>) -> Audited<U> {
        self.events.extend(other.events);
        Audited { value: other.value, events: self.events }
    }

    /// One more event.
    #[must_use]
    pub fn and(mut self, event: NewEvent) -> Self {
        self.events.push((None, event));
        self
    }

    /// One more event, of another tenant, actor or request than the transaction's.
    #[must_use]
    pub fn and_by(mut self, op: Op, event: NewEvent) -> Self {
        self.events.push((Some(op), event));
        self
    }
}

/// What the rows of one transaction share.
pub(crate) struct Stamp<'a> {
    pub op: &'a Op,
    pub now: Timestamp,
    pub ids: &'a dyn Ids,
    /// The versions of rights that the transaction made, a tenant each.
    pub rights: &'a [RightsNote],
}

/// The most sealed rows that an event names.
const ROWS_MAX: usize = 5_000;

/// What an event says of the sealed rows that its transaction wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RightsNote {
    pub tenant: TenantId,
    pub version: u64,
    /// Kind, id and what became of it: `put` or `deleted`.
    pub rows: Vec<(&'static str, String, &'static str)>,
    /// Whether the whole set was taken as it was, so that what earlier events say is over.
    pub accepted: bool,
}

impl RightsNote {
    fn json(&self) -> serde_json::Value {
        if self.accepted || self.rows.len() > ROWS_MAX {
            return serde_json::json!({ "version": self.version, "accepted": true });
        }
        serde_json::json!({ "version": self.version, "rows": self.rows })
    }
}

struct Row {
    event: Event,
    rights: Option<u64>,
    body: String,
}

fn row(stamp: &Stamp<'_>, op: &Op, new: NewEvent, note: Option<&RightsNote>) -> Result<Row, StoreError> {
    let mut data = new.data;
    if let (Some(note), Some(object)) = (note, data.as_object_mut()) {
        object.insert("rights".to_owned(), note.json());
    }
    let rights = note.map(|note| note.version);
    let event = Event {
        id: EventId::fresh(stamp.ids),
        tenant: op.tenant,
        at: stamp.now,
        kind: new.kind.to_owned(),
        actor: op.actor.clone(),
        trace: op.trace,
        about: new.about,
        data,
    };
    let body = serde_json::to_string(&event).map_err(|why| StoreError::corrupt("event", why))?;
    if body.len() > EVENT_BYTES_MAX {
        return Err(StoreError::TooLarge { what: "an event", max: EVENT_BYTES_MAX });
    }
    Ok(Row { event, rights, body })
}

fn rows(stamp: &Stamp<'_>, events: Vec<(Option<Op>, NewEvent)>) -> Result<Vec<Row>, StoreError> {
    let mut unsaid: Vec<&RightsNote> = stamp.rights.iter().collect();
    let mut made = Vec::with_capacity(events.len());
    for (op, new) in events {
        let op = op.as_ref().unwrap_or(stamp.op);
        let place = unsaid.iter().position(|note| note.tenant == op.tenant && new.data.is_object());
        let note = place.map(|place| unsaid.swap_remove(place));
        made.push(row(stamp, op, new, note)?);
    }
    for note in unsaid {
        let op = Op { tenant: note.tenant, ..stamp.op.clone() };
        let new = NewEvent::new("rights.changed", Default::default(), serde_json::json!({}));
        made.push(row(stamp, &op, new, Some(note))?);
    }
    Ok(made)
}

const INSERT_ONE: &str = "INSERT INTO events (id, tenant, at, kind, host, plan, task, rights, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const INSERT_MANY: &str = "INSERT INTO events (id, tenant, at, kind, host, plan, task, rights, body)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8 FROM json_each(?)";

/// Writes the events of one transaction in one statement.
pub(crate) async fn insert(
    on: &DatabaseTransaction,
    stamp: &Stamp<'_>,
    events: Vec<(Option<Op>, NewEvent)>,
) -> Result<(), StoreError> {
    let rows = rows(stamp, events)?;
    let text = |id: Option<String>| id;
    let about = |row: &Row| {
        let about = &row.event.about;
        (
            text(about.host.map(String::from)),
            text(about.plan.map(String::from)),
            text(about.task.map(String::from)),
        )
    };
    if let [row] = rows.as_slice() {
        let (host, plan, task) = about(row);
        let values: Vec<Value> = vec![
            row.event.id.to_string().into(),
            row.event.tenant.to_string().into(),
            row.event.at.millis().into(),
            row.event.kind.clone().into(),
            host.into(),
            plan.into(),
            task.into(),
            row.rights.and_then(|version| i64::try_from(version).ok()).into(),
            row.body.clone().into(),
        ];
        sql::execute(on, INSERT_ONE, values).await?;
        return Ok(());
    }
    let list: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let (host, plan, task) = about(row);
            let event = &row.event;
            serde_json::json!([
                event.id,
                event.tenant,
                event.at.millis(),
                event.kind,
                host,
                plan,
                task,
                row.rights,
                row.body
            ])
        })
        .collect();
    let list = serde_json::Value::Array(list).to_string();
    sql::execute(on, INSERT_MANY, vec![list.into()]).await?;
    Ok(())
}
