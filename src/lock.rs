//! One process a data folder.
//!
//! Owns the file `legator.lock`. Invariant: while a `Lock` lives, no other process on this machine has one on the same folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Why the folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another legator runs on {0}: stop it first, or use another --data-dir")]
    Taken(PathBuf),
    /// The file cannot be made.
    #[error("the lock file {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The folder is ours until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "its lock lives as long as the file is open")] File);

/// Takes the folder.
pub fn take(dir: &Path) -> Result<Lock, LockError> {
    let path = dir.join("legator.lock");
    let failed = |source| LockError::Io { path: path.clone(), source };
    let mut file =
        OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LockError::Taken(dir.to_owned())),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(Lock(file))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path()).unwrap();
        assert!(matches!(take(dir.path()), Err(LockError::Taken(_))));
        drop(first);
        take(dir.path()).unwrap();
    }
}
