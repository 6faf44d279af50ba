//! What a plan that was taken back is told by, and where secret values wait.
//!
//! Owns the table `plan_secrets` and its trigger. Invariant: the values of a plan are gone with the statement that ends it, whichever
//! path ends it.

use sea_orm_migration::prelude::*;

/// `sealed` is a box to the data key of that id, which is not in this database.
const UP: [&str; 4] = [
    "ALTER TABLE plans ADD COLUMN taken_back INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX plans_taken_back ON plans (id) WHERE taken_back = 1 AND state = 'running'",
    "CREATE TABLE plan_secrets (plan TEXT PRIMARY KEY NOT NULL, key_id TEXT NOT NULL, enc BLOB NOT NULL, sealed BLOB NOT NULL)",
    "CREATE TRIGGER plan_secrets_end AFTER UPDATE OF state ON plans
WHEN NEW.state IN ('finished', 'rejected', 'expired', 'cancelled', 'refused')
BEGIN DELETE FROM plan_secrets WHERE plan = NEW.id; END",
];

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0006_trust"
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
