//! The journal's file and the thread that writes it.
//!
//! Owns appending with fsync, many appends under one fsync, and the rewrite that keeps the file small.
//! Invariant: a failed append leaves the file as long as it was.

use legator_core::ids::TaskId;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

use super::index::{Entry, Index, State};
use super::record::{LINE_BYTES_MAX, Record};
use crate::disk;
use crate::error::ProbeError;

/// Appends that share one fsync, at most.
const GROUP_MAX: usize = 64;
/// A file below this is not rewritten.
const REWRITE_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// One append.
pub(super) struct Job {
    pub(super) record: Record,
    pub(super) durable: bool,
    pub(super) done: oneshot::Sender<io::Result<()>>,
}

/// What the writer and the readers share.
pub(super) struct Shared {
    pub(super) index: Index,
    pub(super) file: File,
    pub(super) length: u64,
    path: PathBuf,
}

pub(super) type Guarded = Arc<Mutex<Shared>>;

/// The shared state. A thread that panicked while holding it left whole records, so it stays usable.
pub(super) fn locked(shared: &Guarded) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

impl Shared {
    /// Reads the log. A torn last line is what a crash leaves: it is cut off. A bad line before others is damage.
    pub(super) fn open(path: &Path) -> Result<Self, ProbeError> {
        let file = open_file(path).map_err(ProbeError::file("open", path))?;
        let mut index = Index::default();
        let mut reader = BufReader::new(file.try_clone().map_err(ProbeError::file("read", path))?);
        let (mut length, mut line) = (0u64, Vec::new());
        loop {
            line.clear();
            let read = (&mut reader).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line);
            let bytes = read.map_err(ProbeError::file("read", path))?;
            if bytes == 0 {
                break;
            }
            let Some(record) = Record::parse(&line) else {
                let rest = reader.fill_buf().map_err(ProbeError::file("read", path))?;
                if rest.is_empty() && !line.ends_with(b"\n") {
                    break;
                }
                let detail = format!("a bad record at byte {length}");
                return Err(ProbeError::State { path: path.to_path_buf(), detail });
            };
            index.fold(&record, length, bytes);
            length += bytes as u64;
        }
        file.set_len(length).map_err(ProbeError::file("cut", path))?;
        Ok(Self { index, file, length, path: path.to_path_buf() })
    }

    /// Appends lines; all or none of them.
    fn append(&mut self, records: &[&Record], durable: bool) -> io::Result<()> {
        let start = self.length;
        let mut places = Vec::new();
        let mut bytes = Vec::new();
        for record in records {
            let line = record.line();
            places.push((start + bytes.len() as u64, line.len()));
            bytes.extend_from_slice(&line);
        }
        let written = self.file.write_all_at(&bytes, start).and_then(|()| match durable {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        if let Err(error) = written {
            let _ = self.file.set_len(start);
            return Err(error);
        }
        self.length = start + bytes.len() as u64;
        for (record, (offset, length)) in records.iter().zip(places) {
            self.index.fold(record, offset, length);
        }
        Ok(())
    }

    /// The record that stands there.
    pub(super) fn read(&self, offset: u64, bytes: usize) -> Option<Record> {
        let mut line = vec![0; bytes.min(LINE_BYTES_MAX)];
        self.file.read_exact_at(&mut line, offset).ok()?;
        Record::parse(&line)
    }

    fn live(&self) -> u64 {
        let held = |entry: &Entry| match &entry.state {
            State::Held(held) => held.bytes as u64,
            _ => 512,
        };
        self.index.entries.values().map(held).sum()
    }

    fn should_rewrite(&self) -> bool {
        self.length > REWRITE_BYTES_MIN && self.length / 3 > self.live()
    }

    /// Writes what still counts into a new file and puts it in the old one's place.
    pub(super) fn rewrite(&mut self) -> io::Result<()> {
        self.index.forget_expired();
        let fresh = self.path.with_extension("new");
        let _ = fs::remove_file(&fresh);
        let file = open_file(&fresh)?;
        let mut next = Self { index: Index::default(), file, length: 0, path: self.path.clone() };
        next.append(&[&Record::Mark { high_water: self.index.high_water() }], false)?;
        let mut order: Vec<TaskId> = self.index.waiting().into_iter().map(|(task, _)| task).collect();
        order.extend(self.index.entries.keys().filter(|task| !is_held(&self.index, task)));
        for task in order {
            for record in self.records(task) {
                next.append(&[&record], false)?;
            }
        }
        next.file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        disk::sync_folder(&self.path)?;
        *self = next;
        Ok(())
    }

    /// The records that make an entry.
    fn records(&self, task: TaskId) -> Vec<Record> {
        let Some(entry) = self.index.entries.get(&task) else { return Vec::new() };
        match &entry.state {
            State::Running(begun, expected) => {
                let more = expected.clone().map(|expected| Record::Expects { task, expected });
                std::iter::once(Record::Begun(begun.clone())).chain(more).collect()
            }
            State::Held(held) => self.read(held.offset, held.bytes).into_iter().collect(),
            State::Settled(receipt, _) => {
                let settled = entry.content.map(|content| Record::Settled {
                    task,
                    content,
                    expires_at: entry.expires_at,
                    receipt: *receipt,
                });
                settled.into_iter().collect()
            }
            State::Cancelled => vec![Record::Cancelled { task, expires_at: entry.expires_at }],
        }
    }
}

fn is_held(index: &Index, task: &TaskId) -> bool {
    index.entries.get(task).is_some_and(|entry| matches!(entry.state, State::Held(_)))
}

/// The writer: takes what has come meanwhile, writes it at once, answers all. Ends when the last sender is gone.
pub(super) fn write_all(shared: &Guarded, jobs: &mut mpsc::Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            match jobs.try_recv() {
                Ok(job) => group.push(job),
                Err(_) => break,
            }
        }
        write_group(shared, group);
    }
    let shared = locked(shared);
    let _ = (&shared.file).flush();
    let _ = shared.file.sync_data();
}

fn write_group(shared: &Guarded, group: Vec<Job>) {
    let mut shared = locked(shared);
    let durable = group.iter().any(|job| job.durable);
    let records: Vec<&Record> = group.iter().map(|job| &job.record).collect();
    let together = shared.append(&records, durable);
    if together.is_err() && group.len() > 1 {
        // One record that does not fit must not take the others with it.
        for job in group {
            let _ = job.done.send(shared.append(&[&job.record], job.durable));
        }
        return;
    }
    let failed = together.err().map(|error| (error.kind(), error.to_string()));
    for job in group {
        let answer = failed.as_ref().map_or(Ok(()), |(kind, text)| Err(io::Error::new(*kind, text.clone())));
        let _ = job.done.send(answer);
    }
    if shared.should_rewrite() {
        // A rewrite that fails leaves the old file, which is whole; the next one tries again.
        let _ = shared.rewrite();
    }
}
