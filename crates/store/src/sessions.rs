//! Which process run of which host is connected where, and when it was last heard.
//!
//! Owns the table `sessions`, one row a host. Bookkeeping about liveness; only holding a clone back is an act.
//! Invariant: the epoch of a host rises with each session and never falls.

use crate::hosts::touch;
use crate::{Audited, Op, Store, StoreError, Tx, sql};
use legator_core::cage::{CageReport, CageState};
use legator_core::event::{About, NewEvent};
use legator_core::health::Metrics;
use legator_core::ids::{HostId, InstanceId, TaskId, TenantId, TraceId};
use legator_core::level::Level;
use legator_core::session::{ONLINE_WITHIN, Presence, Runs};
use legator_core::time::Timestamp;
use sea_orm::QueryResult;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};

/// What a probe said of itself in its signed hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidHello {
    /// The hostname.
    pub hostname: String,
    /// The probe's version.
    pub version: String,
    /// What the kernel can hold back there.
    pub cage: CageReport,
    /// The highest level of the host's own file.
    pub max_level: Level,
    /// The version of the limits that it keeps.
    pub limits_version: u64,
    /// Tasks that ran then.
    pub running: Vec<TaskId>,
}

/// A session, the latest of its host.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The host.
    pub host: HostId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The edge that holds it, or held it.
    pub edge: InstanceId,
    /// Rises with each session.
    pub epoch: u64,
    /// The run of the probe's process.
    pub instance: InstanceId,
    /// When it began.
    pub began_at: Timestamp,
    /// When the host was last heard, as far as it is written.
    pub seen_at: Timestamp,
    /// When it ended; nothing while it lasts.
    pub ended_at: Option<Timestamp>,
    /// How far the host's clock is ahead, in milliseconds.
    pub clock_ahead_ms: i64,
    /// What it said.
    pub said: SaidHello,
    /// Runs that were fenced.
    pub runs: Runs,
    /// Since when it is held back as a clone.
    pub cloned_at: Option<Timestamp>,
    /// Its last figures.
    pub metrics: Option<Metrics>,
}

impl Session {
    /// What its status is made of.
    pub fn presence(&self) -> Presence {
        Presence { seen_at: self.seen_at, ended_at: self.ended_at }
    }

    /// How much of the cage there is, as a word.
    pub fn cage_word(&self) -> &'static str {
        match self.said.cage.state {
            CageState::Full => "full",
            CageState::Partial => "partial",
            CageState::None => "none",
        }
    }
}

/// A verified hello that becomes a session.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The host.
    pub host: HostId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The edge that holds it.
    pub edge: InstanceId,
    /// The run of the probe's process.
    pub instance: InstanceId,
    /// How far its clock is ahead, in milliseconds.
    pub clock_ahead_ms: i64,
    /// What it said.
    pub said: SaidHello,
}

/// A session that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// It.
    pub session: Session,
    /// The one before, where it had not ended: edge and epoch.
    pub fenced: Option<(InstanceId, u64)>,
    /// It is the one that showed a clone.
    pub shows_clone: bool,
}

const COLUMNS: &str = "host, tenant, edge, epoch, instance, began_at, seen_at, ended_at, clock_ahead_ms, hello, fenced, cloned_at, metrics";

fn read(row: &QueryResult) -> Result<Session, StoreError> {
    let time =
        |place| -> Result<Timestamp, StoreError> { Ok(Timestamp::from_millis(sql::column(row, place)?)) };
    let maybe = |place| -> Result<Option<Timestamp>, StoreError> {
        Ok(sql::column::<Option<i64>>(row, place)?.map(Timestamp::from_millis))
    };
    let said: String = sql::column(row, 9)?;
    let runs: String = sql::column(row, 10)?;
    let metrics: Option<String> = sql::column(row, 12)?;
    Ok(Session {
        host: sql::parsed(row, 0, "host")?,
        tenant: sql::parsed(row, 1, "tenant")?,
        edge: sql::parsed(row, 2, "edge")?,
        epoch: u64::try_from(sql::column::<i64>(row, 3)?).unwrap_or(0),
        instance: sql::parsed(row, 4, "instance")?,
        began_at: time(5)?,
        seen_at: time(6)?,
        ended_at: maybe(7)?,
        clock_ahead_ms: sql::column(row, 8)?,
        said: serde_json::from_str(&said).map_err(|why| StoreError::corrupt("hello", why))?,
        runs: serde_json::from_str(&runs).unwrap_or_default(),
        cloned_at: maybe(11)?,
        metrics: metrics.and_then(|text| serde_json::from_str(&text).ok()),
    })
}

fn by_host(rows: &[QueryResult]) -> Result<HashMap<HostId, Session>, StoreError> {
    rows.iter().map(|row| read(row).map(|session| (session.host, session))).collect()
}

/// The sessions of a tenant's hosts.
pub async fn of_tenant(store: &Store, tenant: TenantId) -> Result<HashMap<HostId, Session>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM sessions WHERE tenant = ?");
    by_host(&sql::all(store.reader(), &text, vec![tenant.to_string().into()]).await?)
}

