//! The file verbs: read, list, stat, search, write, delete.
//!
//! Owns what they answer. Never opens a path twice: what was checked is what is read or replaced, by descriptor.
//! Invariant: nothing on the list of secrets is read or replaced, however it was reached, and nothing that is no regular file.

pub(super) mod open;
pub(super) mod replace;
mod search;
pub(super) mod state;

use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use legator_core::digest::Digest;
use legator_core::verbs::{FileDelete, FileList, FileRead, FileSearch, FileStat, FileWrite};
use rustix::fs::{AtFlags, FileType, OFlags};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::told::Told;
use super::{Done, Step, Stop, Work, blocking};
use crate::cage::Secrets;
use crate::preimage::Attributes;
use replace::{Content, Target};

const READ_BYTES: u64 = 256 * 1024;
/// Most that is read of a file whose size nobody knows.
const UNSIZED_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LIST_LIMIT: u64 = 1000;

/// `file.read`: the bytes go to standard output as they are; with `state`, the receipt holds the state too.
pub(super) async fn read(work: &Work<'_>, args: &FileRead, told: &mut Told) -> Step<Done> {
    let (path, secrets) = (PathBuf::from(&args.path), Arc::clone(&work.host.secrets));
    if args.state {
        let state = blocking::run(work.call, move || state::present(&path, &secrets)).await?;
        let kept = state.described();
        told.out(&state.bytes).await;
        return Ok(Done { before: Some(kept.clone()), ..Done::read(kept) });
    }
    let part = Part { offset: args.offset.unwrap_or(0), bytes: args.bytes };
    let read = blocking::run(work.call, move || read_part(&path, &secrets, part)).await?;
    told.out(&read.content).await;
    if let Some((passed_over, tail)) = read.tail {
        told.pass_over(passed_over);
        told.out(&tail).await;
    }
    Ok(Done::read(read.facts))
}

/// Which part of a file was asked for.
#[derive(Clone, Copy)]
struct Part {
    offset: u64,
    /// Without a number, what is too long is shown by its beginning and its end.
    bytes: Option<u64>,
}

struct Read {
    content: Vec<u8>,
    /// How many bytes lie between, and the end of the file.
    tail: Option<(u64, Vec<u8>)>,
    facts: Value,
}

fn read_part(path: &Path, secrets: &Secrets, part: Part) -> Step<Read> {
    let mut file = open::for_reading(path, secrets)?;
    let fault = |error: std::io::Error| Stop::failed(&format!("reading {}", path.display()), error);
    let Part { offset, bytes } = part;
    if offset > 0 {
        file.seek(SeekFrom::Start(offset)).map_err(fault)?;
    }
    let most = bytes.unwrap_or(READ_BYTES);
    let mut content = Vec::new();
    file.by_ref().take(most + 1).read_to_end(&mut content).map_err(fault)?;
    let more = content.len() as u64 > most;
    content.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let size = file.metadata().map_err(fault)?.len();
    let mut tail = None;
    if more && bytes.is_none() {
        let read = offset + content.len() as u64;
        let from = size.saturating_sub(READ_BYTES).max(read);
        // A file of the kernel tells no size: it is read on.
        let (passed_over, most) =
            if size > read { (from - read, READ_BYTES) } else { (0, UNSIZED_BYTES_MAX) };
        file.seek(SeekFrom::Start(read + passed_over)).map_err(fault)?;
        let mut end = Vec::new();
        file.by_ref().take(most).read_to_end(&mut end).map_err(fault)?;
        tail = Some((passed_over, end));
    }
    let whole = offset == 0 && !more;
    let digest = whole.then(|| Digest::of(&content));
    let facts = json!({ "path": path, "size": size, "offset": offset, "bytes": content.len(), "more": more,
        "digest": digest });
    Ok(Read { content, tail, facts })
}

