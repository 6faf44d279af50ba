//! Freeze windows as sealed rows.
//!
//! Owns what is sealed of them. Never decides what a window stops. Invariant: a broken row is a window over everything, for ever.

use crate::sealed::Kind;
use crate::{Sealed, Store, StoreError, Tx, limits};
use legator_core::ids::{FreezeId, PersonId, TenantId};
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A window in which nothing but reads is dispatched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeRow {
    /// The hosts, in the selector grammar.
    pub selector: String,
    /// From when.
    pub from: Timestamp,
    /// Until when; not included.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who opened it.
    pub by: PersonId,
    /// When.
    pub made_at: Timestamp,
}

/// Keeps a window, and raises the version of the tenant's limits, which it returns.
pub async fn put(tx: &Tx, id: FreezeId, row: &FreezeRow) -> Result<u64, StoreError> {
    tx.seal_put(Kind::Freeze, &id.to_string(), row).await?;
    limits::bump(tx).await
}

/// Takes a window away; the new version of the limits, or nothing when there was none.
pub async fn remove(tx: &Tx, id: FreezeId) -> Result<Option<u64>, StoreError> {
    match tx.seal_delete(Kind::Freeze, &id.to_string()).await? {
        true => limits::bump(tx).await.map(Some),
        false => Ok(None),
    }
}

fn with_ids(rows: Vec<(String, Sealed<FreezeRow>)>) -> Vec<(FreezeId, Option<FreezeRow>)> {
    // An id that does not parse was written by hand; the window is broken all the same.
    let id = |text: &str| text.parse().unwrap_or(FreezeId::new(0));
    rows.into_iter().map(|(text, row)| (id(&text), row.grants())).collect()
}

/// All windows, those that are over too; `None` for a broken one.
pub async fn list(store: &Store, tenant: TenantId) -> Result<Vec<(FreezeId, Option<FreezeRow>)>, StoreError> {
    Ok(with_ids(store.seal_list(tenant, Kind::Freeze).await?))
}

/// The same, as a transaction sees them.
pub async fn of_act(tx: &Tx) -> Result<Vec<(FreezeId, Option<FreezeRow>)>, StoreError> {
    Ok(with_ids(tx.seal_list(Kind::Freeze).await?))
}