/// The tenants of these hosts' sessions.
pub async fn tenants_of(store: &Store, hosts: &[HostId]) -> Result<HashMap<HostId, TenantId>, StoreError> {
    let text = "SELECT host, tenant FROM sessions WHERE host IN (SELECT value FROM json_each(?))";
    let rows = sql::all(store.reader(), text, vec![json!(hosts).to_string().into()]).await?;
    rows.iter().map(|row| Ok((sql::parsed(row, 0, "host")?, sql::parsed(row, 1, "tenant")?))).collect()
}

/// Makes sessions of verified hellos, a batch in one transaction. A clone that shows is held back and told in an event.
pub async fn begin(store: &Store, openings: &[Opening], trace: TraceId) -> Result<Vec<Begun>, StoreError> {
    let kept = store.keep(crate::Keeping::Sessions, async |tx| {
        let begun = planned(tx, openings).await?;
        if begun.iter().any(|begun| begun.shows_clone) {
            return Ok(None);
        }
        written(tx, &begun).await?;
        Ok::<_, StoreError>(Some(begun))
    });
    if let Some(begun) = kept.await? {
        return Ok(begun);
    }
    let op = Op::system(TenantId::DEFAULT, "sessions", trace);
    store
        .write(&op, async |tx| {
            let begun = planned(tx, openings).await?;
            written(tx, &begun).await?;
            let mut news = begun.iter().filter(|begun| begun.shows_clone).map(|begun| &begun.session);
            // Another worker may have told it meanwhile; the batch is still told once.
            let first = news.next().or(begun.first().map(|begun| &begun.session));
            let Some(first) = first else { return Err(StoreError::corrupt("batch", "it is empty")) };
            let (op, event) = cloned(first, trace);
            let mut audited = Audited::new_by((), op, event);
            for session in news {
                let (op, event) = cloned(session, trace);
                audited = audited.and_by(op, event);
            }
            Ok(audited.map(|()| begun))
        })
        .await
}

fn cloned(session: &Session, trace: TraceId) -> (Op, NewEvent) {
    let data = json!({
        "instance": session.instance, "hostname": session.said.hostname,
        "detail": "two runs of the probe with one key take turns: commands to this host are held back",
    });
    let event = NewEvent::new("host.cloned", About::host(session.host), data);
    (Op::system(session.tenant, "sessions", trace), event)
}

async fn planned(tx: &Tx, openings: &[Opening]) -> Result<Vec<Begun>, StoreError> {
    let hosts: Vec<HostId> = openings.iter().map(|opening| opening.host).collect();
    let text = format!("SELECT {COLUMNS} FROM sessions WHERE host IN (SELECT value FROM json_each(?))");
    let mut known = by_host(&tx.all(&text, vec![json!(hosts).to_string().into()]).await?)?;
    let mut begun: Vec<Begun> = Vec::with_capacity(openings.len());
    for opening in openings {
        let mut next = next_session(known.get(&opening.host), opening, tx.now());
        known.insert(opening.host, next.session.clone());
        // Two hellos of one host in a batch: the later one stands, and what the earlier one showed is still told.
        if let Some(place) = begun.iter().position(|earlier| earlier.session.host == opening.host) {
            next.shows_clone |= begun.remove(place).shows_clone;
        }
        begun.push(next);
    }
    Ok(begun)
}

fn next_session(old: Option<&Session>, opening: &Opening, now: Timestamp) -> Begun {
    let (runs, cloned) = match old {
        Some(old) => old.runs.clone().after(old.instance, opening.instance, now),
        None => (Runs::default(), false),
    };
    let held = old.and_then(|old| old.cloned_at);
    let session = Session {
        host: opening.host,
        tenant: opening.tenant,
        edge: opening.edge,
        epoch: old.map_or(0, |old| old.epoch) + 1,
        instance: opening.instance,
        began_at: now,
        seen_at: now,
        ended_at: None,
        clock_ahead_ms: opening.clock_ahead_ms,
        said: opening.said.clone(),
        runs,
        cloned_at: held.or(cloned.then_some(now)),
        metrics: old
            .filter(|old| now.since(old.seen_at) <= ONLINE_WITHIN)
            .and_then(|old| old.metrics.clone()),
    };
    let fenced = old.filter(|old| old.ended_at.is_none()).map(|old| (old.edge, old.epoch));
    Begun { session, fenced, shows_clone: cloned && held.is_none() }
}

async fn written(tx: &Tx, begun: &[Begun]) -> Result<(), StoreError> {
    let rows: Vec<serde_json::Value> = begun.iter().map(|begun| columns(&begun.session)).collect();
    let text = format!(
        "INSERT INTO sessions (connected, {COLUMNS})
SELECT 1, value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9, value->>10,
value->>11, value->>12 FROM json_each(?) WHERE true
ON CONFLICT (host) DO UPDATE SET connected = 1, tenant = excluded.tenant, edge = excluded.edge, epoch = excluded.epoch,
instance = excluded.instance, began_at = excluded.began_at, seen_at = excluded.seen_at, ended_at = NULL,
clock_ahead_ms = excluded.clock_ahead_ms, hello = excluded.hello, fenced = excluded.fenced, cloned_at = excluded.cloned_at,
metrics = excluded.metrics"
    );
    tx.execute(&text, vec![serde_json::Value::Array(rows).to_string().into()]).await?;
    touched(tx, begun.iter().map(|begun| begun.session.tenant)).await
}

