//! Looking for files by name and content.
//!
//! Owns the walk and its bounds. Never follows a link and never leaves the file system it began on.
//! Invariant: it ends after a bounded number of files, and says when that cut it short.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use legator_core::verbs::FileSearch;
use rustix::fs::OFlags;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt as _;
use tokio::sync::watch;

use super::open;
use crate::cage::Secrets;
use crate::verbs::{Step, Stop};

const VISITED_MAX: u64 = 500_000;
const CONTENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
const FINDS: u64 = 200;

/// What ends a walk early.
pub(super) struct Ends {
    pub(super) cancel: watch::Receiver<bool>,
    pub(super) at: Instant,
}

pub(super) fn search(args: &FileSearch, secrets: &Secrets, ends: &Ends) -> Step<Value> {
    let root = PathBuf::from(&args.path);
    let top = open::by_path(&root, OFlags::PATH | OFlags::DIRECTORY)?;
    let device =
        rustix::fs::fstat(&top).map_err(|error| Stop::failed("looking at the directory", error))?.st_dev;
    let limit = usize::try_from(args.limit.unwrap_or(FINDS)).unwrap_or(usize::MAX);
    let (mut dirs, mut found, mut visited) = (vec![root], Vec::new(), 0_u64);
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.map_while(Result::ok) {
            visited += 1;
            let over = *ends.cancel.borrow() || Instant::now() >= ends.at;
            if visited > VISITED_MAX || found.len() >= limit || over {
                return Ok(json!({ "found": found, "visited": visited, "cut_short": true }));
            }
            // The metadata of the entry itself, not of what a link leads to.
            let Ok(meta) = entry.metadata() else { continue };
            let path = entry.path();
            if matches(args, &path, meta.is_file()) && !secrets.hides(&path) {
                found.push(json!({ "path": path.to_string_lossy(), "bytes": meta.len() }));
            }
            if meta.is_dir() && meta.dev() == device {
                dirs.push(path);
            }
        }
    }
    Ok(json!({ "found": found, "visited": visited, "cut_short": false }))
}

/// Whether an entry is looked for. Only a find is compared with the list of secrets, which is slow: nothing of the others is told.
fn matches(args: &FileSearch, path: &Path, is_file: bool) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !args.name.as_ref().is_none_or(|pattern| glob(pattern.as_bytes(), name.as_bytes())) {
        return false;
    }
    let Some(text) = &args.contains else { return true };
    is_file && holds(path, text.as_bytes()).unwrap_or(false)
}

fn holds(path: &Path, text: &[u8]) -> Step<bool> {
    let place = File::from(open::by_path(path, OFlags::PATH | OFlags::NOFOLLOW)?);
    open::check_kind(&place, path)?;
    let mut content = Vec::new();
    let read = open::read_only(&place, path)?.take(CONTENT_BYTES_MAX).read_to_end(&mut content);
    read.map_err(|error| Stop::failed("reading", error))?;
    Ok(content.windows(text.len().max(1)).any(|window| window == text))
}

/// Whether a name matches a pattern with `*` and `?`; linear in its length but for the one star that is tried again.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b'?') => (p, n) = (p + 1, n + 1),
            Some(same) if same == byte => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn patterns() {
        let rows = [
            ("*.conf", "nginx.conf", true),
            ("*.conf", "nginx.conf.d", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "a", false),
            ("*a*b", "xxaxxab", true),
            ("**", "anything", true),
        ];
        for (pattern, name, expected) in rows {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
