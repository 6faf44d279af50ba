//! Rows under an older key, sealed anew.
//!
//! Owns the sweep after a change of the seal key. Never changes a content. Invariant: only rows whose seal holds are sealed anew.

use crate::sealed::Kind;
use crate::{Audited, Op, Store, StoreError};
use legator_core::event::{About, NewEvent};
use legator_core::ids::TenantId;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// Rows that one act seals anew, at most.
const BATCH: usize = 500;

/// Seals rows of the act's tenant anew that are under an older key; returns how many. Done when it returns 0; the older key is not
/// needed after that.
pub async fn reseal(store: &Store, op: &Op) -> Result<usize, StoreError> {
    let old = older(store, op);
    if old.is_empty() {
        return Ok(0);
    }
    store
        .write(op, async |tx| {
            let mut done = 0;
            for (kind, id) in &old {
                let row = tx.seal_get::<Box<RawValue>>(*kind, id).await?;
                if let Some(content) = row.and_then(crate::Sealed::grants) {
                    tx.seal_put(*kind, id, &content).await?;
                    done += 1;
                }
            }
            let data = serde_json::json!({ "rows": done, "key": tx.sealer().key_id() });
            Ok(Audited::new(done, NewEvent::new("rights.resealed", About::nothing(), data)))
        })
        .await
}

/// Tenants with rows under an older key.
pub fn under_older_keys(store: &Store) -> Vec<TenantId> {
    let key_id = store.sealer().key_id();
    let pages = store.inner.book.read();
    let old = pages.rows.iter().filter(|(_, entry)| !entry.broken && *entry.key_id != *key_id);
    old.map(|(key, _)| key.tenant).collect::<BTreeSet<TenantId>>().into_iter().collect()
}

fn older(store: &Store, op: &Op) -> Vec<(Kind, String)> {
    let key_id = store.sealer().key_id();
    let pages = store.inner.book.read();
    let rows = super::of_tenant(&pages.rows, op.tenant);
    let old = rows.filter(|(_, entry)| !entry.broken && *entry.key_id != *key_id);
    old.take(BATCH).map(|(key, _)| (key.kind, key.id.clone())).collect()
}