fn columns(session: &Session) -> serde_json::Value {
    let said = serde_json::to_string(&session.said).unwrap_or_default();
    let runs = serde_json::to_string(&session.runs).unwrap_or_default();
    let metrics = session.metrics.as_ref().and_then(|metrics| serde_json::to_string(metrics).ok());
    json!([
        session.host,
        session.tenant,
        session.edge,
        session.epoch,
        session.instance,
        session.began_at.millis(),
        session.seen_at.millis(),
        session.ended_at.map(Timestamp::millis),
        session.clock_ahead_ms,
        said,
        runs,
        session.cloned_at.map(Timestamp::millis),
        metrics
    ])
}

async fn touched(tx: &Tx, tenants: impl Iterator<Item = TenantId>) -> Result<(), StoreError> {
    for tenant in tenants.collect::<BTreeSet<_>>() {
        touch(tx, tenant).await?;
    }
    Ok(())
}

/// Sessions that ended: only those that are still the current ones of their hosts. Says how many were.
pub async fn end(store: &Store, ended: &[(TenantId, HostId, u64)]) -> Result<u64, StoreError> {
    let rows: Vec<_> = ended.iter().map(|(_, host, epoch)| json!([host, epoch])).collect();
    let text =
        "UPDATE sessions SET connected = 0, ended_at = ?, seen_at = max(seen_at, ?) WHERE ended_at IS NULL
AND (host, epoch) IN (SELECT value->>0, value->>1 FROM json_each(?))";
    store
        .keep(crate::Keeping::Sessions, async |tx| {
            let now = tx.now().millis();
            let values = vec![now.into(), now.into(), serde_json::Value::Array(rows).to_string().into()];
            let count = tx.execute(text, values).await?;
            touched(tx, ended.iter().map(|(tenant, ..)| *tenant)).await?;
            Ok(count)
        })
        .await
}

/// Ends the sessions of all edges but these: nothing was heard of the others for a while. Says how many there were.
pub async fn end_of_others(store: &Store, alive: &[InstanceId]) -> Result<u64, StoreError> {
    let listed = || -> sea_orm::Value { json!(alive).to_string().into() };
    let which = "connected = 1 AND edge NOT IN (SELECT value FROM json_each(?))";
    let found = format!("SELECT tenant, count(*) FROM sessions WHERE {which} GROUP BY tenant");
    let rows = sql::all(store.reader(), &found, vec![listed()]).await?;
    let tenants =
        rows.iter().map(|row| sql::parsed(row, 0, "tenant")).collect::<Result<Vec<TenantId>, _>>()?;
    if tenants.is_empty() {
        return Ok(0);
    }
    let text = format!("UPDATE sessions SET connected = 0, ended_at = ? WHERE {which}");
    store
        .keep(crate::Keeping::Sessions, async |tx| {
            let count = tx.execute(&text, vec![tx.now().millis().into(), listed()]).await?;
            touched(tx, tenants.into_iter()).await?;
            Ok(count)
        })
        .await
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The host.
    pub host: HostId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its session.
    pub epoch: u64,
    /// When, by the server's clock.
    pub at: Timestamp,
    /// How far the host's clock is ahead, in milliseconds.
    pub clock_ahead_ms: i64,
    /// Its figures.
    pub metrics: Metrics,
}

/// Writes signs of life in one statement, and the figures of their minute in another.
pub async fn seen(store: &Store, seen: &[Seen]) -> Result<(), StoreError> {
    let row = |seen: &Seen| {
        let metrics = serde_json::to_string(&seen.metrics).unwrap_or_default();
        json!([seen.host, seen.epoch, seen.at.millis(), seen.clock_ahead_ms, metrics])
    };
    let rows = serde_json::Value::Array(seen.iter().map(row).collect()).to_string();
    let text = "UPDATE sessions SET seen_at = max(seen_at, s.at), clock_ahead_ms = s.ahead, metrics = s.metrics
FROM (SELECT value->>0 AS host, value->>1 AS epoch, value->>2 AS at, value->>3 AS ahead, value->>4 AS metrics FROM json_each(?)) AS s
WHERE sessions.host = s.host AND sessions.epoch = s.epoch";
    store
        .keep(crate::Keeping::Metrics, async |tx| {
            tx.execute(text, vec![rows.clone().into()]).await?;
            crate::metrics::insert(tx, &rows).await?;
            touched(tx, seen.iter().map(|seen| seen.tenant)).await
        })
        .await
}

pub(crate) async fn clear_clone(tx: &Tx, host: HostId) -> Result<bool, StoreError> {
    let text = "UPDATE sessions SET cloned_at = NULL, fenced = '[]' WHERE host = ? AND cloned_at IS NOT NULL";
    Ok(tx.execute(text, vec![host.to_string().into()]).await? > 0)
}
