//! Tasks as rows.
//!
//! Owns the table `tasks`. Decides nothing: the gate is the only one that calls the writing functions.
//! Invariant: a change names the state that it was made on, and a batch in which one does not match changes nothing.

use crate::{Store, StoreError, Tx, sql};
use legator_core::digest::Digest;
use legator_core::ids::{HostId, PlanId, TaskId, TenantId};
use legator_core::plan::Leaf;
use legator_core::task::TaskState;
use legator_core::time::Timestamp;
use sea_orm::QueryResult;
use serde_json::{Value, json};

/// A task with all that is kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Its id, which is the id of its grant too.
    pub id: TaskId,
    /// Its plan.
    pub plan: PlanId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its host.
    pub host: HostId,
    /// Its leaf's place.
    pub place: u32,
    /// The host's name when the plan was made.
    pub name: String,
    /// The host's public key when the plan was made, 64 hex digits.
    pub key: String,
    /// The digest of the state that the approver was shown.
    pub shown: Option<Digest>,
    /// Where it stands.
    pub state: TaskState,
    /// The wave that it was put in.
    pub wave: Option<u32>,
    /// It left its wave since its host was away.
    pub apart: bool,
    /// When it was handed over last.
    pub sent_at: Option<Timestamp>,
    /// From when on it is lost without a receipt.
    pub lose_at: Option<Timestamp>,
    /// The digest of the payload of its grant, once it has one.
    pub grant: Option<Digest>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended as it did: a stable word.
    pub reason: Option<String>,
    /// The same in a sentence.
    pub detail: Option<String>,
    /// The receipt's envelope, as JSON.
    pub receipt: Option<String>,
    /// The digest of its payload.
    pub receipt_digest: Option<Digest>,
    /// It was unknown before a receipt came after all.
    pub was_unknown: bool,
}

impl TaskRow {
    /// Its leaf.
    pub fn leaf(&self) -> Leaf {
        Leaf {
            index: self.place,
            task: self.id,
            host: self.host,
            name: self.name.clone(),
            key: self.key.clone(),
            shown: self.shown,
        }
    }
}

const COLUMNS: &str = "id, plan, tenant, host, place, name, key_hex, shown, state, wave, apart, sent_at, lose_at, grant_digest, \
                       ended_at, reason, detail, receipt, receipt_digest, was_unknown";

fn read(row: &QueryResult) -> Result<TaskRow, StoreError> {
    let time = |place| -> Result<Option<Timestamp>, StoreError> {
        Ok(sql::column::<Option<i64>>(row, place)?.map(Timestamp::from_millis))
    };
    let number = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    Ok(TaskRow {
        id: sql::parsed(row, 0, "task")?,
        plan: sql::parsed(row, 1, "plan")?,
        tenant: sql::parsed(row, 2, "tenant")?,
        host: sql::parsed(row, 3, "host")?,
        place: number(sql::column(row, 4)?),
        name: sql::column(row, 5)?,
        key: sql::column(row, 6)?,
        shown: sql::maybe(row, 7, "digest")?,
        state: sql::parsed(row, 8, "state of a task")?,
        wave: sql::column::<Option<i64>>(row, 9)?.map(number),
        apart: sql::column::<i64>(row, 10)? != 0,
        sent_at: time(11)?,
        lose_at: time(12)?,
        grant: sql::maybe(row, 13, "digest")?,
        ended_at: time(14)?,
        reason: sql::column(row, 15)?,
        detail: sql::column(row, 16)?,
        receipt: sql::column(row, 17)?,
        receipt_digest: sql::maybe(row, 18, "digest")?,
        was_unknown: sql::column::<i64>(row, 19)? != 0,
    })
}

