//! All hosts of a tenant in memory, with their sessions: what a selector is asked over.
//!
//! Owns the cache and the counter that tells when it is old. Invariant: rows returned were current when they were asked for.

use super::{Host, HostRow, Revocation};
use crate::sealed::Kind;
use crate::sessions::{self, Session};
use crate::{Store, StoreError, Tx, sql};
use legator_core::ids::{HostId, TenantId};
use legator_core::rights::HostFacts;
use legator_core::time::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The rows of each tenant, with the version that they are of.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<TenantId, Fleet>>);

#[derive(Clone)]
struct Fleet {
    version: i64,
    rows: Arc<Vec<HostRow>>,
}

/// Every write that changes what `facts` says calls this, in its transaction.
pub(crate) async fn touch(tx: &Tx, tenant: TenantId) -> Result<(), StoreError> {
    let text = "INSERT INTO fleets (tenant, version) VALUES (?, 1)
ON CONFLICT (tenant) DO UPDATE SET version = fleets.version + 1";
    tx.execute(text, vec![tenant.to_string().into()]).await?;
    Ok(())
}

/// All hosts of a tenant that were not removed, by id. One small statement when nothing changed.
pub async fn facts(store: &Store, tenant: TenantId) -> Result<Arc<Vec<HostRow>>, StoreError> {
    let text = "SELECT version FROM fleets WHERE tenant = ?";
    let Some(row) = sql::one(store.reader(), text, vec![tenant.to_string().into()]).await? else {
        return Ok(Arc::default());
    };
    facts_at(store, tenant, sql::column(&row, 0)?).await
}

/// The same, for who has just read the version of the fleet.
pub(crate) async fn facts_at(
    store: &Store,
    tenant: TenantId,
    version: i64,
) -> Result<Arc<Vec<HostRow>>, StoreError> {
    let now = store.clock().now();
    let cached = store.inner.fleets.get(tenant).filter(|fleet| fleet.version == version);
    let rows = match cached {
        Some(fleet) if fleet.rows.iter().all(|row| row.facts.status == row.status(now).word()) => {
            return Ok(fleet.rows);
        }
        Some(fleet) => Arc::new(fleet.rows.iter().cloned().map(|row| timed(row, now)).collect()),
        None => Arc::new(load(store, tenant, now).await?),
    };
    store.inner.fleets.put(tenant, Fleet { version, rows: Arc::clone(&rows) });
    Ok(rows)
}

/// One host of a tenant, unless it was removed.
pub async fn find(store: &Store, tenant: TenantId, host: HostId) -> Result<Option<HostRow>, StoreError> {
    let rows = facts(store, tenant).await?;
    let place = rows.binary_search_by_key(&host, |row| row.id);
    Ok(place.ok().and_then(|place| rows.get(place)).cloned())
}

impl Cache {
    fn get(&self, tenant: TenantId) -> Option<Fleet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned()
    }

    fn put(&self, tenant: TenantId, fleet: Fleet) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, fleet);
    }
}

async fn load(store: &Store, tenant: TenantId, now: Timestamp) -> Result<Vec<HostRow>, StoreError> {
    let mut sessions = sessions::of_tenant(store, tenant).await?;
    let mut revoked = HashSet::new();
    let mut removed = HashSet::new();
    for (id, row) in store.seal_list::<Revocation>(tenant, Kind::Revocation).await? {
        if row.grants().is_some_and(|revocation| revocation.removed) {
            removed.insert(id.clone());
        }
        revoked.insert(id);
    }
    let mut rows = Vec::new();
    for (id, host) in store.seal_list::<Host>(tenant, Kind::Host).await? {
        // A host whose seal is broken has no key that counts: it is no host to anybody.
        let (Ok(host_id), Some(host)) = (id.parse::<HostId>(), host.grants()) else { continue };
        if !removed.contains(&id) {
            let session = sessions.remove(&host_id);
            rows.push(timed(row(host_id, host, session, revoked.contains(&id)), now));
        }
    }
    rows.sort_unstable_by_key(|row| row.id);
    Ok(rows)
}

fn row(id: HostId, host: Host, session: Option<Session>, revoked: bool) -> HostRow {
    let live = session.as_ref().filter(|session| session.ended_at.is_none());
    let facts = HostFacts {
        id: id.to_string(),
        name: host.name,
        labels: host.labels,
        level: host.level,
        os: "linux".to_owned(),
        status: String::new(),
        cage: session.as_ref().map_or("none", Session::cage_word).to_owned(),
    };
    HostRow {
        id,
        facts,
        key: host.key,
        hostname: session.as_ref().map_or(host.hostname, |session| session.said.hostname.clone()),
        limits_version: session.as_ref().map_or(0, |session| session.said.limits_version),
        connected: !revoked && live.is_some_and(|session| session.cloned_at.is_none()),
        edge: live.map(|session| session.edge),
        epoch: session.as_ref().map_or(0, |session| session.epoch),
        revoked,
        enrolled_at: host.enrolled_at,
        session,
    }
}

fn timed(mut row: HostRow, now: Timestamp) -> HostRow {
    row.facts.status = row.status(now).word().to_owned();
    row
}
