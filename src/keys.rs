//! Secret keys in files: made once, readable by their owner only.
//!
//! Owns the files `authority.key`, `seal.key` and `checkpoint.key` of a data folder. Never prints a secret.
//! Invariant: a key file that is missing beside an existing database, empty, open to others or no key stops the start.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read or written.
    #[error("the key file {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read it.
    #[error(
        "the key file {path} is open to others (mode {mode:03o}): chmod 600 it, and think about whether the key is still secret"
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not 64 hex digits.
    #[error("the key file {0} does not hold 64 lower-case hex digits (make one with: openssl rand -hex 32)")]
    NotAKey(PathBuf),
    /// It is gone, and making another one would make everything before it worthless.
    #[error("the key file {0} is missing although the folder holds a database: put it back from a backup")]
    Missing(PathBuf),
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(String),
}

/// 32 fresh secret bytes.
pub fn fresh() -> Result<[u8; 32], KeyError> {
    use rand::TryRngCore as _;
    let mut secret = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut secret).map_err(|error| KeyError::Randomness(error.to_string()))?;
    Ok(secret)
}

/// The key in a file.
pub fn read(path: &Path) -> Result<[u8; 32], KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(KeyError::NotAKey(path.to_owned()));
    }
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Open { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    (&file).take(200).read_to_string(&mut text).map_err(failed)?;
    let secret =
        legator_wire::keys::parse_hex(text.trim_end()).map_err(|_| KeyError::NotAKey(path.to_owned()))?;
    match secret == [0; 32] {
        true => Err(KeyError::NotAKey(path.to_owned())),
        false => Ok(secret),
    }
}

/// Whether a key may be made when its file is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing depends on it yet.
    Make,
    /// A database does.
    Refuse,
}

/// The key in a file of the folder; made now when it is missing and nothing depends on it yet.
pub fn keep(path: &Path, missing: Missing) -> Result<[u8; 32], KeyError> {
    if path.symlink_metadata().is_ok() {
        return read(path);
    }
    if missing == Missing::Refuse {
        return Err(KeyError::Missing(path.to_owned()));
    }
    let secret = fresh()?;
    write(path, &secret).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    Ok(secret)
}

/// Writes beside and renames, so that a crash leaves no half key.
fn write(path: &Path, secret: &[u8; 32]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    writeln!(file, "{}", hex::encode(secret))?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::print_stderr)]
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        let key = keep(&path, Missing::Make).unwrap();
        assert_eq!(keep(&path, Missing::Refuse).unwrap(), key);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_key_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        assert!(matches!(keep(&path, Missing::Refuse), Err(KeyError::Missing(_))));
        assert!(matches!(read(&path), Err(KeyError::Io { .. })));
        let texts = [
            String::new(),
            "\n".into(),
            "ab".into(),
            "0".repeat(64),
            "AB".repeat(32),
            "x".repeat(64),
            "a".repeat(65),
        ];
        for text in &texts {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(keep(&path, Missing::Make), Err(KeyError::NotAKey(_))), "{text:?}");
        }
        std::fs::write(&path, "ab".repeat(32)).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o660, 0o620, 0o611] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path), Err(KeyError::Open { .. })), "{mode:o}");
        }
        assert!(read(dir.path()).is_err());
        eprintln!("key files refused: {} cases", texts.len() + 9);
    }
}
