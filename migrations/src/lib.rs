//! The schema of the database, one step after the other.
//!
//! Owns the order of the steps and nothing else; each step lives in a file of its own and says what its tables mean.
//! Invariant: a step that was released is never changed; a later one corrects it.

pub use sea_orm_migration::prelude::{MigrationTrait, MigratorTrait};

mod m0001_base;
mod m0002_plans;
mod m0003_hosts;
mod m0004_people;
mod m0005_chats;
mod m0006_trust;

/// All steps, oldest first.
pub struct Migrator;

#[sea_orm_migration::async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_base::Migration),
            Box::new(m0002_plans::Migration),
            Box::new(m0003_hosts::Migration),
            Box::new(m0004_people::Migration),
            Box::new(m0005_chats::Migration),
            Box::new(m0006_trust::Migration),
        ]
    }
}

/// The names of all steps, oldest first: what a database of this binary may contain.
pub fn names() -> Vec<String> {
    Migrator::migrations().iter().map(|step| step.name().to_owned()).collect()
}
