//! What this probe was told to do and how it ended, on disk: "started" before the effect, the receipt before it is sent.
//!
//! Owns used ids, receipts that wait and the high-water mark. Never runs anything and never speaks to the network.
//! Invariant: an id is used once; its receipt is kept until an acknowledgement names its digest; an output may be dropped, a receipt never.

mod index;
mod log;
pub(crate) mod record;

#[cfg(test)]
mod tests;

use legator_core::digest::Digest;
use legator_core::ids::TaskId;
use legator_core::time::Timestamp;
use legator_wire::dsse::Envelope;
use legator_wire::keys::{ProbeKey, Signer as _};
use legator_wire::receipt::{Kept, Receipt, Sent};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};

use index::State;
use log::{Guarded, Job, Shared, locked};
use record::Record;

use crate::disk;
use crate::error::ProbeError;

pub use record::{Begun, Content, Expected};

/// Receipts that wait, in bytes with their output; then the oldest output goes.
pub const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Room that is left on disk for others, in bytes.
const RESERVE_BYTES: u64 = 1024 * 1024;
/// A receipt without output, in bytes at most: states before and after, and what belongs to it.
const BARE_BYTES_MAX: usize = 256 * 1024;

/// What is known of an id.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// Nothing.
    New,
    /// It runs.
    Running,
    /// It ended, and this is how.
    Ended(Box<Sent>),
    /// It ended, and the server has the receipt of this digest.
    Settled(Digest),
    /// It was taken back before it came.
    Cancelled,
    /// It came before with other content.
    Other,
}

/// The journal. Clones share it.
#[derive(Clone)]
pub struct Journal {
    shared: Guarded,
    jobs: mpsc::Sender<Job>,
    folder: PathBuf,
    key: ProbeKey,
    held_bytes_max: usize,
}

impl Journal {
    /// Opens the journal of a state folder and starts its writer.
    ///
    /// # Errors
    /// It cannot be read, or is damaged: used ids would be forgotten, so nothing runs.
    pub fn open(state_dir: &Path, key: ProbeKey) -> Result<Self, ProbeError> {
        Self::open_with(state_dir, key, HELD_BYTES_MAX)
    }

    fn open_with(state_dir: &Path, key: ProbeKey, held_bytes_max: usize) -> Result<Self, ProbeError> {
        let path = state_dir.join("journal.log");
        let mut shared = Shared::open(&path)?;
        shared.rewrite().map_err(ProbeError::file("write", &path))?;
        let shared = Arc::new(Mutex::new(shared));
        let (jobs, mut receiver) = mpsc::channel(256);
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("journal".into());
        thread
            .spawn(move || log::write_all(&writer, &mut receiver))
            .map_err(|error| ProbeError::Journal(error.to_string()))?;
        Ok(Self { shared, jobs, folder: state_dir.to_path_buf(), key, held_bytes_max })
    }

