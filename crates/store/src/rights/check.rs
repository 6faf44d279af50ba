//! Whether the sealed rows in the database are those that Legator wrote; what to do when they are not.
//!
//! Owns the verification of sets, the alarm and the acceptance. Invariant: a set that does not verify is never adopted;
//! the alarm is an event of its own, once a finding.

use super::{Changes, Entry, Key, Pages, history};
use crate::seal::{Head, Row, Sealer};
use crate::sealed::Kind;
use crate::{Audited, Keeping, Op, Store, StoreError, Tx, meta, sql};
use legator_core::digest::Digest;
use legator_core::event::{About, NewEvent};
use legator_core::ids::{TenantId, TraceId};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

/// The most rows that an alarm or a status names.
const NAMED_MAX: usize = 100;

/// How a row differs from what Legator wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Its seal does not hold: edited, or made by hand.
    Edited,
    /// It is gone.
    Deleted,
    /// An older version of it was put back.
    RolledBack,
    /// A row that was removed was put back, or copied from elsewhere.
    Inserted,
    /// The seal of the set does not hold: some row was deleted, rolled back or put back.
    Set,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The kind of row, or `rights` for the set.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What is wrong.
    pub how: How,
}

/// How a tenant's rights stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether everything is as Legator wrote it; grants are made only then.
    pub whole: bool,
    /// How often the rights were changed.
    pub version: u64,
    /// How many sealed rows there are.
    pub rows: u64,
    /// What is wrong, at most 100 findings.
    pub broken: Vec<Broken>,
}

struct Loaded {
    rows: BTreeMap<Key, Entry>,
    /// Rows of kinds that do not exist.
    strange: Vec<Broken>,
    /// What the events say is wrong, when memory knows nothing.
    told: Vec<Broken>,
    head: Head,
    /// Whether the seal of the set holds.
    holds: bool,
}

async fn rows<C: ConnectionTrait>(on: &C, sealer: &Sealer, tenant: TenantId) -> Result<Loaded, StoreError> {
    let text = "SELECT kind, id, version, content, key_id, mac FROM sealed WHERE tenant = ?";
    let mut loaded =
        Loaded { rows: BTreeMap::new(), strange: vec![], told: vec![], head: Head::default(), holds: false };
    for row in sql::all(on, text, vec![tenant.to_string().into()]).await? {
        let (word, id): (String, String) = (sql::column(&row, 0)?, sql::column(&row, 1)?);
        let Some(kind) = Kind::from_word(&word) else {
            loaded.strange.push(Broken { kind: word, id, how: How::Inserted });
            continue;
        };
        // A column of another type than Legator writes was written by hand.
        let version = sql::column::<i64>(&row, 2).ok().and_then(|version| u64::try_from(version).ok());
        let content = sql::column::<String>(&row, 3).ok();
        let key_id = sql::column::<String>(&row, 4).unwrap_or_default();
        let mac = sql::column::<Vec<u8>>(&row, 5).ok().and_then(|mac| <[u8; 32]>::try_from(mac).ok());
        let whole = match (version, &content, mac) {
            (Some(version), Some(content), Some(mac)) => {
                let sealed = Row { kind: kind.word(), tenant, id: &id, version, content };
                sealer.row_holds(&sealed, &key_id, &mac)
            }
            _ => false,
        };
        let entry = Entry {
            version: version.unwrap_or(0),
            mac: mac.unwrap_or_default(),
            key_id: key_id.into(),
            content: content.filter(|_| kind.in_memory()).map(Arc::from),
            broken: !whole,
        };
        loaded.rows.insert(Key::new(tenant, kind, &id), entry);
    }
    Ok(loaded)
}

fn summed<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    sealer: &Sealer,
    key_id: &str,
    version: u64,
) -> Option<Head> {
    let mut head = Head { version, ..Head::default() };
    for entry in entries {
        head.sum = head.sum.plus(sealer.element_under(key_id, &entry.mac)?);
        head.count += 1;
    }
    Some(head)
}

