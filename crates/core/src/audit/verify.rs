//! Whether a copy of a log is complete and unchanged, record by record.
//!
//! Owns the findings and what they say. Never checks a signature: a checkpoint that comes in here was opened with a trusted key.
//! Invariant: the first thing that is wrong is named, with its position.

use super::{Checkpoint, Record, leaf, origin};
use crate::digest::Digest;
use crate::event::Event;
use crate::ids::TenantId;
use crate::merkle::{Frontier, Tree};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// How long before a checkpoint an event may have begun that is recorded after it, in milliseconds.
const LATE_MS: i64 = 60_000;
/// The most backdated records that a report names.
const NAMED_MAX: usize = 100;
/// The most checkpoints that may wait for their records.
const WAITING_MAX: usize = 1_000_000;

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A number is left out.
    #[error("record {expected} is missing: after it comes {found}")]
    Missing {
        /// The number that belongs here.
        expected: u64,
        /// The number that is here.
        found: u64,
    },
    /// A number comes again, or out of order.
    #[error("record {found} stands where {expected} belongs: repeated or out of order")]
    Repeated {
        /// The number that belongs here.
        expected: u64,
        /// The number that is here.
        found: u64,
    },
    /// The record is not what was hashed.
    #[error("record {number} was changed: its hash is another")]
    Changed {
        /// Which.
        number: u64,
    },
    /// The record is no event.
    #[error("record {number} is not an event: {why}")]
    NoEvent {
        /// Which.
        number: u64,
        /// Why.
        why: String,
    },
    /// The record belongs to another tenant.
    #[error("record {number} belongs to {tenant}, not to this log")]
    OtherTenant {
        /// Which.
        number: u64,
        /// Whose it is.
        tenant: TenantId,
    },
    /// Records do not have the root that was signed; their own hashes were made to fit.
    #[error(
        "records {from} to {to} are not those that were signed: the checkpoint of size {size} has another root"
    )]
    Root {
        /// The first record since the last checkpoint that holds.
        from: u64,
        /// The last record under the checkpoint.
        to: u64,
        /// Its size.
        size: u64,
    },
    /// Two checkpoints of one size have two roots.
    #[error("the log was forked: there are two signed roots of its first {size} records")]
    Forked {
        /// How many records.
        size: u64,
    },
    /// A checkpoint covers records that are not here.
    #[error("the end is missing: {size} records were signed, only the first {records} are here")]
    Truncated {
        /// How many were signed.
        size: u64,
        /// How many are here.
        records: u64,
    },
    /// A checkpoint of another log.
    #[error("a checkpoint of another log: {found:?} where {wanted:?} belongs")]
    OtherLog {
        /// What it names.
        found: String,
        /// What belongs here.
        wanted: String,
    },
    /// A checkpoint without a signature of a trusted key.
    #[error("line {line}: a checkpoint that no trusted key signed")]
    Unsigned {
        /// The line of the export, from 1.
        line: u64,
    },
    /// A key line that the pinned authority did not sign.
    #[error("line {line}: a checkpoint key that the pinned authority did not sign")]
    Key {
        /// The line of the export, from 1.
        line: u64,
    },
    /// A line that is none of an export.
    #[error("line {line} does not parse: {why}")]
    Line {
        /// The line of the export, from 1.
        line: u64,
        /// Why.
        why: String,
    },
    /// There are records and no checkpoint at all.
    #[error("no checkpoint covers any of the {records} records")]
    NoCheckpoint {
        /// How many there are.
        records: u64,
    },
}

/// What is known about the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything that was signed up to a remembered checkpoint is here.
    Proven,
    /// Nothing was remembered: later records may have been cut off together with their checkpoints.
    Unproven,
}

/// What a complete verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many records there are.
    pub records: u64,
    /// How many of them a signed checkpoint covers.
    pub signed: u64,
    /// What is known about the end.
    pub end: End,
    /// Records that are dated more than a minute before a checkpoint which they follow: a clock set back, or backdated. At most 100.
    pub backdated: Vec<u64>,
    /// The newest checkpoint: what to remember.
    pub newest: Option<Checkpoint>,
}

