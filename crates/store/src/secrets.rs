//! Secret values of plans, sealed to the data key.
//!
//! Owns the table `plan_secrets` and the names of the data keys. Never opens a box: it holds bytes only. Invariant: a plan's values are
//! erased with its end, by a trigger, so that no path to an end can forget them.

use crate::{Store, StoreError, Tx, sql};
use legator_core::ids::PlanId;
use zeroize::Zeroizing;

/// A box as it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// The data key that opens it.
    pub key_id: String,
    /// Its encapsulated key.
    pub enc: Vec<u8>,
    /// Its bytes.
    pub sealed: Vec<u8>,
}

/// Keeps the values of a plan.
pub async fn insert(tx: &Tx, plan: PlanId, row: &SecretRow) -> Result<(), StoreError> {
    let text = "INSERT INTO plan_secrets (plan, key_id, enc, sealed) VALUES (?, ?, ?, ?)";
    let values = vec![
        plan.to_string().into(),
        row.key_id.clone().into(),
        row.enc.clone().into(),
        row.sealed.clone().into(),
    ];
    tx.execute(text, values).await?;
    Ok(())
}

/// The values of a plan that has not ended.
pub async fn get(store: &Store, plan: PlanId) -> Result<Option<SecretRow>, StoreError> {
    let text = "SELECT key_id, enc, sealed FROM plan_secrets WHERE plan = ?";
    let row = sql::one(store.reader(), text, vec![plan.to_string().into()]).await?;
    let read = |row| {
        Ok(SecretRow {
            key_id: sql::column(&row, 0)?,
            enc: sql::column(&row, 1)?,
            sealed: sql::column(&row, 2)?,
        })
    };
    row.map(read).transpose()
}

/// A data key: what is derived from a key that seals rows, under its name.
pub struct DataSeed {
    /// The name.
    pub id: String,
    /// The 32 bytes.
    pub bytes: Zeroizing<[u8; 32]>,
}

/// The data keys: the first one seals, all open.
pub fn data_keys(store: &Store) -> Vec<DataSeed> {
    store.sealer().derived("data key")
}
