//! The chain: the number of each event in its tenant's log, the tree over them, signed checkpoints.
//!
//! Owns the tables `chain*` and `checkpoints`. Never changes an event. Invariant: numbers have no gaps and are given once, by the holder
//! of the notary's lease only.

mod export;
mod proofs;
mod read;

pub use export::{export_head, export_page};
pub use proofs::{consistency, inclusion, root};
pub use read::{Numbered, Order, Query, newest, read};

use crate::leases::{self, Lease};
use crate::{Keeping, Store, StoreError, Tx, sql};
use legator_core::audit;
use legator_core::digest::Digest;
use legator_core::ids::TenantId;
use legator_core::merkle::{Frontier, Tree};
use legator_core::time::Timestamp;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The most events that are numbered in one transaction.
pub const BATCH: usize = 500;
/// Roots of subtrees are kept at each multiple of this level.
pub(crate) const LEVELS: u32 = 8;

/// What one round of numbering did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// How many events got a number.
    pub events: usize,
    /// Tenants whose logs grew, with their new sizes.
    pub grown: Vec<(TenantId, u64)>,
    /// Whether there may be more to do at once.
    pub more: bool,
}

const WAITING: &str = "SELECT seq, tenant, body FROM events WHERE seq > (SELECT COALESCE(MAX(seq), 0) FROM chain) ORDER BY seq LIMIT 500";

/// Whether there are events without a number.
pub async fn waiting(store: &Store) -> Result<bool, StoreError> {
    let text = "SELECT EXISTS (SELECT 1 FROM events WHERE seq > (SELECT COALESCE(MAX(seq), 0) FROM chain))";
    let row = sql::one(store.reader(), text, vec![]).await?;
    row.map_or(Ok(false), |row| Ok(sql::column::<i64>(&row, 0)? == 1))
}

struct Growth {
    frontier: Frontier,
    leaves: Vec<serde_json::Value>,
    nodes: Vec<serde_json::Value>,
}

impl Growth {
    fn add(&mut self, tenant: TenantId, seq: i64, body: &str) {
        let number = self.frontier.size() + 1;
        let leaf = audit::leaf(number, tenant, body);
        self.leaves.push(serde_json::json!([tenant, number, seq, leaf.hex()]));
        let nodes = &mut self.nodes;
        self.frontier.push_noting(leaf, |level, place, hash| {
            if level > 0 && level % LEVELS == 0 {
                nodes.push(serde_json::json!([tenant, level, place, hash.hex()]));
            }
        });
    }
}

/// Numbers at most `BATCH` events that have no number yet, in the order of their commits.
///
/// # Errors
/// `Fenced` when the lease is another's by now; nothing is written then.
pub async fn number(store: &Store, lease: &Lease) -> Result<Round, StoreError> {
    store
        .keep(Keeping::Chain, async |tx| {
            leases::check(tx, lease).await?;
            let rows = tx.all(WAITING, vec![]).await?;
            let mut growth: BTreeMap<TenantId, Growth> = BTreeMap::new();
            for row in &rows {
                let tenant: TenantId = sql::parsed(row, 1, "tenant")?;
                let body: String = sql::column(row, 2)?;
                let seq = sql::column(row, 0)?;
                match growth.entry(tenant) {
                    Entry::Occupied(mut there) => there.get_mut().add(tenant, seq, &body),
                    Entry::Vacant(place) => place.insert(begin(tx, tenant).await?).add(tenant, seq, &body),
                }
            }
            let grown = growth.iter().map(|(tenant, growth)| (*tenant, growth.frontier.size())).collect();
            append(tx, growth).await?;
            Ok(Round { events: rows.len(), grown, more: rows.len() >= BATCH })
        })
        .await
}

async fn begin(tx: &Tx, tenant: TenantId) -> Result<Growth, StoreError> {
    let text = "SELECT frontier FROM chain_heads WHERE tenant = ?";
    let frontier = match tx.one(text, vec![tenant.to_string().into()]).await? {
        None => Frontier::new(),
        Some(row) => parse_frontier(&sql::column::<String>(&row, 0)?)?,
    };
    Ok(Growth { frontier, leaves: Vec::new(), nodes: Vec::new() })
}

fn parse_frontier(text: &str) -> Result<Frontier, StoreError> {
    serde_json::from_str(text).map_err(|why| StoreError::corrupt("head of the chain", why))
}

async fn append(tx: &Tx, growth: BTreeMap<TenantId, Growth>) -> Result<(), StoreError> {
    let (mut leaves, mut nodes, mut heads) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, growth) in growth {
        let frontier = serde_json::to_string(&growth.frontier)
            .map_err(|why| StoreError::corrupt("head of the chain", why))?;
        heads.push(serde_json::json!([tenant, growth.frontier.size(), frontier, tx.now().millis()]));
        leaves.extend(growth.leaves);
        nodes.extend(growth.nodes);
    }
    let each = [
        ("INSERT INTO chain (tenant, number, seq, leaf) SELECT value->>0, value->>1, value->>2, unhex(value->>3) FROM json_each(?)", leaves),
        ("INSERT INTO chain_nodes (tenant, level, place, hash) SELECT value->>0, value->>1, value->>2, unhex(value->>3) FROM json_each(?)", nodes),
        ("INSERT INTO chain_heads (tenant, size, frontier, grown_at) SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?) WHERE true
ON CONFLICT (tenant) DO UPDATE SET size = excluded.size, frontier = excluded.frontier, grown_at = excluded.grown_at", heads),
    ];
    for (text, rows) in each {
        if !rows.is_empty() {
            tx.execute(text, vec![serde_json::Value::Array(rows).to_string().into()]).await?;
        }
    }
    Ok(())
}

