//! The state of a file as receipts hold it.
//!
//! Owns its JSON: kind, digest, size, owner, mode, and the content where it is small. Invariant: the JSON fits into a receipt.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use legator_core::digest::{Digest, Hasher};
use legator_core::verbs::ABSENT;
use legator_wire::receipt::STATE_BYTES_MAX;
use rustix::fs::{FileType, OFlags, Stat};
use serde_json::{Value, json};

use super::open;
use crate::cage::Secrets;
use crate::preimage::CONTENT_BYTES_MAX;
use crate::verbs::{Step, Stop};

/// A file as it is, or that there is none.
#[derive(Debug, Clone)]
pub(in crate::verbs) struct State {
    pub(in crate::verbs) path: PathBuf,
    pub(in crate::verbs) digest: Digest,
    /// Absent where there is no file.
    pub(in crate::verbs) stat: Option<Stat>,
    /// Nothing where the file is larger than a pre-image can be.
    pub(in crate::verbs) bytes: Vec<u8>,
}

impl State {
    pub(in crate::verbs) fn absent(path: &Path) -> Self {
        Self { path: path.to_owned(), digest: ABSENT, stat: None, bytes: Vec::new() }
    }

    /// The state of an open file.
    pub(in crate::verbs) fn of(file: &mut File, path: &Path) -> Step<Self> {
        let fault = |error: std::io::Error| Stop::failed(&format!("reading {}", path.display()), error);
        let stat = rustix::fs::fstat(&*file).map_err(|error| fault(error.into()))?;
        let mut bytes = Vec::new();
        file.take(CONTENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fault)?;
        let mut hasher = Hasher::new();
        hasher.update(&bytes);
        if bytes.len() as u64 > CONTENT_BYTES_MAX {
            bytes = Vec::new();
            hash_rest(file, &mut hasher).map_err(fault)?;
        }
        Ok(Self { path: path.to_owned(), digest: hasher.finish(), stat: Some(stat), bytes })
    }

    /// Without the content.
    pub(in crate::verbs) fn brief(&self) -> Value {
        let Some(stat) = &self.stat else {
            return json!({ "path": self.path, "kind": "absent", "digest": self.digest });
        };
        json!({
            "path": self.path, "kind": "file", "digest": self.digest, "bytes": stat.st_size,
            "mode": mode(stat.st_mode), "uid": stat.st_uid, "gid": stat.st_gid,
        })
    }

    /// With the content, where it fits into a receipt.
    pub(in crate::verbs) fn described(&self) -> Value {
        let mut value = self.brief();
        let whole = self.stat.as_ref().is_some_and(|stat| stat.st_size as u64 == self.bytes.len() as u64);
        if !whole {
            return value;
        }
        let (name, content) = match std::str::from_utf8(&self.bytes) {
            Ok(text) => ("content", json!(text)),
            Err(_) => ("content_b64", json!(base64::engine::general_purpose::STANDARD.encode(&self.bytes))),
        };
        if content.to_string().len() + value.to_string().len() + 64 <= STATE_BYTES_MAX {
            put(&mut value, name, content);
        }
        value
    }
}

fn hash_rest(file: &mut File, hasher: &mut Hasher) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

/// The state before a change: no part of the path may be a link, and an absent file is a state too.
pub(super) fn present(path: &Path, secrets: &Secrets) -> Step<State> {
    let (dir, name) = split(path)?;
    let dir = open::without_links(dir, OFlags::PATH | OFlags::DIRECTORY)?;
    if secrets.hides(path) {
        return Err(open::secret(path));
    }
    match rustix::fs::openat(
        &dir,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    ) {
        Ok(place) => State::of(&mut open::reopen(place, path, secrets)?, path),
        Err(rustix::io::Errno::NOENT) => Ok(State::absent(path)),
        Err(error) => Err(Stop::failed(&format!("opening {}", path.display()), error)),
    }
}

/// The directory and the name of a path.
pub(super) fn split(path: &Path) -> Step<(&Path, &std::ffi::OsStr)> {
    let parts = path.parent().zip(path.file_name());
    parts.ok_or_else(|| Stop::not_applicable(format!("{} does not name a file", path.display())))
}

/// The word for a kind of file.
pub(super) fn kind(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Unknown => "file of another kind",
    }
}

/// Permission bits as text.
pub(super) fn mode(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

/// What `stat` says.
pub(super) fn metadata(stat: &Stat) -> Value {
    let at = |seconds: i64| legator_core::time::Timestamp::from_millis(seconds.saturating_mul(1000));
    json!({
        "kind": kind(FileType::from_raw_mode(stat.st_mode)), "bytes": stat.st_size, "mode": mode(stat.st_mode),
        "uid": stat.st_uid, "gid": stat.st_gid, "links": stat.st_nlink, "inode": stat.st_ino,
        "modified": at(stat.st_mtime), "changed": at(stat.st_ctime), "accessed": at(stat.st_atime),
    })
}

/// Sets a field of an object.
pub(super) fn put(value: &mut Value, name: &str, field: Value) {
    if let Some(object) = value.as_object_mut() {
        object.insert(name.to_owned(), field);
    }
}
