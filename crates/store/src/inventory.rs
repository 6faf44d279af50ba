//! What hosts are made of, as their probes said last, part by part.
//!
//! Owns the tables `inventory` and `inventory_heads`. Invariant: an inventory that is not newer than the one there changes nothing.

use crate::{Store, StoreError, Tx, sessions, sql};
use legator_core::health::Recorded;
use legator_core::ids::{HostId, TenantId};
use legator_core::time::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// A verified inventory, whole or in part.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The host.
    pub host: HostId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Rises with each one that the probe sends.
    pub sequence: u64,
    /// Parts that are new or differ.
    pub changed: BTreeMap<String, Value>,
    /// Parts that are gone.
    pub gone: Vec<String>,
}

/// A part, and since when it is so.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its value.
    pub value: Value,
    /// When it last changed.
    pub changed_at: Timestamp,
}

/// The number of the inventory that is stored last; nothing before the first.
pub async fn sequence(store: &Store, host: HostId) -> Result<Option<u64>, StoreError> {
    let text = "SELECT sequence FROM inventory_heads WHERE host = ?";
    let row = sql::one(store.reader(), text, vec![host.to_string().into()]).await?;
    row.map(|row| Ok(u64::try_from(sql::column::<i64>(&row, 0)?).unwrap_or(0))).transpose()
}

/// Stores an inventory. Says whether it was newer than the one there; if not, nothing was written.
pub async fn take(tx: &Tx, taken: &Taken) -> Result<bool, StoreError> {
    let text = "INSERT INTO inventory_heads (host, tenant, sequence, taken_at) VALUES (?, ?, ?, ?)
ON CONFLICT (host) DO UPDATE SET sequence = excluded.sequence, taken_at = excluded.taken_at
WHERE inventory_heads.sequence < excluded.sequence";
    let host = taken.host.to_string();
    let now = tx.now().millis();
    let sequence = i64::try_from(taken.sequence).unwrap_or(i64::MAX);
    let values = vec![host.clone().into(), taken.tenant.to_string().into(), sequence.into(), now.into()];
    if tx.execute(text, values).await? == 0 {
        return Ok(false);
    }
    if !taken.gone.is_empty() {
        let text = "DELETE FROM inventory WHERE host = ? AND part IN (SELECT value FROM json_each(?))";
        tx.execute(text, vec![host.clone().into(), json!(taken.gone).to_string().into()]).await?;
    }
    for (part, value) in &taken.changed {
        let text = "INSERT INTO inventory (host, part, value, changed_at) VALUES (?, ?, ?, ?)
ON CONFLICT (host, part) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at";
        tx.execute(
            text,
            vec![host.clone().into(), part.clone().into(), value.to_string().into(), now.into()],
        )
        .await?;
    }
    Ok(true)
}

/// All parts of a host, by name.
pub async fn parts(store: &Store, host: HostId) -> Result<BTreeMap<String, Part>, StoreError> {
    let text = "SELECT part, value, changed_at FROM inventory WHERE host = ?";
    let rows = sql::all(store.reader(), text, vec![host.to_string().into()]).await?;
    rows.iter().map(|row| Ok((sql::column::<String>(row, 0)?, part_of(row, 1)?))).collect()
}

/// One part of a host.
pub async fn part(store: &Store, host: HostId, name: &str) -> Result<Option<Part>, StoreError> {
    let text = "SELECT value, changed_at FROM inventory WHERE host = ? AND part = ?";
    let row = sql::one(store.reader(), text, vec![host.to_string().into(), name.into()]).await?;
    row.map(|row| part_of(&row, 0)).transpose()
}

/// The same part of many hosts, of those that have it.
pub async fn part_of_many(
    store: &Store,
    hosts: &[HostId],
    name: &str,
) -> Result<HashMap<HostId, Value>, StoreError> {
    let text =
        "SELECT host, value FROM inventory WHERE part = ? AND host IN (SELECT value FROM json_each(?))";
    let rows = sql::all(store.reader(), text, vec![name.into(), json!(hosts).to_string().into()]).await?;
    let mut found = HashMap::new();
    for row in &rows {
        if let Ok(value) = serde_json::from_str(&sql::column::<String>(row, 1)?) {
            found.insert(sql::parsed(row, 0, "host")?, value);
        }
    }
    Ok(found)
}

fn part_of(row: &sea_orm::QueryResult, place: usize) -> Result<Part, StoreError> {
    let value: String = sql::column(row, place)?;
    let value = serde_json::from_str(&value).map_err(|why| StoreError::corrupt("inventory", why))?;
    Ok(Part { value, changed_at: Timestamp::from_millis(sql::column(row, place + 1)?) })
}

/// What counts for health and risk of these hosts of a tenant; a host of which nothing is recorded is in it, with nothing.
pub async fn recorded(
    store: &Store,
    tenant: TenantId,
    hosts: &[HostId],
) -> Result<HashMap<HostId, Recorded>, StoreError> {
    let text = "SELECT host, part, value FROM inventory WHERE host IN (SELECT value FROM json_each(?))
AND part IN ('services', 'updates', 'clock', 'ssh', 'certificates')";
    let rows = sql::all(store.reader(), text, vec![json!(hosts).to_string().into()]).await?;
    let mut parts: HashMap<HostId, BTreeMap<String, Value>> = HashMap::new();
    for row in &rows {
        let value: String = sql::column(row, 2)?;
        if let Ok(value) = serde_json::from_str(&value) {
            parts.entry(sql::parsed(row, 0, "host")?).or_default().insert(sql::column(row, 1)?, value);
        }
    }
    let fleet = crate::hosts::facts(store, tenant).await?;
    let metrics = |host: &HostId| {
        let place = fleet.binary_search_by_key(host, |row| row.id).ok()?;
        let session: &sessions::Session = fleet.get(place)?.session.as_ref()?;
        Some((session.seen_at, session.metrics.clone()?))
    };
    let of = |host: &HostId| Recorded::new(metrics(host), parts.get(host).unwrap_or(&BTreeMap::new()));
    Ok(hosts.iter().map(|host| (*host, of(host))).collect())
}
