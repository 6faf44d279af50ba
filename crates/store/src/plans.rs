//! Plans as rows.
//!
//! Owns the tables `plans` and `grants`. Decides nothing: the gate is the only one that calls the writing functions.
//! Invariant: a change names the version that it was made on, and touches nothing when that is not the present one.

use crate::hosts::{self, HostRow};
use crate::{Store, StoreError, Tx, sql};
use legator_core::decision::Decision;
use legator_core::digest::Digest;
use legator_core::ids::{PersonId, PlanId, TenantId};
use legator_core::plan::PlanState;
use legator_core::time::Timestamp;
use sea_orm::{QueryResult, Value};
use std::sync::Arc;

/// A plan with all that is kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRow {
    /// Its id.
    pub id: PlanId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Rises with each change.
    pub version: u64,
    /// Where it stands.
    pub state: PlanState,
    /// The verb.
    pub verb: String,
    /// Who asked.
    pub requester: PersonId,
    /// When.
    pub made_at: Timestamp,
    /// When approving ends.
    pub decide_by: Timestamp,
    /// The last moment at which a task may start.
    pub expires_at: Timestamp,
    /// The digest of its bytes; none while it is preparing.
    pub digest: Option<Digest>,
    /// Its bytes; a draft while it is preparing.
    pub body: Vec<u8>,
    /// What people are told besides, as JSON.
    pub about: String,
    /// The policy's answer.
    pub decision: Decision,
    /// The plan that reads the present state for this one.
    pub reading: Option<PlanId>,
    /// For a plan that reads: the one that it reads for.
    pub prepares: Option<PlanId>,
    /// An approval was taken back.
    pub revoked: bool,
    /// Somebody took it back while it ran.
    pub taken_back: bool,
    /// The wave at work, from 1.
    pub wave: u32,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, tenant, version, state, verb, requester, made_at, decide_by, expires_at, digest, body, about, decision, \
                       reading, prepares, revoked, wave, ended_at, taken_back";

fn time(row: &QueryResult, place: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_millis(sql::column(row, place)?))
}

fn read(row: &QueryResult) -> Result<PlanRow, StoreError> {
    let decision: String = sql::column(row, 12)?;
    Ok(PlanRow {
        id: sql::parsed(row, 0, "plan")?,
        tenant: sql::parsed(row, 1, "tenant")?,
        version: u64::try_from(sql::column::<i64>(row, 2)?).unwrap_or(0),
        state: sql::parsed(row, 3, "state of a plan")?,
        verb: sql::column(row, 4)?,
        requester: sql::parsed(row, 5, "requester")?,
        made_at: time(row, 6)?,
        decide_by: time(row, 7)?,
        expires_at: time(row, 8)?,
        digest: sql::maybe(row, 9, "digest of a plan")?,
        body: sql::column(row, 10)?,
        about: sql::column(row, 11)?,
        decision: serde_json::from_str(&decision).map_err(|why| StoreError::corrupt("decision", why))?,
        reading: sql::maybe(row, 13, "plan")?,
        prepares: sql::maybe(row, 14, "plan")?,
        revoked: sql::column::<i64>(row, 15)? != 0,
        wave: u32::try_from(sql::column::<i64>(row, 16)?).unwrap_or(0),
        ended_at: sql::column::<Option<i64>>(row, 17)?.map(Timestamp::from_millis),
        taken_back: sql::column::<i64>(row, 18)? != 0,
    })
}

fn values(plan: &PlanRow) -> Vec<Value> {
    vec![
        plan.id.to_string().into(),
        plan.tenant.to_string().into(),
        i64::try_from(plan.version).unwrap_or(i64::MAX).into(),
        plan.state.word().into(),
        plan.verb.clone().into(),
        plan.requester.to_string().into(),
        plan.made_at.millis().into(),
        plan.decide_by.millis().into(),
        plan.expires_at.millis().into(),
        plan.digest.map(|digest| digest.to_string()).into(),
        plan.body.clone().into(),
        plan.about.clone().into(),
        serde_json::to_string(&plan.decision).unwrap_or_default().into(),
        plan.reading.map(String::from).into(),
        plan.prepares.map(String::from).into(),
        i64::from(plan.revoked).into(),
        i64::from(plan.wave).into(),
        plan.ended_at.map(Timestamp::millis).into(),
        i64::from(plan.taken_back).into(),
    ]
}

/// Writes new plans.
pub async fn insert(tx: &Tx, plans: &[&PlanRow]) -> Result<(), StoreError> {
    let places = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; plans.len()].join(", ");
    let text = format!("INSERT INTO plans ({COLUMNS}) VALUES {places}");
    tx.execute(&text, plans.iter().flat_map(|plan| values(plan)).collect()).await?;
    Ok(())
}