/// A tenant's log that grew since its last checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    /// Whose.
    pub tenant: TenantId,
    /// What is to be signed.
    pub tree: Tree,
    /// The note of the last checkpoint.
    pub last: Option<String>,
}

/// The logs that grew since their last checkpoints.
pub async fn unsigned(store: &Store) -> Result<Vec<Unsigned>, StoreError> {
    let text = "SELECT h.tenant, h.frontier, c.note FROM chain_heads h
LEFT JOIN checkpoints c ON c.tenant = h.tenant AND c.size = (SELECT MAX(size) FROM checkpoints m WHERE m.tenant = h.tenant)
WHERE c.size IS NULL OR h.size > c.size";
    let rows = sql::all(store.reader(), text, vec![]).await?;
    let unsigned = rows.iter().map(|row| {
        let tree = parse_frontier(&sql::column::<String>(row, 1)?)?.tree();
        Ok(Unsigned { tenant: sql::parsed(row, 0, "tenant")?, tree, last: sql::column(row, 2)? })
    });
    unsigned.collect()
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Whose log.
    pub tenant: TenantId,
    /// Its size.
    pub size: u64,
    /// When it was signed.
    pub at: Timestamp,
    /// The note.
    pub note: String,
}

/// Keeps signed checkpoints. A size that was signed before stays as it was.
///
/// # Errors
/// `Fenced` when the lease is another's by now.
pub async fn keep_checkpoints(store: &Store, lease: &Lease, signed: &[Signed]) -> Result<(), StoreError> {
    let rows: Vec<serde_json::Value> = signed
        .iter()
        .map(|one| serde_json::json!([one.tenant, one.size, one.at.millis(), one.note]))
        .collect();
    let rows = serde_json::Value::Array(rows).to_string();
    let text = "INSERT INTO checkpoints (tenant, size, at, note) SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?) WHERE true
ON CONFLICT (tenant, size) DO NOTHING";
    store
        .keep(Keeping::Chain, async |tx| {
            leases::check(tx, lease).await?;
            tx.execute(text, vec![rows.into()]).await
        })
        .await?;
    Ok(())
}

/// The newest checkpoint of a tenant, or the newest of at most this size.
pub async fn checkpoint(
    store: &Store,
    tenant: TenantId,
    size_max: Option<u64>,
) -> Result<Option<Signed>, StoreError> {
    let text =
        "SELECT size, at, note FROM checkpoints WHERE tenant = ? AND size <= ? ORDER BY size DESC LIMIT 1";
    let max = size_max.and_then(|size| i64::try_from(size).ok()).unwrap_or(i64::MAX);
    let row = sql::one(store.reader(), text, vec![tenant.to_string().into(), max.into()]).await?;
    row.map(|row| signed(tenant, &row)).transpose()
}

fn signed(tenant: TenantId, row: &sea_orm::QueryResult) -> Result<Signed, StoreError> {
    let size: i64 = sql::column(row, 0)?;
    let at = Timestamp::from_millis(sql::column(row, 1)?);
    Ok(Signed { tenant, size: u64::try_from(size).unwrap_or(0), at, note: sql::column(row, 2)? })
}

/// A key that signs checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointKeyRow {
    /// The fingerprint of the key.
    pub fingerprint: Digest,
    /// The authority's public key, in hex.
    pub authority: String,
    /// The authority's envelope over the key, as JSON.
    pub envelope: String,
}

/// Remembers a key that signs checkpoints, once.
pub async fn keep_key(store: &Store, key: &CheckpointKeyRow) -> Result<(), StoreError> {
    let text = "INSERT INTO checkpoint_keys (fingerprint, at, authority, envelope) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
    store
        .keep(Keeping::Chain, async |tx| {
            let values = vec![
                key.fingerprint.to_string().into(),
                tx.now().millis().into(),
                key.authority.as_str().into(),
                key.envelope.as_str().into(),
            ];
            tx.execute(text, values).await
        })
        .await?;
    Ok(())
}

/// All keys that signed checkpoints, oldest first; at most 1,000.
pub async fn keys(store: &Store) -> Result<Vec<CheckpointKeyRow>, StoreError> {
    let text = "SELECT fingerprint, authority, envelope FROM checkpoint_keys ORDER BY at LIMIT 1000";
    let rows = sql::all(store.reader(), text, vec![]).await?;
    let keys = rows.iter().map(|row| {
        Ok(CheckpointKeyRow {
            fingerprint: sql::parsed(row, 0, "fingerprint")?,
            authority: sql::column(row, 1)?,
            envelope: sql::column(row, 2)?,
        })
    });
    keys.collect()
}
