//! `log.read` and `log.follow`.
//!
//! Owns the reading from the end of a file, and of the journal through `journalctl` in the cage.
//! Invariant: a log is read under the same rules as any other file.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use legator_core::task::Outcome;
use legator_core::verbs::{LogFollow, LogRead};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::files::open;
use super::told::{Told, cancelled};
use super::{Done, Step, Stop, Work, blocking, shell};
use crate::cage::{BelowFull, Confine, Limits, Order};

const LINES: u64 = 200;
/// How much of a log's end is looked through.
const TAIL_BYTES_MAX: u64 = 4 * 1024 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(200);
const PIECE_BYTES: u64 = 64 * 1024;

/// `log.read`.
pub(super) async fn read(work: &Work<'_>, args: &LogRead) -> Step<Value> {
    let lines = usize::try_from(args.lines.unwrap_or(LINES)).unwrap_or(usize::MAX);
    let (source, text, cut) = match (&args.path, &args.service) {
        (Some(path), _) => {
            let (place, secrets) = (PathBuf::from(path), Arc::clone(&work.host.secrets));
            let (text, cut) =
                blocking::run(work.call, move || tail(open::for_reading(&place, &secrets)?, &place)).await?;
            (path.clone(), text, cut)
        }
        (None, service) => {
            let service = service.clone().unwrap_or_default();
            (format!("journal of {service}"), journal(work, &service).await?, false)
        }
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let wanted = text.lines().filter(|line| args.contains.as_ref().is_none_or(|part| line.contains(part)));
    let mut kept: Vec<&str> = wanted.collect();
    let from = kept.len().saturating_sub(lines);
    Ok(json!({ "source": source, "lines": kept.split_off(from), "older_left_out": from > 0 || cut }))
}

/// The end of a file, from the beginning of a line on.
fn tail(mut file: File, path: &Path) -> Step<(Vec<u8>, bool)> {
    let fault = |error: std::io::Error| Stop::failed(&format!("reading {}", path.display()), error);
    let size = file.metadata().map_err(fault)?.len();
    let from = size.saturating_sub(TAIL_BYTES_MAX);
    file.seek(SeekFrom::Start(from)).map_err(fault)?;
    let mut text = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut text).map_err(fault)?;
    if from > 0 {
        let begin = text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        text.drain(..begin);
    }
    Ok((text, from > 0))
}

async fn journal(work: &Work<'_>, service: &str) -> Step<Vec<u8>> {
    let order = journal_order(work, service, &["--lines=10000"]);
    let (exit, text, error) = work.host.cage.capture(order).await.map_err(shell::not_run)?;
    match exit.success() {
        true => Ok(text),
        false => Err(Stop::Failed(format!("journalctl: {}", String::from_utf8_lossy(&error).trim()))),
    }
}

fn journal_order(work: &Work<'_>, service: &str, more: &[&str]) -> Order {
    let mut argv: Vec<String> =
        ["journalctl", "--no-pager", "--quiet", "--output=short-iso"].map(Into::into).into();
    argv.push(format!("--unit={service}"));
    argv.extend(more.iter().map(|word| (*word).to_owned()));
    Order {
        argv,
        cwd: None,
        confine: Confine::Observe,
        timeout: work.call.timeout.duration(),
        secrets: Arc::clone(&work.host.secrets),
        limits: Limits { below_full: BelowFull::RunAnyway, ..Limits::default() },
    }
}

/// `log.follow`: what is added until the time is over, which is a good end.
pub(super) async fn follow(
    work: &Work<'_>,
    args: &LogFollow,
    told: &mut Told,
    cancel: watch::Receiver<bool>,
) -> Step<Done> {
    if let Some(path) = &args.path {
        return follow_file(work, Path::new(path), told, cancel).await;
    }
    let order = journal_order(work, args.service.as_deref().unwrap_or_default(), &["--follow", "--lines=0"]);
    let exit = work.host.cage.run(order, told.sender(), cancel).await.map_err(shell::not_run)?;
    match exit.timed_out || exit.success() {
        true => Ok(Done::of(Outcome::Succeeded)),
        false => Ok(shell::ended(&exit)),
    }
}

async fn follow_file(
    work: &Work<'_>,
    path: &Path,
    told: &mut Told,
    mut cancel: watch::Receiver<bool>,
) -> Step<Done> {
    let (place, secrets) = (path.to_owned(), Arc::clone(&work.host.secrets));
    let mut file = blocking::run(work.call, move || {
        let mut file = open::for_reading(&place, &secrets)?;
        file.seek(SeekFrom::End(0)).map_err(|error| Stop::failed("going to the end", error))?;
        Ok(file)
    })
    .await?;
    let deadline = tokio::time::Instant::now() + work.call.timeout.duration();
    loop {
        let (reader, piece) = blocking::change(move || next_piece(file)).await?;
        file = reader;
        told.out(&piece).await;
        if piece.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = cancelled(&mut cancel) => return Err(Stop::Failed("cancelled".into())),
            }
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok(Done::of(Outcome::Succeeded));
        }
    }
}

/// What was added; from the beginning again when the file became shorter.
fn next_piece(mut file: File) -> Step<(File, Vec<u8>)> {
    let fault = |error: std::io::Error| Stop::failed("following", error);
    let at = file.stream_position().map_err(fault)?;
    if file.metadata().map_err(fault)?.len() < at {
        file.seek(SeekFrom::Start(0)).map_err(fault)?;
    }
    let mut piece = Vec::new();
    file.by_ref().take(PIECE_BYTES).read_to_end(&mut piece).map_err(fault)?;
    Ok((file, piece))
}
