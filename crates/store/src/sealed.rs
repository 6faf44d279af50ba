//! Rows that give or take rights: how they are written and read.
//!
//! Owns the table `sealed`. Invariant: what is returned as whole was sealed by a key that is not in the database;
//! a row that fails its seal is `Broken`, which gives nobody anything and lifts no ban.

use crate::rights::{Entry, Found, Key, Sealed};
use crate::seal::Row;
use crate::{Store, StoreError, Tx, sql};
use legator_core::ids::TenantId;
use sea_orm::ConnectionTrait;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of one sealed row's content.
const CONTENT_BYTES_MAX: usize = 256 << 10;

/// What a sealed row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A tenant.
    Tenant,
    /// A person with roles.
    Person,
    /// A login of a person.
    Link,
    /// An API key.
    ApiKey,
    /// A person's own key for approvals.
    ApproverKey,
    /// A session of a browser.
    Session,
    /// A registration token.
    Token,
    /// A version of the policy.
    Policy,
    /// Which version of the policy is in force.
    ActivePolicy,
    /// One person's yes or no on a plan.
    Approval,
    /// A host: key, level, labels.
    Host,
    /// A setting that trust depends on.
    Setting,
    /// A window in which nothing is dispatched; forbids.
    Freeze,
    /// A revoked host, key or credential; forbids.
    Revocation,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::Tenant,
        Self::Person,
        Self::Link,
        Self::ApiKey,
        Self::ApproverKey,
        Self::Session,
        Self::Token,
        Self::Policy,
        Self::ActivePolicy,
        Self::Approval,
        Self::Host,
        Self::Setting,
        Self::Freeze,
        Self::Revocation,
    ];

    /// The word for it in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Person => "person",
            Self::Link => "link",
            Self::ApiKey => "api_key",
            Self::ApproverKey => "approver_key",
            Self::Session => "session",
            Self::Token => "token",
            Self::Policy => "policy",
            Self::ActivePolicy => "active_policy",
            Self::Approval => "approval",
            Self::Host => "host",
            Self::Setting => "setting",
            Self::Freeze => "freeze",
            Self::Revocation => "revocation",
        }
    }

    /// The kind that a word means.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether a row of this kind takes something away: broken, it counts as in force.
    pub const fn forbids(self) -> bool {
        matches!(self, Self::Freeze | Self::Revocation)
    }

    /// Whether the content is kept in memory. Approvals grow with the plans, so only their seals are.
    pub(crate) const fn in_memory(self) -> bool {
        !matches!(self, Self::Approval)
    }
}

fn parse<T: DeserializeOwned>(found: Found) -> Result<Sealed<T>, StoreError> {
    match found {
        Found::Broken => Ok(Sealed::Broken),
        Found::Whole { content, version } => {
            let value =
                serde_json::from_str(&content).map_err(|why| StoreError::corrupt("sealed row", why))?;
            Ok(Sealed::Whole { value, version })
        }
    }
}

