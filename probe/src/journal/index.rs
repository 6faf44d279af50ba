//! What the journal knows, in memory: each used id, where its receipt stands, and the high-water mark.
//!
//! Owns the fold of records into entries. Pure but for nothing: no file is touched here.
//! Invariant: an id that was used stays known until its plan's expiry lies before the high-water mark.

use legator_core::digest::Digest;
use legator_core::ids::TaskId;
use legator_core::time::Timestamp;
use std::collections::BTreeMap;

use super::record::{Begun, Content, Expected, Record};

/// Where a receipt stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) offset: u64,
    pub(super) bytes: usize,
    /// Bytes that dropping its output would free.
    pub(super) output: usize,
    pub(super) receipt: Digest,
    pub(super) formerly: Option<Digest>,
    /// The order in which receipts were made.
    pub(super) order: u64,
}

/// How far a used id is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Running(Box<Begun>, Option<Expected>),
    Held(Held),
    /// With the place of the receipt, until the log is rewritten.
    Settled(Digest, Option<(u64, usize)>),
    Cancelled,
}

/// A used id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) content: Option<Content>,
    pub(super) expires_at: Timestamp,
    pub(super) state: State,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) entries: BTreeMap<TaskId, Entry>,
    pub(super) high_water: Option<Timestamp>,
    orders: u64,
}

impl Index {
    /// The latest time in any authority envelope so far.
    pub(super) fn high_water(&self) -> Timestamp {
        self.high_water.unwrap_or(Timestamp::EPOCH)
    }

    pub(super) fn raise(&mut self, to: Timestamp) {
        self.high_water = Some(self.high_water().max(to));
    }

    /// Takes in a record that stands at `offset` in the log.
    pub(super) fn fold(&mut self, record: &Record, offset: u64, bytes: usize) {
        match record {
            Record::Begun(begun) => {
                self.raise(begun.sealed_at);
                let state = State::Running(begun.clone(), None);
                self.put(begun.task, Some(begun.content), (begun.expires_at, state));
            }
            Record::Expects { task, expected } => {
                if let Some(Entry { state: State::Running(_, pending), .. }) = self.entries.get_mut(task) {
                    *pending = Some(expected.clone());
                }
            }
            Record::Ended { task, content, expires_at, receipt, formerly, sent } => {
                let order = self.order_of(*task);
                let output = sent.stdout.len() + sent.stderr.len();
                let held = Held { offset, bytes, output, receipt: *receipt, formerly: *formerly, order };
                self.put(*task, Some(*content), (*expires_at, State::Held(held)));
            }
            Record::Settled { task, content, expires_at, receipt } => {
                let place = match self.entries.get(task).map(|entry| &entry.state) {
                    Some(State::Held(held)) => Some((held.offset, held.bytes)),
                    _ => None,
                };
                self.put(*task, Some(*content), (*expires_at, State::Settled(*receipt, place)));
            }
            Record::Cancelled { task, expires_at } => self.put(*task, None, (*expires_at, State::Cancelled)),
            Record::Mark { high_water } => self.raise(*high_water),
        }
    }

    /// A receipt whose output was dropped keeps its place.
    fn order_of(&mut self, task: TaskId) -> u64 {
        if let Some(Entry { state: State::Held(held), .. }) = self.entries.get(&task) {
            return held.order;
        }
        self.orders += 1;
        self.orders
    }

    fn put(&mut self, task: TaskId, content: Option<Content>, (expires_at, state): (Timestamp, State)) {
        self.entries.insert(task, Entry { content, expires_at, state });
    }

    /// Receipts that wait, the oldest first.
    pub(super) fn waiting(&self) -> Vec<(TaskId, Held)> {
        let mut held: Vec<(TaskId, Held)> = self
            .entries
            .iter()
            .filter_map(|(task, entry)| match &entry.state {
                State::Held(held) => Some((*task, held.clone())),
                _ => None,
            })
            .collect();
        held.sort_by_key(|(_, held)| held.order);
        held
    }

    /// Ids that time alone refuses by now.
    pub(super) fn forget_expired(&mut self) {
        let mark = self.high_water();
        let keep = |entry: &Entry| match entry.state {
            State::Running(..) | State::Held(_) => true,
            State::Settled(..) | State::Cancelled => entry.expires_at > mark,
        };
        self.entries.retain(|_, entry| keep(entry));
    }
}
