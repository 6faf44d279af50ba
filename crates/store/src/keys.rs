//! Keys of persons: API keys, and their own keys for approvals.
//!
//! Owns their sealed rows. Never sees a secret: of an API key its SHA-256, of an approver's key the public half.
//! Invariant: a public key belongs to one person of a tenant.

use crate::sealed::Kind;
use crate::{Sealed, Store, StoreError, Tx, tenants};
use legator_core::digest::Digest;
use legator_core::ids::{KeyId, PersonId, TenantId};
use legator_core::rights::Role;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What is sealed of an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Whose it is.
    pub person: PersonId,
    /// What it is for, in the words of who made it.
    pub name: String,
    /// SHA-256 of the secret.
    pub hash: Digest,
    /// The roles that it uses of its person; all when absent.
    pub scope: Option<Vec<Role>>,
    /// When it was made.
    pub made_at: Timestamp,
    /// Until when it counts; for ever when absent.
    pub expires_at: Option<Timestamp>,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it counts at this moment.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// What is sealed of an approver's own key; its id is the key's fingerprint, as hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApproverKey {
    /// Whose it is.
    pub person: PersonId,
    /// What it is called.
    pub name: String,
    /// The Ed25519 public key, 64 hex digits.
    pub key: String,
    /// When it was registered.
    pub made_at: Timestamp,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
}

/// Keeps a new or changed API key.
pub async fn put(tx: &Tx, id: KeyId, key: &ApiKey) -> Result<(), StoreError> {
    put_in(tx, tx.op().tenant, id, key).await
}

/// Keeps the first API key of a tenant that is made in this act.
pub async fn put_in(tx: &Tx, tenant: TenantId, id: KeyId, key: &ApiKey) -> Result<(), StoreError> {
    tx.seal_put_in(tenant, Kind::ApiKey, &id.to_string(), key).await?;
    Ok(())
}

/// An API key, inside an act.
pub async fn of_act(tx: &Tx, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
    Ok(tx.seal_get(Kind::ApiKey, &id.to_string()).await?.and_then(Sealed::grants))
}

/// An API key and the tenant that it opens.
pub async fn find(store: &Store, id: KeyId) -> Result<Option<(TenantId, ApiKey)>, StoreError> {
    tenants::find_row(store, Kind::ApiKey, &id.to_string()).await
}

/// All API keys of a tenant, oldest first.
pub async fn list(store: &Store, tenant: TenantId) -> Result<Vec<(KeyId, ApiKey)>, StoreError> {
    tenants::whole_rows(store, tenant, Kind::ApiKey).await
}

/// Keeps a new or changed approver's key under its fingerprint.
pub async fn put_approver(tx: &Tx, fingerprint: &Digest, key: &ApproverKey) -> Result<(), StoreError> {
    tx.seal_put(Kind::ApproverKey, &fingerprint.hex(), key).await?;
    Ok(())
}

/// An approver's key, inside an act.
pub async fn approver_of_act(tx: &Tx, fingerprint: &Digest) -> Result<Option<ApproverKey>, StoreError> {
    Ok(tx.seal_get(Kind::ApproverKey, &fingerprint.hex()).await?.and_then(Sealed::grants))
}

/// An approver's key that was not withdrawn.
pub async fn approver(
    store: &Store,
    tenant: TenantId,
    fingerprint: &Digest,
) -> Result<Option<ApproverKey>, StoreError> {
    let row: Option<ApproverKey> =
        store.seal_get(tenant, Kind::ApproverKey, &fingerprint.hex()).await?.and_then(Sealed::grants);
    Ok(row.filter(|key| key.revoked_at.is_none()))
}

/// All approvers' keys of a tenant, also withdrawn ones, by fingerprint.
pub async fn approvers(store: &Store, tenant: TenantId) -> Result<Vec<(String, ApproverKey)>, StoreError> {
    tenants::whole_rows(store, tenant, Kind::ApproverKey).await
}
