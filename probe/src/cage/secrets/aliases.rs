//! Second names of secrets: hard links somewhere else on the disk.
//!
//! Owns searching for them, which takes seconds on a large disk and is done only when a secret has one. Never opens a file.
//! Invariant: bounded in time; whoever uses the result counts the names, so a search that was cut short refuses and hides nothing less.

use super::Secrets;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SEARCH_MAX: Duration = Duration::from_secs(20);
/// File systems of the kernel's own, in which no disk's file has a name.
const SKIPPED: &[&str] = &["/proc", "/sys", "/dev"];

/// A file of a secret that has more than one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Linked {
    pub(crate) path: PathBuf,
    pub(crate) inode: (u64, u64),
    /// How many names it has.
    pub(crate) names: u64,
}

impl Linked {
    /// Those of the paths that lead to this file, when they are all its names.
    pub(crate) fn all_of<'a>(&self, paths: &'a [PathBuf]) -> Option<Vec<&'a Path>> {
        let is = |path: &&Path| {
            fs::symlink_metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.inode)
        };
        let own: Vec<&Path> = paths.iter().map(PathBuf::as_path).filter(is).collect();
        // A mount can show one name at two places: a name is an entry of a folder.
        let entry = |path: &&Path| {
            let folder = fs::metadata(path.parent()?).ok()?;
            Some((folder.dev(), folder.ino(), path.file_name()?.to_owned()))
        };
        let entries: HashSet<_> = own.iter().filter_map(entry).collect();
        (entries.len() as u64 >= self.names).then_some(own)
    }
}

/// Every path below `/` that leads to a secret with more than one name.
pub(crate) fn search(secrets: &Secrets) -> Vec<PathBuf> {
    let found = secrets.found().unwrap_or_default();
    let wanted: HashSet<(u64, u64)> =
        found.iter().flat_map(|secret| secrets.linked(secret)).map(|linked| linked.inode).collect();
    let numbers: HashSet<u64> = wanted.iter().map(|(_, number)| *number).collect();
    let (end, mut paths, mut folders) = (Instant::now() + SEARCH_MAX, Vec::new(), vec![PathBuf::from("/")]);
    while let Some(folder) = folders.pop() {
        if Instant::now() > end || wanted.is_empty() {
            break;
        }
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() && !SKIPPED.iter().any(|skipped| path == Path::new(skipped)) {
                folders.push(path);
            } else if kind.is_file() && numbers.contains(&entry.ino()) {
                let inode = entry.metadata().map(|meta| (meta.dev(), meta.ino()));
                if inode.is_ok_and(|inode| wanted.contains(&inode)) {
                    paths.push(path);
                }
            }
        }
    }
    paths
}