fn columns(task: &TaskRow) -> Value {
    json!([
        task.id,
        task.plan,
        task.tenant,
        task.host,
        task.place,
        task.name,
        task.key,
        task.shown,
        task.state.word(),
        task.wave,
        i64::from(task.apart),
        task.sent_at.map(Timestamp::millis),
        task.lose_at.map(Timestamp::millis),
        task.grant,
        task.ended_at.map(Timestamp::millis),
        task.reason,
        task.detail,
        task.receipt,
        task.receipt_digest,
        i64::from(task.was_unknown),
    ])
}

/// Writes new tasks in one statement.
pub async fn insert(tx: &Tx, tasks: &[TaskRow]) -> Result<(), StoreError> {
    let places: Vec<String> = (0..20).map(|place| format!("value->>{place}")).collect();
    let text = format!("INSERT INTO tasks ({COLUMNS}) SELECT {} FROM json_each(?)", places.join(", "));
    let rows = Value::Array(tasks.iter().map(columns).collect()).to_string();
    tx.execute(&text, vec![rows.into()]).await?;
    Ok(())
}

/// A task, and the state that it was in when it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The state that it has to be in.
    pub from: TaskState,
    /// The task as it becomes.
    pub to: TaskRow,
}

/// Writes what became of tasks, in one statement; says whether every one was in the state it was changed from.
pub async fn update(tx: &Tx, changes: &[Change]) -> Result<bool, StoreError> {
    if changes.is_empty() {
        return Ok(true);
    }
    let text = "UPDATE tasks SET place = n.v->>5, shown = n.v->>8, state = n.v->>9, wave = n.v->>10, apart = n.v->>11,
sent_at = n.v->>12, lose_at = n.v->>13, grant_digest = n.v->>14, ended_at = n.v->>15, reason = n.v->>16, detail = n.v->>17,
receipt = n.v->>18, receipt_digest = n.v->>19, was_unknown = n.v->>20
FROM (SELECT value AS v FROM json_each(?)) AS n WHERE tasks.id = n.v->>1 AND tasks.state = n.v->>0";
    let row = |change: &Change| {
        let mut row = vec![json!(change.from.word())];
        if let Value::Array(columns) = columns(&change.to) {
            row.extend(columns);
        }
        Value::Array(row)
    };
    let rows = Value::Array(changes.iter().map(row).collect()).to_string();
    Ok(tx.execute(text, vec![rows.into()]).await? == changes.len() as u64)
}

/// The tasks of a plan, by place.
pub async fn of_plan(store: &Store, plan: PlanId) -> Result<Vec<TaskRow>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM tasks WHERE plan = ? ORDER BY place");
    sql::all(store.reader(), &text, vec![plan.to_string().into()]).await?.iter().map(read).collect()
}

/// The same, as a transaction sees it.
pub async fn of_plan_in(tx: &Tx, plan: PlanId) -> Result<Vec<TaskRow>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM tasks WHERE plan = ? ORDER BY place");
    tx.all(&text, vec![plan.to_string().into()]).await?.iter().map(read).collect()
}

/// These tasks, in no order; one that does not exist is not among them.
pub async fn by_ids(store: &Store, tasks: &[TaskId]) -> Result<Vec<TaskRow>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM tasks WHERE id IN (SELECT value FROM json_each(?))");
    let list = serde_json::to_string(tasks).unwrap_or_default();
    sql::all(store.reader(), &text, vec![list.into()]).await?.iter().map(read).collect()
}

/// A task that a receipt came for, with what of its plan is needed to judge it.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The task.
    pub task: TaskRow,
    /// The plan's digest.
    pub digest: Option<Digest>,
    /// For a plan that reads: the one that it reads for.
    pub prepares: Option<PlanId>,
}

/// These tasks, in no order, with what of their plans is needed to judge a receipt.
pub async fn answered(store: &Store, tasks: &[TaskId]) -> Result<Vec<Answered>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS}, (SELECT digest FROM plans WHERE plans.id = tasks.plan),
(SELECT prepares FROM plans WHERE plans.id = tasks.plan) FROM tasks WHERE id IN (SELECT value FROM json_each(?))"
    );
    let list = serde_json::to_string(tasks).unwrap_or_default();
    let rows = sql::all(store.reader(), &text, vec![list.into()]).await?;
    let read = |row: &QueryResult| {
        Ok(Answered {
            task: read(row)?,
            digest: sql::maybe(row, 20, "digest")?,
            prepares: sql::maybe(row, 21, "plan")?,
        })
    };
    rows.iter().map(read).collect()
}

