//! Lines of the journal: a check value, a space, one JSON record.
//!
//! Owns their form. Invariant: a line whose check value does not fit is not read; only the last line of a file may be such a one.

use legator_core::digest::Digest;
use legator_core::ids::{PlanId, TaskId};
use legator_core::time::Timestamp;
use legator_wire::receipt::Sent;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest line, in bytes: a receipt with all its output.
pub(super) const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;
const CHECK_DIGITS: usize = 16;

/// What makes two deliveries the same: the plan's bytes and this host's leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The plan's digest.
    pub plan: Digest,
    /// The leaf's hash.
    pub leaf: Digest,
}

/// A task that begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// The task.
    pub task: TaskId,
    /// What it is.
    pub content: Content,
    /// Its plan.
    pub plan: PlanId,
    /// The digest of its grant's payload.
    pub grant: Digest,
    /// The verb.
    pub verb: String,
    /// After this the same grant is refused by time alone.
    pub expires_at: Timestamp,
    /// When it began.
    pub at: Timestamp,
    /// When its grant was sealed.
    pub sealed_at: Timestamp,
    /// Persons of the host's own list whose signatures were counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quorum: Vec<String>,
}

/// A task that ends this boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The boot that it ends.
    pub boot: String,
    /// The state before.
    pub before: Option<Value>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "r", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Record {
    /// On disk before the effect.
    Begun(Box<Begun>),
    /// On disk before the reboot.
    Expects { task: TaskId, expected: Expected },
    /// On disk before it is sent.
    Ended {
        task: TaskId,
        content: Content,
        expires_at: Timestamp,
        receipt: Digest,
        /// The digest that it was sent under before its output was dropped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        formerly: Option<Digest>,
        sent: Box<Sent>,
    },
    /// The server has it: only the id is kept.
    Settled { task: TaskId, content: Content, expires_at: Timestamp, receipt: Digest },
    /// It was taken back before it came.
    Cancelled { task: TaskId, expires_at: Timestamp },
    /// The latest time in any authority envelope.
    Mark { high_water: Timestamp },
}

fn check(json: &[u8]) -> String {
    Digest::of(json).hex().chars().take(CHECK_DIGITS).collect()
}

impl Record {
    /// The record as a line.
    pub(crate) fn line(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut line = check(&json).into_bytes();
        line.push(b' ');
        line.extend_from_slice(&json);
        line.push(b'\n');
        line
    }

    /// The record in a line.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n")?;
        let (found, json) = line.split_at_checked(CHECK_DIGITS)?;
        let json = json.strip_prefix(b" ")?;
        (found == check(json).as_bytes()).then(|| serde_json::from_slice(json).ok())?
    }
}
