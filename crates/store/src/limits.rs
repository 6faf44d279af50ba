//! The version of the limits (levels and freezes) of a tenant, which only rises.
//!
//! Owns one sealed number a tenant. One number serves all hosts of a tenant, so that one grant can name it for a whole wave.

use crate::sealed::Kind;
use crate::{Sealed, Store, StoreError, Tx};
use legator_core::ids::TenantId;
use serde::{Deserialize, Serialize};

const ID: &str = "limits";

#[derive(Serialize, Deserialize)]
struct Version {
    version: u64,
}

/// The present version; zero before any limit was set. A broken row reads as the highest number there is, so that
/// nothing is granted under limits that nobody knows.
pub async fn version(store: &Store, tenant: TenantId) -> Result<u64, StoreError> {
    Ok(number(store.seal_get(tenant, Kind::Setting, ID).await?))
}

/// The same, as a transaction sees it.
pub async fn version_in(tx: &Tx) -> Result<u64, StoreError> {
    Ok(number(tx.seal_get(Kind::Setting, ID).await?))
}

/// Raises it by one. Called in the transaction that changes a level or a freeze, and in no other.
pub async fn bump(tx: &Tx) -> Result<u64, StoreError> {
    let version = number(tx.seal_get(Kind::Setting, ID).await?).saturating_add(1);
    tx.seal_put(Kind::Setting, ID, &Version { version }).await?;
    Ok(version)
}

fn number(row: Option<Sealed<Version>>) -> u64 {
    match row {
        None => 0,
        Some(Sealed::Whole { value, .. }) => value.version,
        Some(Sealed::Broken) => u64::MAX,
    }
}