/// A task of a tenant.
pub async fn get(store: &Store, tenant: TenantId, task: TaskId) -> Result<Option<TaskRow>, StoreError> {
    let found = by_ids(store, &[task]).await?;
    Ok(found.into_iter().find(|row| row.tenant == tenant))
}

/// Tasks that were handed to this host and have not ended, oldest first; at most 500.
pub async fn handed(store: &Store, host: HostId) -> Result<Vec<TaskRow>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS} FROM tasks WHERE host = ? AND state IN ('sent', 'running') ORDER BY id LIMIT 500"
    );
    sql::all(store.reader(), &text, vec![host.to_string().into()]).await?.iter().map(read).collect()
}

/// Plans that may run and have a task of this host that waits, oldest first; at most 500.
pub async fn waiting_for(store: &Store, host: HostId) -> Result<Vec<PlanId>, StoreError> {
    let text = "SELECT DISTINCT tasks.plan FROM tasks JOIN plans ON plans.id = tasks.plan
WHERE tasks.host = ? AND tasks.state = 'waiting' AND plans.state IN ('approved', 'running') ORDER BY tasks.plan LIMIT 500";
    let rows = sql::all(store.reader(), text, vec![host.to_string().into()]).await?;
    rows.iter().map(|row| sql::parsed(row, 0, "plan")).collect()
}

/// Tasks at work, of a host or of all, whose plans were taken back: their hosts are to be told, until they answer. At most 500.
pub async fn taken_back(store: &Store, host: Option<HostId>) -> Result<Vec<TaskRow>, StoreError> {
    let of_host = if host.is_some() { "host = ? AND " } else { "" };
    let text = format!(
        "SELECT {COLUMNS} FROM tasks WHERE {of_host}state IN ('sent', 'running') AND plan IN
(SELECT id FROM plans WHERE taken_back = 1 AND state = 'running') LIMIT 500"
    );
    let values = host.map(|host| host.to_string().into()).into_iter().collect();
    sql::all(store.reader(), &text, values).await?.iter().map(read).collect()
}

/// Tasks that were handed over and are lost by now, as a transaction sees them; at most 500.
pub async fn lost_in(tx: &Tx) -> Result<Vec<TaskRow>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS} FROM tasks WHERE state IN ('sent', 'running') AND lose_at <= ? ORDER BY lose_at LIMIT 500"
    );
    tx.all(&text, vec![tx.now().millis().into()]).await?.iter().map(read).collect()
}

/// Whether any task is lost by now.
pub async fn any_lost(store: &Store, now: Timestamp) -> Result<bool, StoreError> {
    let text = "SELECT 1 FROM tasks WHERE state IN ('sent', 'running') AND lose_at <= ? LIMIT 1";
    Ok(sql::one(store.reader(), text, vec![now.millis().into()]).await?.is_some())
}

/// How many tasks of these plans are in each state.
pub async fn counts(store: &Store, plans: &[PlanId]) -> Result<Vec<(PlanId, TaskState, u32)>, StoreError> {
    let text = "SELECT plan, state, count(*) FROM tasks WHERE plan IN (SELECT value FROM json_each(?)) GROUP BY plan, state";
    let list = serde_json::to_string(plans).unwrap_or_default();
    let rows = sql::all(store.reader(), text, vec![list.into()]).await?;
    rows.iter()
        .map(|row| {
            let count = u32::try_from(sql::column::<i64>(row, 2)?).unwrap_or(u32::MAX);
            Ok((sql::parsed(row, 0, "plan")?, sql::parsed(row, 1, "state of a task")?, count))
        })
        .collect()
}