/// `file.stat`.
pub(super) async fn stat(work: &Work<'_>, args: &FileStat) -> Step<Value> {
    let path = PathBuf::from(&args.path);
    blocking::run(work.call, move || {
        let fd = open::by_path(&path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let stat = rustix::fs::fstat(&fd).map_err(|error| Stop::failed("stat", error))?;
        let mut value = state::metadata(&stat);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            let target = rustix::fs::readlinkat(&fd, "", Vec::new())
                .map_err(|error| Stop::failed("readlink", error))?;
            state::put(&mut value, "target", json!(target.to_string_lossy()));
        }
        state::put(&mut value, "path", json!(path));
        Ok(value)
    })
    .await
}

/// `file.list`.
pub(super) async fn list(work: &Work<'_>, args: &FileList) -> Step<Value> {
    let (path, secrets) = (PathBuf::from(&args.path), Arc::clone(&work.host.secrets));
    let limit = usize::try_from(args.limit.unwrap_or(LIST_LIMIT)).unwrap_or(usize::MAX);
    blocking::run(work.call, move || list_dir(&path, &secrets, limit)).await
}

fn list_dir(path: &Path, secrets: &Secrets, limit: usize) -> Step<Value> {
    let fd = open::by_path(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let dir = std::fs::File::from(fd.try_clone().map_err(|error| Stop::failed("listing", error))?);
    if secrets.hides_file(&dir) {
        return Err(open::secret(path));
    }
    let entries = rustix::fs::Dir::read_from(&fd).map_err(|error| Stop::failed("listing", error))?;
    let (mut items, mut left_out) = (Vec::new(), 0_u64);
    for entry in entries.map_while(Result::ok) {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if items.len() >= limit {
            left_out += 1;
            continue;
        }
        let Ok(stat) = rustix::fs::statat(fd.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let mut item = state::metadata(&stat);
        state::put(&mut item, "name", json!(name.to_string_lossy()));
        items.push(item);
    }
    items.sort_by_key(|item| item.get("name").map(Value::to_string));
    Ok(json!({ "path": path, "entries": items, "left_out": left_out }))
}

/// `file.search`.
pub(super) async fn search(work: &Work<'_>, args: &FileSearch, cancel: watch::Receiver<bool>) -> Step<Value> {
    let (args, secrets) = (args.clone(), Arc::clone(&work.host.secrets));
    // It ends by itself a little before its time is over, and tells what it has found.
    let at = std::time::Instant::now() + work.call.timeout.duration().mul_f32(0.9);
    blocking::run(work.call, move || search::search(&args, &secrets, &search::Ends { cancel, at })).await
}

/// `file.write`.
pub(super) async fn write(work: &Work<'_>, args: &FileWrite) -> Step<Done> {
    let shown = shown(work)?;
    let content =
        Content { bytes: args.bytes(), attributes: Attributes::default(), mode: args.permissions() };
    replace(work, &args.path, shown, Some(content)).await
}

/// `file.delete`.
pub(super) async fn delete(work: &Work<'_>, args: &FileDelete) -> Step<Done> {
    replace(work, &args.path, shown(work)?, None).await
}

/// What the approver was shown; a change of a file that nobody was shown does not happen.
fn shown(work: &Work<'_>) -> Step<Digest> {
    let none = || {
        let refusal = legator_wire::refusal::Refusal::ChangedPreImage;
        Stop::Refused(refusal, "the approver was shown no state of this file".into())
    };
    work.shown.ok_or_else(none)
}

/// Puts `content`, or nothing, in the place of a file that is still as `expected`, and keeps its state to go back to.
pub(super) async fn replace(
    work: &Work<'_>,
    path: &str,
    expected: Digest,
    content: Option<Content>,
) -> Step<Done> {
    let target = Target { path: PathBuf::from(path), task: work.task, expected, now: work.host.clock.now() };
    let (secrets, store) = (Arc::clone(&work.host.secrets), work.host.preimages.clone());
    blocking::change(move || replace::replace(&target, content, &secrets, &store)).await
}
