//! Finds the secrets of the list on the disk.
//!
//! Owns expanding patterns and homes. Never opens a secret itself.
//! Invariant: bounded, whatever the disk holds, and never silently short: what exceeds a bound hides more, not less.

use super::FOUND_MAX;
use super::aliases::Linked;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most homes that are looked into.
const HOMES_MAX: usize = 16_384;
/// Most entries read of one folder, and most of them that are taken one by one; beyond, the folder is hidden whole.
const ENTRIES_MAX: usize = 16_384;
const HITS_MAX: usize = 32;

/// A secret that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where, with every link followed.
    pub(crate) path: PathBuf,
    /// Device and inode.
    pub(crate) inode: (u64, u64),
    folder: bool,
    /// Names of a file that are not this one.
    other_names: bool,
}

impl Found {
    pub(crate) fn is_folder(&self) -> bool {
        self.folder
    }

    /// Whether the path is the secret or below it.
    pub(crate) fn covers(&self, path: &Path) -> bool {
        path.starts_with(&self.path)
    }

    /// Whether that inode lies in this folder. A folder that holds too much to look at counts as holding it.
    pub(crate) fn holds(&self, inode: (u64, u64)) -> bool {
        let is = |meta: &fs::Metadata| (meta.dev(), meta.ino()) == inode;
        self.folder
            && inside(&self.path, ENTRIES_MAX).is_none_or(|files| files.iter().any(|(_, meta)| is(meta)))
    }

    /// The files of this secret that have more than one name. Of a folder only so many entries are looked at.
    pub(crate) fn linked(&self, entries_max: usize) -> Vec<Linked> {
        let kernels = self.path.starts_with("/proc") || self.path.starts_with("/sys");
        if kernels || !(self.folder || self.other_names) {
            return Vec::new();
        }
        let one = || Some((self.path.clone(), fs::metadata(&self.path).ok()?));
        let files = match self.folder {
            true => inside(&self.path, entries_max).unwrap_or_default(),
            false => one().into_iter().collect(),
        };
        let linked = files.into_iter().filter(|(_, meta)| meta.nlink() > 1);
        linked
            .map(|(path, meta)| Linked { path, inode: (meta.dev(), meta.ino()), names: meta.nlink() })
            .collect()
    }

    /// Whether this is that inode.
    pub(crate) fn is(&self, inode: Option<(u64, u64)>) -> bool {
        inode == Some(self.inode)
    }
}

/// All secrets of the two lists that exist; nothing when they are more than can be hidden.
pub(super) fn found(everywhere: &[String], in_homes: &[String]) -> Option<Vec<Found>> {
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    let homes = homes()?;
    let patterns = everywhere.iter().map(|pattern| (None, pattern.as_str()));
    let below =
        homes.iter().flat_map(|home| in_homes.iter().map(move |pattern| (Some(home), pattern.as_str())));
    for (home, pattern) in patterns.chain(below) {
        for path in expand(home.map_or(Path::new("/"), |home| &home.path), pattern) {
            if list.len() >= FOUND_MAX {
                return None;
            }
            let Ok(path) = path.canonicalize() else { continue };
            let Ok(meta) = fs::metadata(&path) else { continue };
            // A link in a home must not hide what belongs to somebody else: a log, or the programs of the system.
            let theirs = home.is_none_or(|home| path.starts_with(&home.path) || meta.uid() == home.owner);
            if theirs && path.parent().is_some() && seen.insert(path.clone()) {
                let other_names = meta.is_file() && meta.nlink() > 1;
                list.push(Found {
                    path,
                    inode: (meta.dev(), meta.ino()),
                    folder: meta.is_dir(),
                    other_names,
                });
            }
        }
    }
    Some(list)
}

/// The regular files in a folder and below, without following links; nothing when there are more entries than that.
fn inside(folder: &Path, entries_max: usize) -> Option<Vec<(PathBuf, fs::Metadata)>> {
    let (mut folders, mut files, mut seen) = (vec![folder.to_path_buf()], Vec::new(), 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen > entries_max {
                return None;
            }
            let Ok(meta) = entry.metadata() else { continue };
            match meta.is_dir() {
                true => folders.push(entry.path()),
                false if meta.is_file() => files.push((entry.path(), meta)),
                false => {}
            }
        }
    }
    Some(files)
}

/// The paths that exist and match; the pattern is taken below `base`.
fn expand(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut paths = vec![base.to_path_buf()];
    let mut whole = Vec::new();
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if !part.contains('*') {
            paths.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next = Vec::new();
        for folder in paths {
            match names(&folder, part) {
                Some(hits) => next.extend(hits),
                None => whole.push(folder),
            }
        }
        paths = next;
    }
    paths.append(&mut whole);
    paths.retain(|path| path.symlink_metadata().is_ok());
    paths
}

/// What of a folder matches; nothing when that is so much that the folder itself is to be taken.
fn names(folder: &Path, pattern: &str) -> Option<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else { return Some(Vec::new()) };
    let (mut hits, mut seen) = (Vec::new(), 0);
    for entry in entries.flatten() {
        seen += 1;
        let name = entry.file_name();
        if matches(pattern, &name.to_string_lossy()) {
            hits.push(folder.join(name));
        }
        if hits.len() > HITS_MAX || seen > ENTRIES_MAX {
            return None;
        }
    }
    Some(hits)
}

/// Whether a name matches a pattern in which `*` is any run of characters. A public key (`.pub`) never does.
fn matches(pattern: &str, name: &str) -> bool {
    if name.ends_with(".pub") {
        return false;
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| name.strip_prefix(head)) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(tail)
}

/// A user's home, without links.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Home {
    path: PathBuf,
    owner: u32,
}

/// The homes of the users of this host, each once; nothing when they are too many.
fn homes() -> Option<BTreeSet<Home>> {
    let passwd = fs::read("/etc/passwd").unwrap_or_default();
    let passwd = String::from_utf8_lossy(&passwd);
    let named = passwd.lines().filter_map(|line| line.split(':').nth(5)).map(PathBuf::from);
    let listed = fs::read_dir("/home").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let all: BTreeSet<PathBuf> = named.chain(listed).chain([PathBuf::from("/root")]).collect();
    if all.len() > HOMES_MAX {
        return None;
    }
    let there = all.into_iter().filter(|home| home.is_absolute()).filter_map(|home| {
        let path = home.canonicalize().ok().filter(|path| path.parent().is_some())?;
        let owner = fs::metadata(&path).ok()?.uid();
        Some(Home { path, owner })
    });
    Some(there.collect())
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_run_of_characters_and_public_keys_stay_readable() {
        let table = [
            ("id_*", "id_rsa", true),
            ("id_*", "id_rsa.pub", false),
            ("id_*", "my_id", false),
            ("ssh_host_*_key", "ssh_host_ed25519_key", true),
            ("ssh_host_*_key", "ssh_host_ed25519_key.pub", false),
            ("*.conf", "admin.conf", true),
            ("*.conf", "admin.config", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
        ];
        for (pattern, name, hit) in table {
            assert_eq!(matches(pattern, name), hit, "{pattern} {name}");
        }
    }
}