/// Verifies one log, record by record.
#[derive(Debug)]
pub struct Verifier {
    origin: String,
    tenant: TenantId,
    frontier: Frontier,
    waiting: BTreeMap<u64, Checkpoint>,
    good: u64,
    sealed_at: Timestamp,
    remembered: Option<Checkpoint>,
    backdated: Vec<u64>,
    newest: Option<Checkpoint>,
}

impl Verifier {
    /// For the log of `tenant` of an installation.
    pub fn new(installation: &str, tenant: TenantId) -> Self {
        Self::of_origin(origin(installation, tenant), tenant)
    }

    /// For the log with this origin.
    pub fn of_origin(origin: String, tenant: TenantId) -> Self {
        Self {
            origin,
            tenant,
            frontier: Frontier::new(),
            waiting: BTreeMap::new(),
            good: 0,
            sealed_at: Timestamp::EPOCH,
            remembered: None,
            backdated: Vec::new(),
            newest: None,
        }
    }

    /// Demands that the log continues this checkpoint, which was verified before.
    pub fn since(&mut self, remembered: Checkpoint) -> Result<(), Broken> {
        self.checkpoint(remembered.clone())?;
        self.remembered = Some(remembered);
        Ok(())
    }

    /// The next record.
    pub fn record(&mut self, record: &Record) -> Result<(), Broken> {
        let (expected, found) = (self.frontier.size() + 1, record.number);
        if found > expected {
            return Err(Broken::Missing { expected, found });
        }
        if found < expected {
            return Err(Broken::Repeated { expected, found });
        }
        let hash = leaf(found, self.tenant, &record.event);
        let event: Event = serde_json::from_str(&record.event)
            .map_err(|why| Broken::NoEvent { number: found, why: why.to_string() })?;
        if event.tenant != self.tenant {
            return Err(Broken::OtherTenant { number: found, tenant: event.tenant });
        }
        if hash != record.leaf {
            return Err(Broken::Changed { number: found });
        }
        if event.at.millis().saturating_add(LATE_MS) < self.sealed_at.millis()
            && self.backdated.len() < NAMED_MAX
        {
            self.backdated.push(found);
        }
        self.frontier.push(hash);
        match self.waiting.remove(&self.frontier.size()) {
            Some(checkpoint) => self.compare(checkpoint),
            None => Ok(()),
        }
    }

    /// A checkpoint that a trusted key signed, in any place before the end.
    pub fn checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), Broken> {
        if checkpoint.origin != self.origin {
            return Err(Broken::OtherLog { found: checkpoint.origin, wanted: self.origin.clone() });
        }
        let size = checkpoint.tree.size;
        if let Some(there) = self.waiting.get(&size) {
            return if there.tree == checkpoint.tree { Ok(()) } else { Err(Broken::Forked { size }) };
        }
        if size == self.frontier.size() {
            return self.compare(checkpoint);
        }
        if size < self.frontier.size() {
            // Only one that came before can be late, and then it was compared in its place.
            let same = self.newest.as_ref().is_some_and(|newest| newest.tree == checkpoint.tree);
            return if same {
                Ok(())
            } else {
                Err(Broken::Repeated { expected: self.frontier.size(), found: size })
            };
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.insert(size, checkpoint);
        }
        Ok(())
    }

    fn compare(&mut self, checkpoint: Checkpoint) -> Result<(), Broken> {
        let size = checkpoint.tree.size;
        let root: Digest = self.frontier.root();
        if (Tree { size: self.frontier.size(), root }) != checkpoint.tree {
            let known = self.newest.as_ref().is_some_and(|newest| newest.tree.size == size);
            if known || size == self.good {
                return Err(Broken::Forked { size });
            }
            return Err(Broken::Root { from: self.good + 1, to: size, size });
        }
        self.good = size;
        self.sealed_at = self.sealed_at.max(checkpoint.at);
        self.newest = Some(checkpoint);
        Ok(())
    }

    /// After the last line.
    pub fn finish(self) -> Result<Report, Broken> {
        let records = self.frontier.size();
        if let Some(size) = self.waiting.keys().next_back() {
            return Err(Broken::Truncated { size: *size, records });
        }
        if records > 0 && self.newest.is_none() {
            return Err(Broken::NoCheckpoint { records });
        }
        let end = if self.remembered.is_some() { End::Proven } else { End::Unproven };
        Ok(Report { records, signed: self.good, end, backdated: self.backdated, newest: self.newest })
    }
}
