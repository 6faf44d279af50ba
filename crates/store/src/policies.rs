//! Policies as sealed rows: versions that are never changed, and which of them is in force.
//!
//! Owns what is sealed of them. Never reads Cedar. Invariant: a version's text is written once.

use crate::sealed::Kind;
use crate::{Sealed, Store, StoreError, Tx};
use legator_core::ids::{PersonId, TenantId};
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

const ACTIVE: &str = "active";

/// One version of a tenant's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// Its number, from 1.
    pub version: u64,
    /// Its text.
    pub text: String,
    /// What it is for.
    pub note: Option<String>,
    /// Who wrote it.
    pub by: PersonId,
    /// When.
    pub made_at: Timestamp,
}

/// Which version is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Active {
    version: u64,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InForce {
    /// The built-in policy: none was activated.
    BuiltIn,
    /// This version.
    Version(PolicyRow),
    /// Its rows do not hold: nothing may run.
    Broken,
}

fn id(version: u64) -> String {
    format!("{version:012}")
}

/// Keeps a new version; its number is one more than the highest.
pub async fn put(tx: &Tx, row: PolicyRow) -> Result<PolicyRow, StoreError> {
    let all = tx.seal_list::<PolicyRow>(Kind::Policy).await?;
    let highest = all.iter().filter_map(|(id, _)| id.parse::<u64>().ok()).max().unwrap_or(0);
    let row = PolicyRow { version: highest + 1, ..row };
    tx.seal_put(Kind::Policy, &id(row.version), &row).await?;
    Ok(row)
}

/// Puts a version in force; zero is the built-in one.
pub async fn activate(tx: &Tx, version: u64) -> Result<(), StoreError> {
    tx.seal_put(Kind::ActivePolicy, ACTIVE, &Active { version }).await?;
    Ok(())
}

/// A version, inside an act.
pub async fn of_act(tx: &Tx, version: u64) -> Result<Option<PolicyRow>, StoreError> {
    Ok(tx.seal_get(Kind::Policy, &id(version)).await?.and_then(Sealed::grants))
}

fn active(row: Option<Sealed<Active>>) -> Result<u64, InForce> {
    match row {
        None => Ok(0),
        Some(Sealed::Whole { value, .. }) => Ok(value.version),
        Some(Sealed::Broken) => Err(InForce::Broken),
    }
}

fn in_force(row: Option<Sealed<PolicyRow>>) -> InForce {
    row.and_then(Sealed::grants).map_or(InForce::Broken, InForce::Version)
}

/// What is in force.
pub async fn current(store: &Store, tenant: TenantId) -> Result<InForce, StoreError> {
    match active(store.seal_get(tenant, Kind::ActivePolicy, ACTIVE).await?) {
        Err(broken) => Ok(broken),
        Ok(0) => Ok(InForce::BuiltIn),
        Ok(version) => Ok(in_force(store.seal_get(tenant, Kind::Policy, &id(version)).await?)),
    }
}

/// The same, as a transaction sees it.
pub async fn current_in(tx: &Tx) -> Result<InForce, StoreError> {
    match active(tx.seal_get(Kind::ActivePolicy, ACTIVE).await?) {
        Err(broken) => Ok(broken),
        Ok(0) => Ok(InForce::BuiltIn),
        Ok(version) => Ok(in_force(tx.seal_get(Kind::Policy, &id(version)).await?)),
    }
}

/// All versions whose seals hold, oldest first.
pub async fn list(store: &Store, tenant: TenantId) -> Result<Vec<PolicyRow>, StoreError> {
    let rows = store.seal_list::<PolicyRow>(tenant, Kind::Policy).await?;
    Ok(rows.into_iter().filter_map(|(_, row)| row.grants()).collect())
}
