//! Hosts: who was enrolled, what operators said of them, and what is known of them now.
//!
//! Owns the table `hosts` and the sealed rows of hosts and revocations. What gives a right (key, level, labels) is read from sealed
//! rows only. Invariant: a key is one host for ever; a name is nobody's.

mod change;
mod fleet;

pub use change::{Newcomer, clear_clone, enrol, remove, rename, revoke, set_labels, set_level};
pub(crate) use fleet::{Cache, facts_at, touch};
pub use fleet::{facts, find};

use crate::sealed::Kind;
use crate::sessions::Session;
use crate::{Sealed, Store, StoreError, sql};
use legator_core::ids::{HostId, InstanceId, TenantId, TokenId};
use legator_core::level::Level;
use legator_core::rights::HostFacts;
use legator_core::session::Status;
use legator_core::span::Span;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels of one host, at most.
pub const LABELS_MAX: usize = 64;

/// What is sealed of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The name that people use; need not be unique.
    pub name: String,
    /// The hostname at enrolment.
    pub hostname: String,
    /// The public key, 64 hex digits.
    pub key: String,
    /// The ceiling of what may run there.
    pub level: Level,
    /// Labels that operators gave.
    pub labels: BTreeMap<String, String>,
    /// The token it came with.
    pub token: TokenId,
    /// When it came.
    pub enrolled_at: Timestamp,
}

/// What is sealed of a host that may not come any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why, in the words of who did it.
    pub reason: Option<String>,
    /// Whether the host is gone from lists too.
    pub removed: bool,
}

/// A host as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct HostRow {
    /// Its id.
    pub id: HostId,
    /// What selectors and policies may ask.
    pub facts: HostFacts,
    /// Its public key, 64 hex digits.
    pub key: String,
    /// The hostname that it says now.
    pub hostname: String,
    /// The version of the limits that it keeps, as it last said.
    pub limits_version: u64,
    /// Whether a grant can be handed to it now: connected, not revoked, not held back as a clone.
    pub connected: bool,
    /// The edge that holds it.
    pub edge: Option<InstanceId>,
    /// The epoch of its session; zero before the first.
    pub epoch: u64,
    /// Whether it may not come any more.
    pub revoked: bool,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// Its latest session.
    pub session: Option<Session>,
}

impl HostRow {
    /// Its status at a moment.
    pub fn status(&self, now: Timestamp) -> Status {
        if self.revoked {
            return Status::Revoked;
        }
        Status::of(self.session.as_ref().map(Session::presence).as_ref(), now)
    }
}

/// Who has this key: the host, its tenant, and the token it came with. Also when it is revoked or removed.
pub async fn by_key(store: &Store, key_hex: &str) -> Result<Option<(TenantId, HostId, TokenId)>, StoreError> {
    let text = "SELECT tenant, id, token FROM hosts WHERE key_hex = ?";
    let row = sql::one(store.reader(), text, vec![key_hex.into()]).await?;
    row.map(|row| {
        Ok((sql::parsed(&row, 0, "tenant")?, sql::parsed(&row, 1, "host")?, sql::parsed(&row, 2, "token")?))
    })
    .transpose()
}

/// The tenant of a host, also of one that was removed.
pub async fn tenant_of(store: &Store, host: HostId) -> Result<Option<TenantId>, StoreError> {
    let row =
        sql::one(store.reader(), "SELECT tenant FROM hosts WHERE id = ?", vec![host.to_string().into()])
            .await?;
    row.map(|row| sql::parsed(&row, 0, "tenant")).transpose()
}

/// What is sealed of a host; nothing when there is none or its seal does not hold.
pub async fn sealed(store: &Store, tenant: TenantId, host: HostId) -> Result<Option<Host>, StoreError> {
    let row = store.seal_get::<Host>(tenant, Kind::Host, &host.to_string()).await?;
    Ok(row.and_then(Sealed::grants))
}

/// Whether a host may not come any more. A broken revocation is in force.
pub async fn is_revoked(store: &Store, tenant: TenantId, host: HostId) -> Result<bool, StoreError> {
    Ok(store.seal_get::<Revocation>(tenant, Kind::Revocation, &host.to_string()).await?.is_some())
}

/// All tenants that have hosts.
pub async fn tenants(store: &Store) -> Result<Vec<TenantId>, StoreError> {
    let rows = sql::all(store.reader(), "SELECT tenant FROM fleets", vec![]).await?;
    rows.iter().map(|row| sql::parsed(row, 0, "tenant")).collect()
}

/// Hosts of all tenants that were revoked since `since` ago: longer than a credential lives, none is needed.
pub async fn revoked(store: &Store, since: Span) -> Result<Vec<HostId>, StoreError> {
    let oldest = store.clock().now() - since;
    let mut hosts = Vec::new();
    for tenant in tenants(store).await? {
        for (id, row) in store.seal_list::<Revocation>(tenant, Kind::Revocation).await? {
            let counts = match row {
                Sealed::Whole { value, .. } => value.at >= oldest,
                Sealed::Broken => true,
            };
            if let (true, Ok(host)) = (counts, id.parse()) {
                hosts.push(host);
            }
        }
    }
    hosts.sort_unstable();
    Ok(hosts)
}
