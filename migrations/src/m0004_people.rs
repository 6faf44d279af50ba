//! Persons, keys and tokens.
//!
//! Owns the tables of these nouns. Never touches another step's tables.

use sea_orm_migration::prelude::*;

/// What each table means stands beside it.
const TABLES: &str = "";

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