/// The last text that starts with `prefix`, for a range over a primary key.
fn after(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

async fn read_rows<C: ConnectionTrait>(
    on: &C,
    tenant: TenantId,
    kind: Kind,
    range: (&str, &str),
) -> Result<Vec<(String, u64, Vec<u8>, String)>, StoreError> {
    let text = "SELECT id, version, mac, content FROM sealed WHERE tenant = ? AND kind = ? AND id >= ? AND id <= ? ORDER BY id LIMIT 10000";
    let values = vec![tenant.to_string().into(), kind.word().into(), range.0.into(), range.1.into()];
    let mut rows = Vec::new();
    for row in sql::all(on, text, values).await? {
        let version: i64 = sql::column(&row, 1)?;
        rows.push((
            sql::column(&row, 0)?,
            u64::try_from(version).unwrap_or(0),
            sql::column(&row, 2)?,
            sql::column(&row, 3)?,
        ));
    }
    Ok(rows)
}

/// What a row in the database is, given the seal that memory remembers for it.
fn compare(store: &Store, key: &Key, entry: &Entry, row: Option<&(String, u64, Vec<u8>, String)>) -> Found {
    let Some((id, version, mac, content)) = row else { return Found::Broken };
    let sealed = Row { kind: key.kind.word(), tenant: key.tenant, id, version: *version, content };
    let same = !entry.broken && entry.version == *version && entry.mac.as_slice() == mac.as_slice();
    if same && store.sealer().row_holds(&sealed, &entry.key_id, mac) {
        Found::Whole { content: content.as_str().into(), version: *version }
    } else {
        Found::Broken
    }
}

async fn fill<C: ConnectionTrait>(
    on: &C,
    store: &Store,
    entries: Vec<(Key, Entry)>,
) -> Result<Vec<(String, Found)>, StoreError> {
    let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else { return Ok(vec![]) };
    if first.kind.in_memory() {
        return Ok(entries.into_iter().map(|(key, entry)| (key.id, entry.found())).collect());
    }
    let rows = read_rows(on, first.tenant, first.kind, (&first.id, &last.id)).await?;
    let found = entries.into_iter().map(|(key, entry)| {
        let row =
            rows.binary_search_by(|row| row.0.as_str().cmp(&key.id)).ok().and_then(|place| rows.get(place));
        let found = compare(store, &key, &entry, row);
        (key.id, found)
    });
    Ok(found.collect())
}

fn listed<T: DeserializeOwned>(found: Vec<(String, Found)>) -> Result<Vec<(String, Sealed<T>)>, StoreError> {
    found.into_iter().map(|(id, found)| Ok((id, parse(found)?))).collect()
}

impl Store {
    /// A sealed row; `None` when there is none, `Broken` when its seal does not hold.
    pub async fn seal_get<T: DeserializeOwned>(
        &self,
        tenant: TenantId,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Sealed<T>>, StoreError> {
        let entries = self.inner.book.one(&Key::new(tenant, kind, id)).into_iter().collect();
        let found = fill(self.reader(), self, entries).await?;
        found.into_iter().next().map(|(_, found)| parse(found)).transpose()
    }

    /// All sealed rows of a kind, by id.
    pub async fn seal_list<T: DeserializeOwned>(
        &self,
        tenant: TenantId,
        kind: Kind,
    ) -> Result<Vec<(String, Sealed<T>)>, StoreError> {
        self.seal_list_prefix(tenant, kind, "").await
    }

    /// The sealed rows of a kind whose ids start with `prefix`, by id; at most 10,000.
    pub async fn seal_list_prefix<T: DeserializeOwned>(
        &self,
        tenant: TenantId,
        kind: Kind,
        prefix: &str,
    ) -> Result<Vec<(String, Sealed<T>)>, StoreError> {
        let entries = self.inner.book.range(tenant, kind, (prefix, &after(prefix)));
        listed(fill(self.reader(), self, entries).await?)
    }
}

impl Tx {
    /// Writes a sealed row of the act's tenant, new or in place of the one there. Returns its version.
    pub async fn seal_put<T: Serialize>(&self, kind: Kind, id: &str, content: &T) -> Result<u64, StoreError> {
        self.seal_put_in(self.op().tenant, kind, id, content).await
    }

    /// The same for another tenant than the act's: for what makes tenants.
    pub async fn seal_put_in<T: Serialize>(
        &self,
        tenant: TenantId,
        kind: Kind,
        id: &str,
        content: &T,
    ) -> Result<u64, StoreError> {
        let key = Key::new(tenant, kind, id);
        let content = serde_json::to_string(content).map_err(|why| StoreError::corrupt("sealed row", why))?;
        if content.len() > CONTENT_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "a sealed row", max: CONTENT_BYTES_MAX });
        }
        let head = self.rights_for_change(tenant, kind.forbids()).await?;
        let row = Row { kind: kind.word(), tenant, id, version: head.version, content: &content };
        let mac = self.sealer().seal_row(&row);
        let key_id = self.sealer().key_id();
        let text = "INSERT INTO sealed (tenant, kind, id, version, content, key_id, mac) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, kind, id) DO UPDATE SET version = excluded.version, content = excluded.content, key_id = excluded.key_id, mac = excluded.mac";
        let values = vec![
            tenant.to_string().into(),
            kind.word().into(),
            id.into(),
            i64::try_from(head.version).unwrap_or(i64::MAX).into(),
            content.clone().into(),
            key_id.clone().into(),
            mac.to_vec().into(),
        ];
        sql::execute(self.conn(), text, values).await?;
        let kept = kind.in_memory().then(|| content.as_str().into());
        let entry = Entry { version: head.version, mac, key_id: key_id.into(), content: kept, broken: false };
        self.rights_changed(key, Some(entry), head);
        Ok(head.version)
    }

    /// Removes a sealed row of the act's tenant; says whether there was one.
    pub async fn seal_delete(&self, kind: Kind, id: &str) -> Result<bool, StoreError> {
        let tenant = self.op().tenant;
        let key = Key::new(tenant, kind, id);
        let head = self.rights_for_change(tenant, !kind.forbids()).await?;
        if self.entries(&key).is_none() {
            return Ok(false);
        }
        let text = "DELETE FROM sealed WHERE tenant = ? AND kind = ? AND id = ?";
        sql::execute(self.conn(), text, vec![tenant.to_string().into(), kind.word().into(), id.into()])
            .await?;
        self.rights_changed(key, None, head);
        Ok(true)
    }

    /// A sealed row of the act's tenant, with what this act wrote.
    pub async fn seal_get<T: DeserializeOwned>(
        &self,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Sealed<T>>, StoreError> {
        let key = Key::new(self.op().tenant, kind, id);
        let entries = self.entries(&key).map(|entry| (key, entry)).into_iter().collect();
        let found = fill(self.conn(), self.store(), entries).await?;
        found.into_iter().next().map(|(_, found)| parse(found)).transpose()
    }

    /// All sealed rows of a kind of the act's tenant, by id.
    pub async fn seal_list<T: DeserializeOwned>(
        &self,
        kind: Kind,
    ) -> Result<Vec<(String, Sealed<T>)>, StoreError> {
        self.seal_list_prefix(kind, "").await
    }

    /// The sealed rows of a kind of the act's tenant whose ids start with `prefix`, by id; at most 10,000.
    pub async fn seal_list_prefix<T: DeserializeOwned>(
        &self,
        kind: Kind,
        prefix: &str,
    ) -> Result<Vec<(String, Sealed<T>)>, StoreError> {
        let entries = self.entry_range(self.op().tenant, kind, (prefix, &after(prefix)));
        listed(fill(self.conn(), self.store(), entries).await?)
    }
}
