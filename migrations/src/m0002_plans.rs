//! Plans, tasks and approvals.
//!
//! Owns the tables of these nouns. Never touches another step's tables.

use sea_orm_migration::prelude::*;

/// What each table means stands beside it.
const TABLES: &str = "
-- What was asked for. body is the plan as stored, sent and hashed; while the state is preparing it is a draft without hosts and
-- digest is null. about (JSON) is what people are told besides. decision (JSON) is the policy's answer when it was asked.
-- version rises with each change; every change names the one that it is made on.
CREATE TABLE plans (
    id TEXT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    verb TEXT NOT NULL,
    requester TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    decide_by INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    digest TEXT,
    body BLOB NOT NULL,
    about TEXT NOT NULL,
    decision TEXT NOT NULL,
    -- The plan that reads the present state for this one, and for such a plan the one that it reads for.
    reading TEXT,
    prepares TEXT,
    -- An approval was taken back.
    revoked INTEGER NOT NULL DEFAULT 0,
    -- The wave that is at work, from 1; zero before the first.
    wave INTEGER NOT NULL DEFAULT 0,
    ended_at INTEGER
);
CREATE INDEX plans_of_tenant ON plans (tenant, id);
CREATE INDEX plans_open ON plans (id) WHERE state IN ('preparing', 'pending', 'approved', 'running');

-- One host's share of a plan. grant_digest is of the payload of the grant that it was handed, kept in grants.
CREATE TABLE tasks (
    id TEXT PRIMARY KEY NOT NULL,
    plan TEXT NOT NULL,
    tenant TEXT NOT NULL,
    host TEXT NOT NULL,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    key_hex TEXT NOT NULL,
    shown TEXT,
    state TEXT NOT NULL,
    wave INTEGER,
    -- It left its wave since its host was away; it runs alone when the host returns.
    apart INTEGER NOT NULL DEFAULT 0,
    sent_at INTEGER,
    -- From when on it is lost without a receipt.
    lose_at INTEGER,
    grant_digest TEXT,
    ended_at INTEGER,
    reason TEXT,
    detail TEXT,
    receipt TEXT,
    receipt_digest TEXT,
    -- It was unknown before a receipt came after all.
    was_unknown INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX tasks_of_plan ON tasks (plan, place);
CREATE INDEX tasks_open ON tasks (plan) WHERE state IN ('waiting', 'sent', 'running');
CREATE INDEX tasks_due ON tasks (lose_at) WHERE state IN ('sent', 'running');
CREATE INDEX tasks_of_host ON tasks (host, id);

-- Grants as they were signed, so that the same task is never handed two of different content.
CREATE TABLE grants (
    plan TEXT NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    envelope TEXT NOT NULL,
    PRIMARY KEY (plan, first)
) WITHOUT ROWID;
";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if !TABLES.is_empty() {
            manager.get_connection().execute_unprepared(TABLES).await?;
        }
        Ok(())
    }
}