    async fn append(&self, record: Record, durable: bool) -> Result<(), ProbeError> {
        let (done, answer) = oneshot::channel();
        let closed = || ProbeError::Journal("its writer ended".into());
        self.jobs.send(Job { record, durable, done }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?.map_err(|error| ProbeError::Journal(error.to_string()))
    }

    /// The latest time in any authority envelope so far.
    pub fn high_water(&self) -> Timestamp {
        locked(&self.shared).index.high_water()
    }

    /// What is known of an id that comes with this content.
    pub fn known(&self, task: TaskId, content: &Content) -> Known {
        let shared = locked(&self.shared);
        let Some(entry) = shared.index.entries.get(&task) else { return Known::New };
        if entry.content.is_some_and(|known| known != *content) {
            return Known::Other;
        }
        match &entry.state {
            State::Running(..) => Known::Running,
            State::Settled(receipt, place) => {
                match place.and_then(|(offset, bytes)| shared.read(offset, bytes)) {
                    Some(Record::Ended { sent, .. }) => Known::Ended(sent),
                    _ => Known::Settled(*receipt),
                }
            }
            State::Cancelled => Known::Cancelled,
            State::Held(held) => match shared.read(held.offset, held.bytes) {
                Some(Record::Ended { sent, .. }) => Known::Ended(sent),
                // It cannot be read back at the moment: still used, so it does not run.
                _ => Known::Running,
            },
        }
    }

    /// Whether a receipt with so much output will find room, if need be without older output.
    pub fn has_room(&self, output_bytes: usize) -> bool {
        let line = output_bytes / 3 * 4 + BARE_BYTES_MAX;
        let bare: usize = locked(&self.shared)
            .index
            .waiting()
            .iter()
            .map(|(_, held)| held.bytes - held.output / 3 * 4)
            .sum();
        disk::available(&self.folder) >= line as u64 + RESERVE_BYTES && bare + line <= self.held_bytes_max
    }

    /// Marks a task as started, durably. From here on its id is used.
    ///
    /// # Errors
    /// It could not be written: nothing may run.
    pub async fn begin(&self, begun: Begun) -> Result<(), ProbeError> {
        self.append(Record::Begun(Box::new(begun)), true).await
    }

    /// Notes what a started task expects of the next boot, durably.
    ///
    /// # Errors
    /// It could not be written: the reboot must not happen.
    pub async fn expect(&self, task: TaskId, expected: Expected) -> Result<(), ProbeError> {
        self.append(Record::Expects { task, expected }, true).await
    }

    /// Keeps a receipt, durably, until it is acknowledged. What is returned is what was kept: without output where there was no room.
    ///
    /// # Errors
    /// Not even the receipt alone could be written.
    pub async fn end(
        &self,
        (task, content): (TaskId, Content),
        expires_at: Timestamp,
        sent: Sent,
    ) -> Result<Sent, ProbeError> {
        let record = |sent: &Sent, formerly| Record::Ended {
            task,
            content,
            expires_at,
            receipt: sent.receipt.digest(),
            formerly,
            sent: Box::new(sent.clone()),
        };
        self.shed_until(sent.stdout.len() + sent.stderr.len()).await;
        if self.append(record(&sent, None), true).await.is_ok() {
            return Ok(sent);
        }
        let bare = self.without_output(&sent).unwrap_or(sent);
        self.append(record(&bare, None), true).await?;
        Ok(bare)
    }

    /// Drops the oldest output until so many bytes more are within the limit.
    async fn shed_until(&self, bytes: usize) {
        let line = bytes / 3 * 4 + BARE_BYTES_MAX;
        loop {
            let waiting = locked(&self.shared).index.waiting();
            let sum: usize = waiting.iter().map(|(_, held)| held.bytes).sum();
            let oldest = waiting.into_iter().find(|(_, held)| held.output > 0);
            let Some((task, held)) = oldest.filter(|_| sum + line > self.held_bytes_max) else { return };
            let Some(Record::Ended { content, expires_at, receipt, sent, .. }) =
                locked(&self.shared).read(held.offset, held.bytes)
            else {
                return;
            };
            let Some(bare) = self.without_output(&sent) else { return };
            let record = Record::Ended {
                task,
                content,
                expires_at,
                receipt: bare.receipt.digest(),
                formerly: Some(receipt),
                sent: Box::new(bare),
            };
            if self.append(record, false).await.is_err() {
                return;
            }
        }
    }

    /// The same receipt, signed again, over no output and saying so.
    fn without_output(&self, sent: &Sent) -> Option<Sent> {
        let mut receipt: Receipt = sent.receipt.open(&self.key.public()).ok()?;
        let dropped = |kept: &Kept| Kept { bytes: kept.bytes, truncated: kept.bytes > 0, ..Kept::nothing() };
        receipt.stdout = dropped(&receipt.stdout);
        receipt.stderr = dropped(&receipt.stderr);
        let marker = "the output was dropped on the host: no room";
        receipt.detail =
            Some(receipt.detail.map_or_else(|| marker.to_owned(), |text| format!("{text}; {marker}")));
        let receipt = Envelope::seal(&receipt, &self.key);
        Some(Sent { receipt, stdout: Vec::new(), stderr: Vec::new() })
    }

    /// Forgets a receipt that the server has: only if the digest is its own. Says whether it did.
    pub async fn settle(&self, task: TaskId, receipt: Digest) -> bool {
        let record = {
            let shared = locked(&self.shared);
            let Some(entry) = shared.index.entries.get(&task) else { return false };
            let (State::Held(held), Some(content)) = (&entry.state, entry.content) else { return false };
            if held.receipt != receipt && held.formerly != Some(receipt) {
                return false;
            }
            Record::Settled { task, content, expires_at: entry.expires_at, receipt: held.receipt }
        };
        self.append(record, false).await.is_ok()
    }

    /// Remembers that an id that never came is taken back.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn cancel(&self, task: TaskId, expires_at: Timestamp) -> Result<(), ProbeError> {
        let new = !locked(&self.shared).index.entries.contains_key(&task);
        match new {
            true => self.append(Record::Cancelled { task, expires_at }, true).await,
            false => Ok(()),
        }
    }

    /// Raises the high-water mark; it reaches the disk with the next record that is durable.
    pub async fn raise(&self, to: Timestamp) {
        if to > self.high_water() {
            let _ = self.append(Record::Mark { high_water: to }, false).await;
        }
    }

    /// Ids whose receipts wait, the oldest first.
    pub fn waiting(&self) -> Vec<TaskId> {
        locked(&self.shared).index.waiting().into_iter().map(|(task, _)| task).collect()
    }

    /// A receipt that waits.
    pub fn receipt(&self, task: TaskId) -> Option<Sent> {
        let shared = locked(&self.shared);
        let entry = shared.index.entries.get(&task)?;
        let State::Held(held) = &entry.state else { return None };
        match shared.read(held.offset, held.bytes)? {
            Record::Ended { sent, .. } => Some(*sent),
            _ => None,
        }
    }

    /// Tasks that began and did not end: right after opening, those that a crash or a reboot cut off.
    pub fn unfinished(&self) -> Vec<(Begun, Option<Expected>)> {
        let shared = locked(&self.shared);
        let running = shared.index.entries.values().filter_map(|entry| match &entry.state {
            State::Running(begun, expected) => Some((Begun::clone(begun), expected.clone())),
            _ => None,
        });
        running.collect()
    }
}
