//! Persons: who acts, and with which roles.
//!
//! Owns their sealed rows. Invariant: a person whose seal does not hold, or who was disabled, has no role.

use crate::sealed::Kind;
use crate::{Sealed, Store, StoreError, Tx, tenants};
use legator_core::ids::{PersonId, TenantId};
use legator_core::rights::{Role, RoleOn};
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What is sealed of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// How others call them.
    pub name: String,
    /// What they may do.
    pub roles: Vec<RoleOn>,
    /// When they were made known.
    pub made_at: Timestamp,
    /// When they lost everything.
    pub disabled_at: Option<Timestamp>,
}

impl Person {
    /// Whether they are an admin of all hosts, now.
    pub fn is_admin(&self) -> bool {
        let full = |role: &RoleOn| role.role == Role::Admin && role.selector.is_none();
        self.disabled_at.is_none() && self.roles.iter().any(full)
    }
}

/// Keeps a new or changed person.
pub async fn put(tx: &Tx, id: PersonId, person: &Person) -> Result<(), StoreError> {
    tx.seal_put(Kind::Person, &id.to_string(), person).await?;
    Ok(())
}

/// Keeps the first person of a tenant that is made in this act.
pub async fn put_in(tx: &Tx, tenant: TenantId, id: PersonId, person: &Person) -> Result<(), StoreError> {
    tx.seal_put_in(tenant, Kind::Person, &id.to_string(), person).await?;
    Ok(())
}

/// A person, inside an act.
pub async fn of_act(tx: &Tx, id: PersonId) -> Result<Option<Person>, StoreError> {
    Ok(tx.seal_get(Kind::Person, &id.to_string()).await?.and_then(Sealed::grants))
}

/// All persons of the act's tenant.
pub async fn list_of_act(tx: &Tx) -> Result<Vec<(PersonId, Person)>, StoreError> {
    tenants::whole_rows_of(tx, Kind::Person).await
}

/// A person.
pub async fn get(store: &Store, tenant: TenantId, id: PersonId) -> Result<Option<Person>, StoreError> {
    Ok(store.seal_get(tenant, Kind::Person, &id.to_string()).await?.and_then(Sealed::grants))
}

/// All persons of a tenant, oldest first.
pub async fn list(store: &Store, tenant: TenantId) -> Result<Vec<(PersonId, Person)>, StoreError> {
    tenants::whole_rows(store, tenant, Kind::Person).await
}