/// Writes what became of a plan whose present version is `plan.version`; says whether it was.
pub async fn update(tx: &Tx, plan: &PlanRow) -> Result<bool, StoreError> {
    let text = "UPDATE plans SET version = version + 1, state = ?, revoked = ?, taken_back = ?, wave = ?, ended_at = ?
WHERE id = ? AND version = ?";
    let values = vec![
        plan.state.word().into(),
        i64::from(plan.revoked).into(),
        i64::from(plan.taken_back).into(),
        i64::from(plan.wave).into(),
        plan.ended_at.map(Timestamp::millis).into(),
        plan.id.to_string().into(),
        i64::try_from(plan.version).unwrap_or(i64::MAX).into(),
    ];
    Ok(tx.execute(text, values).await? == 1)
}

/// Writes the bytes of a plan that was preparing, with what became of it; says whether it still was.
pub async fn complete(tx: &Tx, plan: &PlanRow) -> Result<bool, StoreError> {
    let text = "UPDATE plans SET version = version + 1, state = ?, digest = ?, body = ?, about = ?, decision = ?, ended_at = ?
WHERE id = ? AND version = ? AND state = 'preparing'";
    let values = vec![
        plan.state.word().into(),
        plan.digest.map(|digest| digest.to_string()).into(),
        plan.body.clone().into(),
        plan.about.clone().into(),
        serde_json::to_string(&plan.decision).unwrap_or_default().into(),
        plan.ended_at.map(Timestamp::millis).into(),
        plan.id.to_string().into(),
        i64::try_from(plan.version).unwrap_or(i64::MAX).into(),
    ];
    Ok(tx.execute(text, values).await? == 1)
}

/// Ends those of these running plans whose every task has ended; returns them. One that was taken back ends as cancelled, unless every
/// host had come to an end of its own.
pub async fn finish(tx: &Tx, plans: &[PlanId]) -> Result<Vec<(PlanId, PlanState)>, StoreError> {
    let text = "UPDATE plans SET version = version + 1, ended_at = ?, state = CASE WHEN taken_back = 1 AND EXISTS
(SELECT 1 FROM tasks WHERE tasks.plan = plans.id AND tasks.state NOT IN ('succeeded', 'failed')) THEN 'cancelled' ELSE 'finished' END
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'running'
AND NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.plan = plans.id AND tasks.state IN ('waiting', 'sent', 'running'))
RETURNING id, state";
    let list = serde_json::to_string(plans).unwrap_or_default();
    let rows = tx.all(text, vec![tx.now().millis().into(), list.into()]).await?;
    rows.iter()
        .map(|row| Ok((sql::parsed(row, 0, "plan")?, sql::parsed(row, 1, "state of a plan")?)))
        .collect()
}

/// A plan, of whatever tenant.
pub async fn get(store: &Store, id: PlanId) -> Result<Option<PlanRow>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM plans WHERE id = ?");
    sql::one(store.reader(), &text, vec![id.to_string().into()]).await?.as_ref().map(read).transpose()
}

/// A plan with all hosts of its tenant, as `hosts::facts` gives them: one statement when no host changed.
pub async fn with_fleet(
    store: &Store,
    id: PlanId,
) -> Result<Option<(PlanRow, Arc<Vec<HostRow>>)>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS}, (SELECT version FROM fleets WHERE fleets.tenant = plans.tenant) FROM plans WHERE id = ?"
    );
    let Some(found) = sql::one(store.reader(), &text, vec![id.to_string().into()]).await? else {
        return Ok(None);
    };
    let row = read(&found)?;
    let hosts = match sql::column::<Option<i64>>(&found, 19)? {
        Some(version) => hosts::facts_at(store, row.tenant, version).await?,
        None => Arc::default(),
    };
    Ok(Some((row, hosts)))
}

/// A plan, of whatever tenant, as a transaction sees it.
pub async fn of_act(tx: &Tx, id: PlanId) -> Result<Option<PlanRow>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM plans WHERE id = ?");
    tx.one(&text, vec![id.to_string().into()]).await?.as_ref().map(read).transpose()
}

/// Which plans of a tenant.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Older than this one.
    pub before: Option<PlanId>,
    /// In one of these states; in any when empty.
    pub states: Vec<PlanState>,
    /// With a task on this host.
    pub host: Option<legator_core::ids::HostId>,
    /// At most so many; never more than 500.
    pub limit: u32,
}

