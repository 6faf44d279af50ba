//! Who this probe is: its key, made here, and what enrolment told it.
//!
//! Owns the files `key`, `identity.json` and `lock` of the state folder. Never sends the key.
//! Invariant: a damaged identity is an error, never a reason to enrol again under another authority.

use legator_core::ids::HostId;
use legator_core::level::Level;
use legator_core::time::Timestamp;
use legator_wire::keys::{ProbeKey, PublicKey, parse_hex};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::ProbeError;
use crate::system;

const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What enrolment told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The server's address.
    pub server: String,
    /// The installation.
    pub installation: String,
    /// The pinned authority.
    pub authority: PublicKey,
    /// The host's id.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// The JWT for the edge.
    pub credential: String,
    /// Until when that is good.
    pub expires_at: Timestamp,
    /// The level that the registration token allowed: the ceiling until limits come.
    pub level: Level,
}

/// A state folder that this process alone works with.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    // Held for its lock: the system frees it when the process ends, however it ends.
    _lock: File,
}

impl StateDir {
    /// Opens the folder, makes it where it is not there, and locks it.
    ///
    /// # Errors
    /// Another process has it, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self, ProbeError> {
        disk::private_folder(path)?;
        let name = path.join("lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&name);
        let lock = opened.map_err(ProbeError::file("open", &name))?;
        let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::flock(&lock, exclusive).map_err(|_| ProbeError::InUse(path.to_path_buf()))?;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The host's key; made now where there is none and nothing was enrolled yet.
    pub fn key(&self) -> Result<ProbeKey, ProbeError> {
        let path = self.path.join("key");
        if let Some(bytes) = disk::read(&path, 1024)? {
            let text = String::from_utf8_lossy(&bytes);
            let damaged = |_| ProbeError::State { path: path.clone(), detail: "not 64 hex digits".into() };
            return Ok(ProbeKey::from_secret(&parse_hex(text.trim()).map_err(damaged)?));
        }
        if identity(&self.path)?.is_some() {
            return Err(ProbeError::State { path, detail: "the key is gone".into() });
        }
        let secret = system::secret()?;
        disk::replace(&path, hex::encode(secret).as_bytes(), 0o600)?;
        Ok(ProbeKey::from_secret(&secret))
    }

    /// What enrolment told; nothing where there was none.
    pub fn identity(&self) -> Result<Option<Identity>, ProbeError> {
        identity(&self.path)
    }

    /// Keeps what enrolment told.
    pub fn keep(&self, identity: &Identity) -> Result<(), ProbeError> {
        let content = serde_json::to_vec_pretty(identity).unwrap_or_default();
        disk::replace(&self.path.join("identity.json"), &content, 0o600)
    }
}

/// What a state folder says, without working in it.
pub fn identity(state_dir: &Path) -> Result<Option<Identity>, ProbeError> {
    let path = state_dir.join("identity.json");
    let Some(bytes) = disk::read(&path, FILE_BYTES_MAX)? else { return Ok(None) };
    let read: Result<Identity, _> = serde_json::from_slice(&bytes);
    let identity =
        read.map_err(|error| ProbeError::State { path: path.clone(), detail: error.to_string() })?;
    if identity.installation.is_empty() || identity.credential.is_empty() {
        return Err(ProbeError::State { path, detail: "the installation or the credential is empty".into() });
    }
    Ok(Some(identity))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::print_stderr)]
    use super::*;
    use legator_wire::keys::{AuthorityKey, Signer as _};
    use std::os::unix::fs::PermissionsExt as _;

    fn sample() -> Identity {
        Identity {
            server: "http://127.0.0.1:1".into(),
            installation: "sha256:x".into(),
            authority: AuthorityKey::from_secret(&[1; 32]).public(),
            host: HostId::new(5),
            name: "web".into(),
            credential: "jwt".into(),
            expires_at: Timestamp::MAX,
            level: Level::Observe,
        }
    }

    #[test]
    fn the_key_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let key = state.key().unwrap();
        assert_eq!(state.key().unwrap().public(), key.public());
        let mode =
            |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("key"), 0o600);
        assert!(matches!(StateDir::open(folder.path()), Err(ProbeError::InUse(_))));
    }

    #[test]
    fn a_damaged_identity_or_key_is_an_error_and_no_new_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert!(state.identity().unwrap().is_none());
        state.key().unwrap();
        state.keep(&sample()).unwrap();
        assert_eq!(state.identity().unwrap(), Some(sample()));
        let good = std::fs::read_to_string(folder.path().join("identity.json")).unwrap();
        let authority = sample().authority.hex();
        let bad = [
            String::new(),
            "{}".into(),
            good.replace(&authority, ""),
            good.replace(&authority, &"0".repeat(64)),
            good.replace("\"jwt\"", "\"\""),
            good.replace("\"jwt\"", "[]"),
            good.replace("\"authority\"", "\"authorities\""),
            good.replace("\"observe\"", "\"everything\""),
        ];
        for text in &bad {
            std::fs::write(folder.path().join("identity.json"), text).unwrap();
            assert!(state.identity().is_err(), "{text}");
        }
        state.keep(&sample()).unwrap();
        for text in ["", "zz", "00"] {
            std::fs::write(folder.path().join("key"), text).unwrap();
            assert!(state.key().is_err());
        }
        std::fs::remove_file(folder.path().join("key")).unwrap();
        assert!(state.key().is_err());
        eprintln!("identity: {} damaged states refused", bad.len() + 4);
    }
}