async fn load<C: ConnectionTrait>(on: &C, sealer: &Sealer, tenant: TenantId) -> Result<Loaded, StoreError> {
    let mut loaded = rows(on, sealer, tenant).await?;
    let text = "SELECT version, key_id, mac, (SELECT MAX(rights) FROM events WHERE events.tenant = ?1) FROM (SELECT 1) LEFT JOIN rights ON rights.tenant = ?1";
    let Some(row) = sql::one(on, text, vec![tenant.to_string().into()]).await? else { return Ok(loaded) };
    let said: u64 =
        sql::column::<Option<i64>>(&row, 3)?.and_then(|said| u64::try_from(said).ok()).unwrap_or(0);
    let version =
        sql::column::<Option<i64>>(&row, 0).ok().flatten().and_then(|version| u64::try_from(version).ok());
    let Some(version) = version else {
        loaded.holds = loaded.rows.is_empty() && loaded.strange.is_empty() && said == 0;
        loaded.head.version = said;
        return Ok(loaded);
    };
    let key_id = sql::column::<String>(&row, 1).unwrap_or_default();
    let mac = sql::column::<Vec<u8>>(&row, 2).unwrap_or_default();
    let sealed = summed(loaded.rows.values(), sealer, &key_id, version);
    // The events, which the notary signs, must not know of a later change than the set.
    loaded.holds = said <= version
        && loaded.strange.is_empty()
        && sealed.is_some_and(|head| sealer.set_holds(tenant, &head, &key_id, &mac));
    // What comes next is newer than all that anybody told of.
    let next = if loaded.holds { version } else { version.max(said) };
    loaded.head = summed(loaded.rows.values(), sealer, &sealer.key_id(), next).unwrap_or_default();
    Ok(loaded)
}

/// Writes the seal of a tenant's set.
pub(crate) async fn write_head<C: ConnectionTrait>(
    on: &C,
    sealer: &Sealer,
    tenant: TenantId,
    head: &Head,
) -> Result<(), StoreError> {
    let text = "INSERT INTO rights (tenant, version, key_id, mac) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant) DO UPDATE SET version = excluded.version, key_id = excluded.key_id, mac = excluded.mac";
    let version = i64::try_from(head.version).unwrap_or(i64::MAX);
    let mac = sealer.seal_set(tenant, head).to_vec();
    let values = vec![tenant.to_string().into(), version.into(), sealer.key_id().into(), mac.into()];
    sql::execute(on, text, values).await?;
    Ok(())
}

fn named(key: &Key, how: How) -> Broken {
    Broken { kind: key.kind.word().to_owned(), id: key.id.clone(), how }
}

fn difference(key: &Key, known: &Entry, there: Option<&Entry>) -> Option<Broken> {
    let how = match there {
        None => How::Deleted,
        Some(there) if there.broken => How::Edited,
        Some(there) if there.version == known.version && there.mac == known.mac => return None,
        Some(_) => How::RolledBack,
    };
    Some(named(key, how))
}

fn edited(loaded: &Loaded) -> Vec<Broken> {
    let told =
        |key: &Key| loaded.told.iter().any(|broken| broken.kind == key.kind.word() && broken.id == key.id);
    let broken = loaded.rows.iter().filter(|(key, entry)| entry.broken && !told(key));
    broken.map(|(key, _)| named(key, How::Edited)).collect()
}

/// What is wrong with a loaded set, given what memory knows of it.
fn judge(tenant: TenantId, loaded: &Loaded, pages: &Pages, first: First) -> Vec<Broken> {
    let mut found: Vec<Broken> = loaded.strange.iter().chain(&loaded.told).cloned().collect();
    let adopt = matches!(first, First::Yes)
        || pages.heads.get(&tenant).is_none_or(|known| loaded.head.version > known.version);
    if adopt && loaded.holds && !pages.tampered.contains(&tenant) {
        found.extend(edited(loaded));
        return found;
    }
    let known = || super::of_tenant(&pages.rows, tenant);
    if matches!(first, First::Yes) || known().next().is_none() {
        found.extend(edited(loaded));
    } else {
        found.extend(known().filter_map(|(key, entry)| difference(key, entry, loaded.rows.get(key))));
        let new = loaded.rows.keys().filter(|key| !pages.rows.contains_key(key));
        found.extend(new.map(|key| named(key, How::Inserted)));
    }
    let behind = pages.heads.get(&tenant).is_some_and(|known| known.version != loaded.head.version);
    if found.is_empty() && (!loaded.holds || behind) {
        found.push(Broken { kind: "rights".to_owned(), id: tenant.to_string(), how: How::Set });
    }
    found
}

#[derive(Clone, Copy)]
enum First {
    Yes,
    No,
}