/// Plans of a tenant, newest first. Plans that only read for another are left out.
pub async fn list(store: &Store, tenant: TenantId, filter: &Filter) -> Result<Vec<PlanRow>, StoreError> {
    let mut text = format!("SELECT {COLUMNS} FROM plans WHERE tenant = ? AND prepares IS NULL");
    let mut values: Vec<Value> = vec![tenant.to_string().into()];
    if let Some(before) = filter.before {
        text.push_str(" AND id < ?");
        values.push(before.to_string().into());
    }
    if !filter.states.is_empty() {
        text.push_str(" AND state IN (SELECT value FROM json_each(?))");
        values.push(serde_json::to_string(&filter.states).unwrap_or_default().into());
    }
    if let Some(host) = filter.host {
        text.push_str(" AND id IN (SELECT plan FROM tasks WHERE host = ?)");
        values.push(host.to_string().into());
    }
    text.push_str(&format!(" ORDER BY id DESC LIMIT {}", filter.limit.clamp(1, 500)));
    sql::all(store.reader(), &text, values).await?.iter().map(read).collect()
}

/// An open plan, as the sweep needs it.
#[derive(Debug, Clone)]
pub struct Open {
    /// The plan.
    pub id: PlanId,
    /// Where it stands.
    pub state: PlanState,
    /// When it was asked for.
    pub made_at: Timestamp,
    /// When approving ends.
    pub decide_by: Timestamp,
    /// The last moment at which a task may start.
    pub expires_at: Timestamp,
    /// Tasks that wait.
    pub waiting: u32,
    /// Tasks that have not ended.
    pub open: u32,
    /// Open tasks of the plan that reads for it.
    pub reading: u32,
}

/// All plans that have not ended, oldest first, of all tenants.
pub async fn open(store: &Store) -> Result<Vec<Open>, StoreError> {
    let text = "SELECT id, state, made_at, decide_by, expires_at,
(SELECT count(*) FROM tasks WHERE tasks.plan = plans.id AND state = 'waiting'),
(SELECT count(*) FROM tasks WHERE tasks.plan = plans.id AND state IN ('waiting', 'sent', 'running')),
(SELECT count(*) FROM tasks WHERE tasks.plan = plans.reading AND state IN ('waiting', 'sent', 'running'))
FROM plans WHERE state IN ('preparing', 'pending', 'approved', 'running') ORDER BY id LIMIT 5000";
    let count = |row: &QueryResult, place| -> Result<u32, StoreError> {
        Ok(u32::try_from(sql::column::<i64>(row, place)?).unwrap_or(u32::MAX))
    };
    let rows = sql::all(store.reader(), text, vec![]).await?;
    let read = |row: &QueryResult| {
        Ok(Open {
            id: sql::parsed(row, 0, "plan")?,
            state: sql::parsed(row, 1, "state of a plan")?,
            made_at: time(row, 2)?,
            decide_by: time(row, 3)?,
            expires_at: time(row, 4)?,
            waiting: count(row, 5)?,
            open: count(row, 6)?,
            reading: count(row, 7)?,
        })
    };
    rows.iter().map(read).collect()
}

/// A grant as it was signed, for the leaves from `first` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// The first leaf.
    pub first: u32,
    /// How many leaves.
    pub count: u32,
    /// The envelope, as JSON.
    pub envelope: String,
}

/// Keeps grants of a plan.
pub async fn insert_grants(tx: &Tx, plan: PlanId, grants: &[GrantRow]) -> Result<(), StoreError> {
    if grants.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = grants.iter().map(|grant| (grant.first, grant.count, &grant.envelope)).collect();
    let text = "INSERT INTO grants (plan, first, count, envelope) SELECT ?, value->>0, value->>1, value->>2 FROM json_each(?)";
    let rows = serde_json::to_string(&rows).unwrap_or_default();
    tx.execute(text, vec![plan.to_string().into(), rows.into()]).await?;
    Ok(())
}

const GRANTS: &str = "SELECT first, count, envelope FROM grants WHERE plan = ? ORDER BY first";

fn read_grant(row: &QueryResult) -> Result<GrantRow, StoreError> {
    let number = |place| -> Result<u32, StoreError> {
        Ok(u32::try_from(sql::column::<i64>(row, place)?).unwrap_or(u32::MAX))
    };
    Ok(GrantRow { first: number(0)?, count: number(1)?, envelope: sql::column(row, 2)? })
}

/// The grants of a plan, by their first leaf.
pub async fn grants(store: &Store, plan: PlanId) -> Result<Vec<GrantRow>, StoreError> {
    sql::all(store.reader(), GRANTS, vec![plan.to_string().into()]).await?.iter().map(read_grant).collect()
}

/// The same, as a transaction sees them.
pub async fn grants_in(tx: &Tx, plan: PlanId) -> Result<Vec<GrantRow>, StoreError> {
    tx.all(GRANTS, vec![plan.to_string().into()]).await?.iter().map(read_grant).collect()
}
