//! Tenants: who is kept apart from whom.
//!
//! Owns their sealed rows, which all stand in the default tenant. Invariant: the default tenant always exists.

use crate::sealed::Kind;
use crate::{Sealed, Store, StoreError, Tx};
use legator_core::ids::TenantId;
use legator_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What is sealed of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub made_at: Timestamp,
}

/// Keeps a new tenant, inside an act of the default tenant.
pub async fn put(tx: &Tx, id: TenantId, tenant: &Tenant) -> Result<(), StoreError> {
    tx.seal_put_in(TenantId::DEFAULT, Kind::Tenant, &id.to_string(), tenant).await?;
    Ok(())
}

/// All tenants that were made, oldest first; the default one is not among them.
pub async fn list(store: &Store) -> Result<Vec<(TenantId, Tenant)>, StoreError> {
    whole_rows(store, TenantId::DEFAULT, Kind::Tenant).await
}

/// All tenants, the default one first.
pub async fn ids(store: &Store) -> Result<Vec<TenantId>, StoreError> {
    let made = list(store).await?.into_iter().map(|(id, _)| id);
    Ok(std::iter::once(TenantId::DEFAULT).chain(made).collect())
}

/// The row of this kind and id, in whichever tenant it is. Answered from memory: no statement.
pub(crate) async fn find_row<T: DeserializeOwned>(
    store: &Store,
    kind: Kind,
    id: &str,
) -> Result<Option<(TenantId, T)>, StoreError> {
    for tenant in ids(store).await? {
        if let Some(row) = store.seal_get::<T>(tenant, kind, id).await? {
            return Ok(row.grants().map(|value| (tenant, value)));
        }
    }
    Ok(None)
}

/// All rows of a kind whose seals hold and whose ids parse.
pub(crate) async fn whole_rows<I: std::str::FromStr, T: DeserializeOwned>(
    store: &Store,
    tenant: TenantId,
    kind: Kind,
) -> Result<Vec<(I, T)>, StoreError> {
    let rows = store.seal_list::<T>(tenant, kind).await?;
    Ok(rows.into_iter().filter_map(|(id, row)| Some((id.parse().ok()?, row.grants()?))).collect())
}

/// The same inside an act.
pub(crate) async fn whole_rows_of<I: std::str::FromStr, T: DeserializeOwned>(
    tx: &Tx,
    kind: Kind,
) -> Result<Vec<(I, T)>, StoreError> {
    let rows: Vec<(String, Sealed<T>)> = tx.seal_list(kind).await?;
    Ok(rows.into_iter().filter_map(|(id, row)| Some((id.parse().ok()?, row.grants()?))).collect())
}