/// Takes a loaded set into memory, or notes that it must not be trusted.
fn take(store: &Store, tenant: TenantId, loaded: Loaded, first: First) -> Vec<Broken> {
    let mut pages = store.inner.book.write();
    let found = judge(tenant, &loaded, &pages, first);
    pages.suspect.remove(&tenant);
    let whole = found.is_empty();
    let replace = matches!(first, First::Yes)
        || (whole && pages.heads.get(&tenant).is_none_or(|known| *known != loaded.head));
    if replace {
        super::forget(&mut pages, tenant);
        pages.rows.extend(loaded.rows);
        let mut head = loaded.head;
        if !whole {
            // What is written from now on must not seal the changed rows: one element more than there are rows.
            head.sum = head.sum.plus(store.sealer().element(&[0xff; 32]));
        }
        pages.heads.insert(tenant, head);
    }
    if !whole {
        pages.tampered.insert(tenant);
        pages.alarms.insert(tenant, found.clone());
    }
    found
}

async fn tenants<C: ConnectionTrait>(on: &C) -> Result<Vec<TenantId>, StoreError> {
    let text = "SELECT tenant FROM rights UNION SELECT tenant FROM sealed UNION SELECT tenant FROM events WHERE rights IS NOT NULL";
    let rows = sql::all(on, text, vec![]).await?;
    // A tenant that is no id was made by hand, and nobody can be of it.
    Ok(rows.iter().filter_map(|row| sql::parsed(row, 0, "tenant").ok()).collect())
}

async fn data_version<C: ConnectionTrait>(on: &C) -> Result<Option<i64>, StoreError> {
    let row = sql::one(on, "PRAGMA data_version", vec![]).await?;
    row.map(|row| sql::column(&row, 0)).transpose()
}

/// Verifies every set at the start.
pub(crate) async fn adopt_all(store: &Store) -> Result<(), StoreError> {
    store
        .keep(Keeping::Meta, async |tx| {
            let version = data_version(tx.conn()).await?;
            store.inner.book.write().data_version = version;
            for tenant in tenants(tx.conn()).await? {
                let mut loaded = load(tx.conn(), tx.sealer(), tenant).await?;
                if !loaded.holds {
                    loaded.told = history::compare(tx.conn(), tenant, &mut loaded.rows).await?;
                }
                take(store, tenant, loaded, First::Yes);
            }
            Ok::<_, StoreError>(())
        })
        .await?;
    raise(store).await
}

/// Looks whether another connection wrote to the database since the last look; if so, every set is read again when it is next needed.
async fn look(tx: &Tx) -> Result<(), StoreError> {
    let now = data_version(tx.conn()).await?;
    let mut pages = tx.store().inner.book.write();
    if pages.data_version != now {
        pages.data_version = now;
        let all: Vec<TenantId> = pages.heads.keys().copied().collect();
        pages.suspect.extend(all);
        pages.unknown_suspect = true;
    }
    Ok(())
}

/// Reads a tenant's set again if somebody else may have written to it.
pub(crate) async fn suspect(tx: &Tx, tenant: TenantId) -> Result<(), StoreError> {
    if tx.first_look() {
        look(tx).await?;
    }
    let again = {
        let pages = tx.store().inner.book.read();
        pages.suspect.contains(&tenant) || (pages.unknown_suspect && !pages.heads.contains_key(&tenant))
    };
    if again {
        let loaded = load(tx.conn(), tx.sealer(), tenant).await?;
        take(tx.store(), tenant, loaded, First::No);
    }
    Ok(())
}

/// One look at all tenants: reads again what somebody else may have written, raises alarms. Called about once a second.
pub async fn watch(store: &Store) -> Result<(), StoreError> {
    let version = store
        .keep(Keeping::Meta, async |tx| {
            look(tx).await?;
            if !store.inner.book.read().anything_suspect() {
                return Ok::<_, StoreError>(());
            }
            for tenant in tenants(tx.conn()).await? {
                store.inner.book.write().suspect.insert(tenant);
            }
            let all: Vec<TenantId> = store.inner.book.read().suspect.iter().copied().collect();
            for tenant in all {
                suspect(tx, tenant).await?;
            }
            store.inner.book.write().unknown_suspect = false;
            Ok(())
        })
        .await;
    version?;
    raise(store).await
}

/// Tells of new findings in the audit log, an event each, once.
pub(crate) fn raise(store: &Store) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
    Box::pin(async move {
        let alarms = std::mem::take(&mut store.inner.book.write().alarms);
        for (tenant, found) in alarms {
            raise_one(store, tenant, &found).await?;
        }
        Ok(())
    })
}

fn alarm_name(tenant: TenantId) -> String {
    format!("alarm.rights.{tenant}")
}

