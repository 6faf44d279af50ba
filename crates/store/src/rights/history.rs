//! What the events tell of sealed rows: which version of each row is the last one.
//!
//! Owns the comparison at the start, when memory knows nothing and the seal of the set does not hold. Events are signed in the chain, so
//! who changes them too is found by the audit. Invariant: it takes rights away only; what the events do not tell stays as it is.

use super::check::{Broken, How};
use super::{Entry, Key};
use crate::sealed::Kind;
use crate::{StoreError, sql};
use legator_core::ids::TenantId;
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Told {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    rights: Rights,
}

#[derive(Deserialize)]
struct Rights {
    version: u64,
    #[serde(default)]
    accepted: bool,
    #[serde(default)]
    rows: Vec<(String, String, String)>,
}

/// The last version of each row, `None` when it was deleted; and whether that is all that there should be.
#[derive(Default)]
struct History {
    rows: BTreeMap<Key, Option<u64>>,
    complete: bool,
}

impl History {
    fn add(&mut self, tenant: TenantId, rights: Rights) {
        if rights.accepted {
            self.rows.clear();
            self.complete = false;
        }
        for (kind, id, what) in rights.rows {
            if let Some(kind) = Kind::from_word(&kind) {
                self.rows.insert(Key { tenant, kind, id }, (what == "put").then_some(rights.version));
            }
        }
    }
}

async fn read<C: ConnectionTrait>(on: &C, tenant: TenantId) -> Result<History, StoreError> {
    let text = "SELECT rights, body FROM events WHERE tenant = ? AND rights IS NOT NULL AND rights > ? ORDER BY rights LIMIT 1000";
    let mut history = History { rows: BTreeMap::new(), complete: true };
    let mut after = -1i64;
    loop {
        let rows = sql::all(on, text, vec![tenant.to_string().into(), after.into()]).await?;
        let Some(last) = rows.last() else { return Ok(history) };
        after = sql::column(last, 0)?;
        for row in &rows {
            match serde_json::from_str::<Told>(&sql::column::<String>(row, 1)?) {
                Ok(told) => history.add(tenant, told.data.rights),
                Err(_) => history.complete = false,
            }
        }
    }
}

/// Marks rows that are not the last version as broken, puts back bans that are gone, and names them all.
pub(super) async fn compare<C: ConnectionTrait>(
    on: &C,
    tenant: TenantId,
    rows: &mut BTreeMap<Key, Entry>,
) -> Result<Vec<Broken>, StoreError> {
    let history = read(on, tenant).await?;
    let mut found = Vec::new();
    let named = |key: &Key, how| Broken { kind: key.kind.word().to_owned(), id: key.id.clone(), how };
    for (key, entry) in rows.iter_mut().filter(|(_, entry)| !entry.broken) {
        let how = match history.rows.get(key) {
            Some(Some(version)) if *version == entry.version => continue,
            Some(Some(_)) => How::RolledBack,
            Some(None) => How::Inserted,
            None if history.complete => How::Inserted,
            None => continue,
        };
        entry.broken = true;
        found.push(named(key, how));
    }
    for (key, version) in &history.rows {
        if version.is_none() || rows.contains_key(key) {
            continue;
        }
        found.push(named(key, How::Deleted));
        if key.kind.forbids() {
            let gone = Entry { version: 0, mac: [0; 32], key_id: "".into(), content: None, broken: true };
            rows.insert(key.clone(), gone);
        }
    }
    Ok(found)
}
