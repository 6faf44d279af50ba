//! Other names that mounts give to a file: a bind mount shows the same file at a second place.
//!
//! Owns reading `mountinfo`. Never mounts anything.
//! Invariant: a name is only given when it leads to the very same inode.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

struct Mount {
    root: PathBuf,
    at: PathBuf,
}

/// The mounts of this namespace, by device.
pub(super) struct Mounts {
    by_device: HashMap<String, Vec<Mount>>,
    /// Mount points with their device, in the order of mounting.
    order: Vec<(PathBuf, String)>,
}

impl Mounts {
    pub(super) fn read() -> io::Result<Self> {
        let text = fs::read("/proc/self/mountinfo")?;
        let mut mounts = Self { by_device: HashMap::new(), order: Vec::new() };
        for line in String::from_utf8_lossy(&text).lines() {
            let mut fields = line.split(' ').skip(2);
            let (Some(device), Some(root), Some(at)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let mount = Mount { root: plain(root), at: plain(at) };
            mounts.order.push((mount.at.clone(), device.to_owned()));
            mounts.by_device.entry(device.to_owned()).or_default().push(mount);
        }
        Ok(mounts)
    }

    /// Every path by which this file is reachable; the given one is always among them.
    pub(super) fn names_of(&self, path: &Path, inode: (u64, u64)) -> Vec<PathBuf> {
        let mut names = vec![path.to_path_buf()];
        let holder = self
            .order
            .iter()
            .rev()
            .filter(|(at, _)| path.starts_with(at))
            .max_by_key(|(at, _)| at.as_os_str().len());
        let Some((at, device)) = holder else { return names };
        let Some(mounts) = self.by_device.get(device).filter(|mounts| mounts.len() > 1) else { return names };
        let Some(own) = mounts.iter().rev().find(|mount| mount.at == *at) else { return names };
        let Ok(rest) = path.strip_prefix(at) else { return names };
        let inner = own.root.join(rest);
        for mount in mounts {
            let Ok(rest) = inner.strip_prefix(&mount.root) else { continue };
            let name = if rest.as_os_str().is_empty() { mount.at.clone() } else { mount.at.join(rest) };
            let same = fs::symlink_metadata(&name).is_ok_and(|meta| (meta.dev(), meta.ino()) == inode);
            if same && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Undoes the octal escapes of `mountinfo`.
fn plain(field: &str) -> PathBuf {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, after.get(3..)) {
            (Some(code), Some(tail)) => {
                out.push(char::from(code));
                rest = tail;
            }
            _ => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    PathBuf::from(out)
}
