//! One transaction, as the work inside it sees it.
//!
//! Owns what an act is about to change. Never commits: that is the writer's. Invariant: what an act sealed becomes visible to
//! readers only after its commit.

use crate::events::{self, Op, RightsNote, Stamp};
use crate::rights::{self, Changes, Entry, Key, exchanged};
use crate::seal::{Head, Sealer};
use crate::sealed::Kind;
use crate::store::Keeping;
use crate::{Store, StoreError, sql};
use legator_core::event::NewEvent;
use legator_core::ids::{Ids, TenantId};
use legator_core::time::Timestamp;
use sea_orm::{DatabaseTransaction, QueryResult, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why a transaction was opened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// An act, which carries events.
    Act,
    /// Bookkeeping.
    Keep(Keeping),
}

/// A transaction.
pub struct Tx {
    conn: DatabaseTransaction,
    store: Store,
    op: Op,
    now: Timestamp,
    purpose: Purpose,
    changes: Mutex<Changes>,
    looked: AtomicBool,
}

impl Tx {
    pub(crate) fn new(store: &Store, op: Op, conn: DatabaseTransaction, purpose: Purpose) -> Self {
        let now = store.clock().now();
        Self {
            conn,
            store: store.clone(),
            op,
            now,
            purpose,
            changes: Mutex::default(),
            looked: AtomicBool::new(false),
        }
    }

    /// The connection inside the transaction.
    pub fn conn(&self) -> &DatabaseTransaction {
        &self.conn
    }

    /// The moment of the act: the same for all that it writes.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The source of ids.
    pub fn ids(&self) -> &dyn Ids {
        self.store.ids()
    }

    /// What seals rows.
    pub fn sealer(&self) -> &Sealer {
        self.store.sealer()
    }

    /// For whom, by whom and in which request.
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// Runs a statement and says how many rows it touched.
    pub async fn execute(&self, text: &str, values: Vec<Value>) -> Result<u64, StoreError> {
        sql::execute(&self.conn, text, values).await
    }

    /// The first row of a query.
    pub async fn one(&self, text: &str, values: Vec<Value>) -> Result<Option<QueryResult>, StoreError> {
        sql::one(&self.conn, text, values).await
    }

    /// All rows of a query.
    pub async fn all(&self, text: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, StoreError> {
        sql::all(&self.conn, text, values).await
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the database was not looked at for others' writes in this transaction yet; it cannot change within one.
    pub(crate) fn first_look(&self) -> bool {
        !self.looked.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn replace_changes(&self, changes: Changes) {
        *self.changes() = changes;
    }

    pub(crate) fn into_parts(self) -> (DatabaseTransaction, Changes) {
        (self.conn, self.changes.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes the heads of changed rights and the events.
    pub(crate) async fn record(&self, events: Vec<(Option<Op>, NewEvent)>) -> Result<(), StoreError> {
        let heads: Vec<(TenantId, Head)> =
            self.changes().heads.iter().map(|(tenant, head)| (*tenant, *head)).collect();
        for (tenant, head) in &heads {
            rights::write_head(&self.conn, self.sealer(), *tenant, head).await?;
        }
        let rights = self.notes(&heads);
        let stamp = Stamp { op: &self.op, now: self.now, ids: self.ids(), rights: &rights };
        events::insert(&self.conn, &stamp, events).await
    }

    fn notes(&self, heads: &[(TenantId, Head)]) -> Vec<RightsNote> {
        let changes = self.changes();
        let note = |(tenant, head): &(TenantId, Head)| {
            let rows = changes.rows.iter().filter(|(key, _)| key.tenant == *tenant);
            let word = |entry: &Option<Entry>| if entry.is_some() { "put" } else { "deleted" };
            RightsNote {
                tenant: *tenant,
                version: head.version,
                rows: rows.map(|(key, entry)| (key.kind.word(), key.id.clone(), word(entry))).collect(),
                accepted: changes.accepted,
            }
        };
        heads.iter().map(note).collect()
    }

    /// What this act sees of a sealed row: its own changes, then those of its group, then what is committed.
    pub(crate) fn entries(&self, key: &Key) -> Option<Entry> {
        if let Some(change) = self.changes().rows.get(key) {
            return change.clone();
        }
        if let Some(change) = self.store.inner.writer.ahead().rows.get(key) {
            return change.clone();
        }
        self.store.inner.book.one(key).map(|(_, entry)| entry)
    }

    pub(crate) fn entry_range(&self, tenant: TenantId, kind: Kind, ids: (&str, &str)) -> Vec<(Key, Entry)> {
        let mut rows: std::collections::BTreeMap<Key, Entry> =
            self.store.inner.book.range(tenant, kind, ids).into_iter().collect();
        let range = Key::new(tenant, kind, ids.0)..=Key::new(tenant, kind, ids.1);
        let mut lay = |changes: &Changes| {
            for (key, entry) in changes.rows.range(range.clone()) {
                match entry {
                    Some(entry) => rows.insert(key.clone(), entry.clone()),
                    None => rows.remove(key),
                };
            }
        };
        lay(&self.store.inner.writer.ahead());
        lay(&self.changes());
        rows.into_iter().collect()
    }

    /// Whether the sealed rows of a tenant are as Legator wrote them. Called before anything is granted.
    ///
    /// # Errors
    /// `RightsTampered` when they are not.
    pub async fn rights_whole(&self, tenant: TenantId) -> Result<(), StoreError> {
        rights::suspect(self, tenant).await?;
        if self.store.inner.book.read().tampered.contains(&tenant) {
            return Err(StoreError::RightsTampered { tenant });
        }
        Ok(())
    }

    /// The head for the next change of a tenant's rights: its version is the one that the change will have.
    pub(crate) async fn rights_for_change(
        &self,
        tenant: TenantId,
        tightens: bool,
    ) -> Result<Head, StoreError> {
        if !matches!(self.purpose, Purpose::Act) {
            return Err(StoreError::Unaudited);
        }
        match self.rights_whole(tenant).await {
            // What takes rights away is never refused.
            Err(StoreError::RightsTampered { .. }) if tightens => {}
            other => other?,
        }
        if let Some(head) = self.changes().heads.get(&tenant) {
            return Ok(*head);
        }
        let ahead = self.store.inner.writer.ahead().heads.get(&tenant).copied();
        let head =
            ahead.or_else(|| self.store.inner.book.read().heads.get(&tenant).copied()).unwrap_or_default();
        Ok(Head { version: head.version + 1, ..head })
    }

    /// Notes a change of a sealed row that was written.
    pub(crate) fn rights_changed(&self, key: Key, entry: Option<Entry>, head: Head) {
        let old = self.entries(&key);
        let head = exchanged(
            self.sealer(),
            head,
            old.as_ref().map(|entry| &entry.mac),
            entry.as_ref().map(|entry| &entry.mac),
        );
        let mut changes = self.changes();
        changes.heads.insert(key.tenant, head);
        changes.rows.insert(key, entry);
    }

    /// For bookkeeping: what for.
    pub fn keeping(&self) -> Option<Keeping> {
        match self.purpose {
            Purpose::Act => None,
            Purpose::Keep(what) => Some(what),
        }
    }
}
