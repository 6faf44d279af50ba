//! Chats, turns, their steps and the calls of models.
//!
//! Owns the tables of these nouns. Never touches another step's tables. A turn's row carries a seal over who asked what, so that an edited
//! row speaks for nobody.

use sea_orm_migration::prelude::*;

/// One chat a host and one for the fleet. Steps are numbered through the chat. A turn has at most one proposal: the unique index says so.
const UP: [&str; 11] = [
    "CREATE TABLE chats (
        id TEXT PRIMARY KEY, tenant TEXT NOT NULL, scope TEXT NOT NULL, title TEXT NOT NULL, made_by TEXT NOT NULL,
        made_at BIGINT NOT NULL, changed_at BIGINT NOT NULL, steps BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX chats_by_scope ON chats (tenant, scope)",
    "CREATE INDEX chats_by_tenant ON chats (tenant, id)",
    "CREATE TABLE turns (
        id TEXT PRIMARY KEY, chat TEXT NOT NULL, tenant TEXT NOT NULL, scope TEXT NOT NULL, asked TEXT NOT NULL,
        key_id TEXT NOT NULL, mac BLOB NOT NULL, made_at BIGINT NOT NULL, state TEXT NOT NULL, fence BIGINT NOT NULL,
        steps BIGINT NOT NULL, attempts BIGINT NOT NULL, lease_until BIGINT NOT NULL, used TEXT NOT NULL)",
    "CREATE INDEX turns_by_state ON turns (state, id)",
    "CREATE INDEX turns_by_chat ON turns (chat, id)",
    "CREATE TABLE chat_steps (
        chat TEXT NOT NULL, seq BIGINT NOT NULL, turn TEXT NOT NULL, at BIGINT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (chat, seq))",
    "CREATE INDEX chat_steps_by_turn ON chat_steps (turn, seq)",
    "CREATE TABLE turn_calls (
        turn TEXT NOT NULL, call TEXT NOT NULL, body TEXT NOT NULL, proposal BIGINT NOT NULL, plan TEXT,
        open BIGINT NOT NULL, PRIMARY KEY (turn, call))",
    "CREATE UNIQUE INDEX turn_calls_one_proposal ON turn_calls (turn) WHERE proposal = 1",
    "CREATE INDEX turn_calls_by_plan ON turn_calls (plan)",
];

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0005_chats"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in UP {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
