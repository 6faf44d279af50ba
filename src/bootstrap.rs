//! The first admin of an installation, made by who owns its data folder.
//!
//! Owns that one act. Invariant: it is done once; with an admin there, further persons are made over the API.

use crate::config::{Place, Settings};
use crate::doorstep;
use crate::ground::{self, Ground, GroundError};
use legator_api::secrets;
use legator_core::digest::Digest;
use legator_core::event::{About, NewEvent};
use legator_core::ids::{KeyId, PersonId, TenantId, TraceId};
use legator_core::rights::{Role, RoleOn};
use legator_store::keys::{self, ApiKey};
use legator_store::persons::{self, Person};
use legator_store::{Audited, Op, Store, StoreError};
use serde_json::json;

/// Why there is no first admin.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The folder, its keys or its database cannot be used.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// Nothing lasts in memory.
    #[error("a bootstrap needs a data folder: set --data-dir")]
    Memory,
    /// It was done before.
    #[error(
        "there is an admin already: make further persons and keys with that admin's key (POST /api/v1/persons, /api/v1/keys)"
    )]
    Done,
    /// The given key is none.
    #[error(
        "the given key is not lk_, 32 hex digits, _ and 64 hex digits (or file:PATH of a file that holds one)"
    )]
    BadKey,
    /// The server that runs on the folder refused.
    #[error("{0}")]
    Refused(String),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the first admin and returns the text of their key. Where a server runs on the folder, it does so.
pub async fn first_admin(
    settings: Settings,
    name: String,
    given: Option<String>,
) -> Result<String, BootstrapError> {
    if settings.place == Place::Memory {
        return Err(BootstrapError::Memory);
    }
    let given = given.map(read_given).transpose()?;
    if let Place::Dir(dir) = &settings.place
        && let Some(answer) = doorstep::ask(dir, &name, given.as_deref()).await
    {
        return answer.map_err(BootstrapError::Refused);
    }
    let Ground { store, lock, .. } = ground::prepare(&settings).await?;
    let made = admin_of(&store, name, given).await;
    drop(lock);
    made
}

/// The same in a store that is open.
pub(crate) async fn admin_of(
    store: &Store,
    name: String,
    given: Option<String>,
) -> Result<String, BootstrapError> {
    let all = persons::list(store, TenantId::DEFAULT).await?;
    if all.iter().any(|(_, person)| person.is_admin()) {
        return Err(BootstrapError::Done);
    }
    let text = match given {
        Some(text) => text,
        None => {
            let secret = secrets::fresh().map_err(|_| BootstrapError::Randomness)?;
            secrets::key_text(KeyId::fresh(store.ids()), &secret)
        }
    };
    let (id, hash) = secrets::parse_key(&text).ok_or(BootstrapError::BadKey)?;
    keep(store, &name, id, hash).await?;
    Ok(text)
}

async fn keep(store: &Store, name: &str, id: KeyId, hash: Digest) -> Result<(), StoreError> {
    let person = PersonId::fresh(store.ids());
    let op = Op::system(TenantId::DEFAULT, "admin", TraceId::fresh(store.ids()));
    store
        .write(&op, async |tx| {
            let roles = vec![RoleOn { role: Role::Admin, selector: None }];
            let admin = Person { name: name.to_owned(), roles, made_at: tx.now(), disabled_at: None };
            persons::put(tx, person, &admin).await?;
            let key = ApiKey {
                person,
                name: "bootstrap".to_owned(),
                hash,
                scope: None,
                made_at: tx.now(),
                expires_at: None,
                revoked_at: None,
            };
            keys::put(tx, id, &key).await?;
            let data = json!({ "person": person, "key": id, "name": name, "roles": ["admin"] });
            Ok(Audited::new((), NewEvent::new("admin.bootstrapped", About::nothing(), data)))
        })
        .await
}

fn read_given(given: String) -> Result<String, BootstrapError> {
    let text = match given.strip_prefix("file:") {
        Some(path) => std::fs::read_to_string(path).map_err(|_| BootstrapError::BadKey)?,
        None => given,
    };
    let text = text.trim().to_owned();
    secrets::parse_key(&text).map(|_| ()).ok_or(BootstrapError::BadKey)?;
    Ok(text)
}
