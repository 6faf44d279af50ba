//! What a server stands on: the data folder, its lock, its keys and its database.
//!
//! Owns the order in which they are taken, and the refusal to start with another authority key than the database remembers.
//! Invariant: who holds a `Ground` is the only process on that folder.

use crate::config::{KeySource, Place, Settings};
use crate::keys::{self, KeyError, Missing};
use crate::lock::{self, Lock, LockError};
use legator_store::{Options, Store, StoreError, meta};
use legator_wire::keys::{AuthorityKey, CheckpointKey, Signer as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Under this name the database remembers its authority's fingerprint.
const REMEMBERED: &str = "authority";

/// Why there is nothing to stand on.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// The folder cannot be made or used.
    #[error("the data folder {path}: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another authority key than before.
    #[error(
        "the signing key is another one than this database was made with: the database remembers {remembered}, the key given now has \
         {given}. Probes trust the remembered one only. Start with that key, or with an empty --data-dir to begin anew"
    )]
    OtherAuthority {
        /// The fingerprint that the database remembers.
        remembered: String,
        /// The fingerprint of the key given now.
        given: String,
    },
}

/// What a server stands on.
pub struct Ground {
    /// The database.
    pub store: Store,
    /// The authority's key.
    pub authority: AuthorityKey,
    /// The notary's key.
    pub checkpoint: CheckpointKey,
    /// The installation's name: the fingerprint of its authority.
    pub installation: String,
    /// Held until the end.
    pub lock: Option<Lock>,
}

struct Keys {
    authority: [u8; 32],
    seal: [u8; 32],
    checkpoint: [u8; 32],
}

/// Takes the folder, reads or makes the keys, opens the database.
pub async fn prepare(settings: &Settings) -> Result<Ground, GroundError> {
    match &settings.place {
        Place::Memory => {
            let keys = Keys {
                authority: given(settings)?.map_or_else(keys::fresh, Ok)?,
                seal: keys::fresh()?,
                checkpoint: keys::fresh()?,
            };
            let options = Options::memory(keys.seal);
            open(None, keys, options).await
        }
        Place::Dir(dir) => {
            let lock = take(dir)?;
            let database = dir.join("legator.db");
            let missing = if database.exists() { Missing::Refuse } else { Missing::Make };
            let keys = in_folder(settings, dir, missing)?;
            let options = Options::file(database, keys.seal);
            open(Some(lock), keys, options).await
        }
    }
}

async fn open(lock: Option<Lock>, keys: Keys, options: Options) -> Result<Ground, GroundError> {
    let store = Store::open(options).await?;
    let authority = AuthorityKey::from_secret(&keys.authority);
    let installation = authority.public().fingerprint().to_string();
    let remembered = meta::set_once(&store, REMEMBERED, &installation).await?;
    if remembered != installation {
        return Err(GroundError::OtherAuthority { remembered, given: installation });
    }
    Ok(Ground {
        store,
        authority,
        checkpoint: CheckpointKey::from_secret(&keys.checkpoint),
        installation,
        lock,
    })
}

/// The authority's secret, where a setting gives it.
fn given(settings: &Settings) -> Result<Option<[u8; 32]>, KeyError> {
    match &settings.signing_key {
        KeySource::Made => Ok(None),
        KeySource::Secret(secret) => Ok(Some(*secret)),
        KeySource::File(path) => keys::read(path).map(Some),
    }
}

fn in_folder(settings: &Settings, dir: &Path, missing: Missing) -> Result<Keys, KeyError> {
    let authority = match given(settings)? {
        Some(secret) => secret,
        None => keys::keep(&dir.join("authority.key"), missing)?,
    };
    Ok(Keys {
        authority,
        seal: keys::keep(&dir.join("seal.key"), missing)?,
        checkpoint: keys::keep(&dir.join("checkpoint.key"), missing)?,
    })
}

/// Makes the folder, for its owner only, and takes it.
fn take(dir: &Path) -> Result<Lock, GroundError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| GroundError::Folder { path: dir.to_owned(), source })?;
    Ok(lock::take(dir)?)
}

/// Whether the keys and files that the settings name can be read. Makes and changes nothing.
pub fn check(settings: &Settings) -> Result<(), GroundError> {
    given(settings)?;
    Ok(())
}
