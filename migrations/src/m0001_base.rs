//! What every other part stands on: events and their chain, sealed rows, leases, idempotency keys.
//!
//! Owns those tables. Ids are their text, times are milliseconds since 1970, digests and MACs are raw bytes.

use sea_orm_migration::prelude::*;

const TABLES: &str = "
-- Facts about this database itself: the authority's fingerprint, the notary's place, alarms that were raised.
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- What happened. Written once, in the transaction of the act, and never changed: body is the exact text that is hashed.
-- seq is the order of commits here; the public number is given by the notary (chain). rights is the version of the
-- tenant's rights that the act made, where it made one; the body says it too.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    host TEXT,
    plan TEXT,
    task TEXT,
    rights INTEGER,
    body TEXT NOT NULL
);
CREATE INDEX events_host ON events (tenant, host, seq) WHERE host IS NOT NULL;
CREATE INDEX events_plan ON events (tenant, plan, seq) WHERE plan IS NOT NULL;
CREATE INDEX events_kind ON events (tenant, kind, seq);
CREATE INDEX events_rights ON events (tenant, rights) WHERE rights IS NOT NULL;

-- The number of each event in its tenant's log, from 1 without gaps, and its leaf hash (RFC 6962).
CREATE TABLE chain (
    tenant TEXT NOT NULL,
    number INTEGER NOT NULL,
    seq INTEGER NOT NULL UNIQUE,
    leaf BLOB NOT NULL,
    PRIMARY KEY (tenant, number)
) WITHOUT ROWID;

-- Roots of complete subtrees of 256 leaves (level 8), 65,536 (level 16) and so on: what makes proofs cheap. They follow from chain.
CREATE TABLE chain_nodes (
    tenant TEXT NOT NULL,
    level INTEGER NOT NULL,
    place INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (tenant, level, place)
) WITHOUT ROWID;

-- Where each tenant's log stands: how many events are numbered, the right edge of the tree (JSON), and when it last grew.
CREATE TABLE chain_heads (
    tenant TEXT PRIMARY KEY NOT NULL,
    size INTEGER NOT NULL,
    frontier TEXT NOT NULL,
    grown_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Signed checkpoints (C2SP tlog-checkpoint notes), one a size at most.
CREATE TABLE checkpoints (
    tenant TEXT NOT NULL,
    size INTEGER NOT NULL,
    at INTEGER NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (tenant, size)
) WITHOUT ROWID;

-- Public keys that signed checkpoints, each with the authority's envelope over it and the authority's public key.
CREATE TABLE checkpoint_keys (
    fingerprint TEXT PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL,
    authority TEXT NOT NULL,
    envelope TEXT NOT NULL
) WITHOUT ROWID;

-- Rows that give or take rights. mac is an HMAC-SHA256 over kind, tenant, id, version and content under the key named by
-- key_id, which is not in the database. A row whose mac does not hold gives nobody anything.
CREATE TABLE sealed (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    content TEXT NOT NULL,
    key_id TEXT NOT NULL,
    mac BLOB NOT NULL,
    PRIMARY KEY (tenant, kind, id)
) WITHOUT ROWID;

-- The seal over a tenant's whole set of sealed rows: makes a deleted or rolled-back row visible.
CREATE TABLE rights (
    tenant TEXT PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    mac BLOB NOT NULL
) WITHOUT ROWID;

-- Who does a job that only one may do. The fence rises with each change of holder; a writer with an older fence is refused.
CREATE TABLE leases (
    name TEXT PRIMARY KEY NOT NULL,
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;

-- Answers to requests that carried an Idempotency-Key. No status yet: the request is still running.
CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    person TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    request BLOB NOT NULL,
    at INTEGER NOT NULL,
    status INTEGER,
    answer TEXT,
    PRIMARY KEY (tenant, person, route, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);
";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(TABLES).await?;
        Ok(())
    }
}
