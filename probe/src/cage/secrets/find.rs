//! Finds the secrets of the list on the disk.
//!
//! Owns expanding patterns and homes. Never opens a secret itself.
//! Invariant: bounded, whatever the disk holds: at most `FOUND_MAX` results and as many homes.

use super::FOUND_MAX;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most homes that are looked into.
const HOMES_MAX: usize = 1024;
/// Most entries read of one folder.
const ENTRIES_MAX: usize = 16_384;

/// A secret that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where, with every link followed.
    pub(crate) path: PathBuf,
    /// Device and inode.
    pub(crate) inode: (u64, u64),
    folder: bool,
}

impl Found {
    pub(crate) fn is_folder(&self) -> bool {
        self.folder
    }

    /// Whether the path is the secret or below it.
    pub(crate) fn covers(&self, path: &Path) -> bool {
        path.starts_with(&self.path)
    }

    /// Whether this is that inode.
    pub(crate) fn is(&self, inode: Option<(u64, u64)>) -> bool {
        inode == Some(self.inode)
    }
}

/// All secrets of the two lists that exist.
pub(super) fn found(everywhere: &[String], in_homes: &[String]) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    let homes = homes();
    let patterns = everywhere.iter().map(|pattern| (Path::new("/"), pattern.as_str()));
    let below =
        homes.iter().flat_map(|home| in_homes.iter().map(|pattern| (home.as_path(), pattern.as_str())));
    for (base, pattern) in patterns.chain(below) {
        for path in expand(base, pattern) {
            if list.len() >= FOUND_MAX {
                return list;
            }
            let Ok(path) = path.canonicalize() else { continue };
            let Ok(meta) = fs::metadata(&path) else { continue };
            if path.parent().is_some() && seen.insert(path.clone()) {
                list.push(Found { path, inode: (meta.dev(), meta.ino()), folder: meta.is_dir() });
            }
        }
    }
    list
}

/// The paths that exist and match; the pattern is taken below `base`.
fn expand(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut paths = vec![base.to_path_buf()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if !part.contains('*') {
            paths.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next = Vec::new();
        for path in &paths {
            let Ok(entries) = fs::read_dir(path) else { continue };
            let names = entries.take(ENTRIES_MAX).filter_map(|entry| Some(entry.ok()?.file_name()));
            let hits = names.filter(|name| name.to_str().is_some_and(|name| matches(part, name)));
            next.extend(hits.map(|name| path.join(name)));
            next.truncate(FOUND_MAX);
        }
        paths = next;
    }
    paths.retain(|path| path.symlink_metadata().is_ok());
    paths
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

/// The homes of the users of this host, each once, without those that are no home of a person's files.
fn homes() -> BTreeSet<PathBuf> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().filter_map(|line| line.split(':').nth(5)).map(PathBuf::from);
    let listed = fs::read_dir("/home").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let all = named.chain(listed).chain([PathBuf::from("/root")]);
    all.filter(|home| home.is_absolute() && home.parent().is_some()).take(HOMES_MAX).collect()
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