async fn raise_one(store: &Store, tenant: TenantId, found: &[Broken]) -> Result<(), StoreError> {
    let Some(first) = found.first() else { return Ok(()) };
    let text = serde_json::to_string(found).map_err(|why| StoreError::corrupt("finding", why))?;
    let print = Digest::of(text.as_bytes()).to_string();
    if meta::get(store, &alarm_name(tenant)).await?.as_deref() == Some(print.as_str()) {
        return Ok(());
    }
    tracing::error!(%tenant, findings = found.len(), "rows that give rights were changed outside Legator: nothing is granted");
    let event = |broken: &Broken| {
        let data = serde_json::json!({ "row": broken.kind, "id": broken.id, "how": broken.how });
        NewEvent::new("rights.broken", About::nothing(), data)
    };
    let rest: Vec<NewEvent> = found.iter().skip(1).take(NAMED_MAX - 1).map(event).collect();
    let op = Op::system(tenant, "rights", TraceId::fresh(store.ids()));
    store
        .write(&op, async |tx| {
            meta::write(tx.conn(), &alarm_name(tenant), &print).await?;
            Ok::<_, StoreError>(Audited::many((), event(first), rest))
        })
        .await
}

/// How a tenant's rights stand; reads all its sealed rows.
pub async fn status(store: &Store, tenant: TenantId) -> Result<Status, StoreError> {
    let status = store
        .keep(Keeping::Meta, async |tx| {
            let loaded = load(tx.conn(), tx.sealer(), tenant).await?;
            let (version, rows) = (loaded.head.version, loaded.head.count);
            let mut broken = take(store, tenant, loaded, First::No);
            let whole = broken.is_empty() && !store.inner.book.read().tampered.contains(&tenant);
            broken.truncate(NAMED_MAX);
            Ok::<_, StoreError>(Status { whole, version, rows, broken })
        })
        .await?;
    raise(store).await?;
    Ok(status)
}

/// Takes a tenant's sealed rows as they are for right, after a person looked at them: rows whose seal does not hold are removed,
/// the others are sealed as a set anew. The event names what was found.
pub async fn accept(store: &Store, op: &Op) -> Result<Status, StoreError> {
    let tenant = op.tenant;
    let status = store
        .write(op, async |tx| {
            let loaded = load(tx.conn(), tx.sealer(), tenant).await?;
            let found = judge(tenant, &loaded, &store.inner.book.read(), First::No);
            let text = "DELETE FROM sealed WHERE tenant = ? AND kind = ? AND id = ?";
            let bad = loaded
                .rows
                .iter()
                .filter(|(_, entry)| entry.broken)
                .map(|(key, _)| (key.kind.word(), &key.id));
            let strange = loaded.strange.iter().map(|broken| (broken.kind.as_str(), &broken.id));
            for (kind, id) in bad.chain(strange) {
                tx.execute(text, vec![tenant.to_string().into(), kind.into(), id.as_str().into()]).await?;
            }
            let (changes, head) = accepted(store, tenant, loaded);
            tx.replace_changes(changes);
            meta::write(tx.conn(), &alarm_name(tenant), "").await?;
            let named: Vec<&Broken> = found.iter().take(NAMED_MAX).collect();
            let data = serde_json::json!({ "found": found.len(), "broken": named });
            let status = Status { whole: true, version: head.version, rows: head.count, broken: vec![] };
            Ok::<_, StoreError>(Audited::new(
                status,
                NewEvent::new("rights.accepted", About::nothing(), data),
            ))
        })
        .await?;
    let mut pages = store.inner.book.write();
    pages.tampered.remove(&tenant);
    pages.alarms.remove(&tenant);
    Ok(status)
}

/// What memory has to change so that it knows what is in the database.
fn accepted(store: &Store, tenant: TenantId, loaded: Loaded) -> (Changes, Head) {
    let pages = store.inner.book.read();
    let whole: BTreeMap<Key, Entry> = loaded.rows.into_iter().filter(|(_, entry)| !entry.broken).collect();
    let known = pages.heads.get(&tenant).copied().unwrap_or_default();
    let version = known.version.max(loaded.head.version) + 1;
    let sealer = store.sealer();
    let head = summed(whole.values(), sealer, &sealer.key_id(), version).unwrap_or_default();
    let mut changes = Changes { accepted: true, ..Changes::default() };
    changes.rows.extend(super::of_tenant(&pages.rows, tenant).map(|(key, _)| (key.clone(), None)));
    changes.rows.extend(whole.into_iter().map(|(key, entry)| (key, Some(entry))));
    changes.heads.insert(tenant, head);
    (changes, head)
}
