//! What memory knows of sealed rows: the verified set of each tenant, and what an act is about to change in it.
//!
//! Owns the book of entries and heads. Never reads the database itself (`rights::check` does). Invariant: the committed layer
//! is what was verified at open, or written through this process, or adopted after a whole verification.

mod check;
mod history;
mod reseal;

pub use check::{Broken, How, Status, accept, status, watch};
pub(crate) use check::{adopt_all, raise, suspect, write_head};
pub use reseal::{reseal, under_older_keys};

use crate::seal::{Head, Sealer};
use crate::sealed::Kind;
use legator_core::ids::TenantId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A sealed row as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealed<T> {
    /// Its seal holds.
    Whole {
        /// The content.
        value: T,
        /// The version of the tenant's rights that wrote it.
        version: u64,
    },
    /// Its seal does not hold: it gives nothing, and if it forbids, it forbids.
    Broken,
}

impl<T> Sealed<T> {
    /// The content for a decision that gives something: nothing when broken.
    pub fn grants(self) -> Option<T> {
        match self {
            Self::Whole { value, .. } => Some(value),
            Self::Broken => None,
        }
    }

    /// Whether it is broken.
    pub const fn is_broken(&self) -> bool {
        matches!(self, Self::Broken)
    }
}

/// Which row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub tenant: TenantId,
    pub kind: Kind,
    pub id: String,
}

impl Key {
    pub(crate) fn new(tenant: TenantId, kind: Kind, id: &str) -> Self {
        Self { tenant, kind, id: id.to_owned() }
    }
}

/// What memory keeps of a row.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub version: u64,
    pub mac: [u8; 32],
    pub key_id: Arc<str>,
    pub content: Option<Arc<str>>,
    pub broken: bool,
}

/// What a reader gets of a row before it is parsed.
pub(crate) enum Found {
    Whole { content: Arc<str>, version: u64 },
    Broken,
}

impl Entry {
    pub(crate) fn found(self) -> Found {
        match self.content {
            Some(content) if !self.broken => Found::Whole { content, version: self.version },
            _ => Found::Broken,
        }
    }
}

/// Changes that are not committed yet: of one act, or of the acts of one group.
#[derive(Default, Clone)]
pub(crate) struct Changes {
    pub rows: BTreeMap<Key, Option<Entry>>,
    pub heads: HashMap<TenantId, Head>,
    /// Whether a person took the set as it was.
    pub accepted: bool,
}

impl Changes {
    pub(crate) fn merge(&mut self, later: Self) {
        self.rows.extend(later.rows);
        self.heads.extend(later.heads);
    }
}

/// The committed layer.
#[derive(Default)]
pub(crate) struct Pages {
    pub rows: BTreeMap<Key, Entry>,
    pub heads: HashMap<TenantId, Head>,
    /// Tenants whose rows were found changed outside: nothing is granted.
    pub tampered: HashSet<TenantId>,
    /// Tenants whose rows have to be read again, since another connection wrote to the database.
    pub suspect: HashSet<TenantId>,
    /// The database's own counter of other connections' writes, when it was last looked at.
    pub data_version: Option<i64>,
    /// Whether somebody else wrote, so that tenants that memory does not know may have rows.
    pub unknown_suspect: bool,
    /// Findings that no event tells of yet.
    pub alarms: HashMap<TenantId, Vec<Broken>>,
}

impl Pages {
    fn anything_suspect(&self) -> bool {
        self.unknown_suspect || !self.suspect.is_empty()
    }
}

/// The rows of one tenant.
fn of_tenant(rows: &BTreeMap<Key, Entry>, tenant: TenantId) -> impl Iterator<Item = (&Key, &Entry)> {
    let first = Key { tenant, kind: Kind::Tenant, id: String::new() };
    rows.range(first..).take_while(move |(key, _)| key.tenant == tenant)
}

fn forget(pages: &mut Pages, tenant: TenantId) {
    pages.rows.retain(|key, _| key.tenant != tenant);
}

/// What memory knows of all sealed rows.
pub(crate) struct Book {
    pages: RwLock<Pages>,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self { pages: RwLock::new(Pages::default()) }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Pages> {
        self.pages.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Pages> {
        self.pages.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn one(&self, key: &Key) -> Option<(Key, Entry)> {
        self.read().rows.get(key).map(|entry| (key.clone(), entry.clone()))
    }

    pub(crate) fn range(&self, tenant: TenantId, kind: Kind, ids: (&str, &str)) -> Vec<(Key, Entry)> {
        let (from, to) = (Key::new(tenant, kind, ids.0), Key::new(tenant, kind, ids.1));
        self.read().rows.range(from..=to).map(|(key, entry)| (key.clone(), entry.clone())).collect()
    }

    /// Makes committed changes visible to readers.
    pub(crate) fn apply(&self, changes: Changes) {
        if changes.heads.is_empty() {
            return;
        }
        let mut pages = self.write();
        for (key, entry) in changes.rows {
            match entry {
                Some(entry) => pages.rows.insert(key, entry),
                None => pages.rows.remove(&key),
            };
        }
        pages.heads.extend(changes.heads);
    }
}

/// A head with one row exchanged.
pub(crate) fn exchanged(sealer: &Sealer, head: Head, old: Option<&[u8; 32]>, new: Option<&[u8; 32]>) -> Head {
    let mut head = head;
    if let Some(mac) = old {
        head.sum = head.sum.minus(sealer.element(mac));
        head.count = head.count.saturating_sub(1);
    }
    if let Some(mac) = new {
        head.sum = head.sum.plus(sealer.element(mac));
        head.count += 1;
    }
    head
}
