//! Hosts, their sessions, inventory, figures and kept output.
//!
//! Owns the schema of what is observed. What gives a right (key, level, labels, revocations) stands in sealed rows, not here.

use sea_orm_migration::prelude::*;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0003_hosts"
    }
}

const UP: [&str; 11] = [
    "CREATE TABLE hosts (
        id TEXT PRIMARY KEY, tenant TEXT NOT NULL, key_hex TEXT NOT NULL UNIQUE, token TEXT NOT NULL,
        hostname TEXT NOT NULL, enrolled_at BIGINT NOT NULL, removed_at BIGINT)",
    "CREATE INDEX hosts_by_tenant ON hosts (tenant, id)",
    "CREATE TABLE sessions (
        host TEXT PRIMARY KEY, tenant TEXT NOT NULL, edge TEXT NOT NULL, epoch BIGINT NOT NULL, instance TEXT NOT NULL,
        connected BIGINT NOT NULL, began_at BIGINT NOT NULL, seen_at BIGINT NOT NULL, ended_at BIGINT,
        clock_ahead_ms BIGINT NOT NULL, hello TEXT NOT NULL, fenced TEXT NOT NULL, cloned_at BIGINT, metrics TEXT)",
    "CREATE INDEX sessions_by_tenant ON sessions (tenant, host)",
    "CREATE INDEX sessions_by_edge ON sessions (edge, connected)",
    "CREATE TABLE fleets (tenant TEXT PRIMARY KEY, version BIGINT NOT NULL)",
    "CREATE TABLE figures (
        host TEXT NOT NULL, minute BIGINT NOT NULL, metrics TEXT NOT NULL, PRIMARY KEY (host, minute))",
    "CREATE INDEX figures_by_minute ON figures (minute)",
    "CREATE TABLE inventory_heads (
        host TEXT PRIMARY KEY, tenant TEXT NOT NULL, sequence BIGINT NOT NULL, taken_at BIGINT NOT NULL)",
    "CREATE TABLE inventory (
        host TEXT NOT NULL, part TEXT NOT NULL, value TEXT NOT NULL, changed_at BIGINT NOT NULL, PRIMARY KEY (host, part))",
    "CREATE TABLE outputs (
        task TEXT PRIMARY KEY, plan TEXT NOT NULL, host TEXT NOT NULL, stdout BLOB NOT NULL, stderr BLOB NOT NULL,
        kept_at BIGINT NOT NULL)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in UP {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
