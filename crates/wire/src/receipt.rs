//! A probe's signed account of a task, and the output that it proves.
//!
//! Owns the payload and the match of kept output to its digests. Invariant: output without a matching receipt is nobody's.

use crate::dsse::{Envelope, Payload, b64};
use legator_core::digest::Digest;
use legator_core::ids::{HostId, TaskId};
use legator_core::task::Outcome;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most output kept of a task, both streams together, in bytes.
pub const OUTPUT_BYTES_MAX: u32 = 512 * 1024;
/// The largest before-state, after-state or result in a receipt, in bytes of JSON.
pub const STATE_BYTES_MAX: usize = 64 * 1024;

/// What is kept of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Bytes that the command wrote in all.
    pub bytes: u64,
    /// Kept bytes from its beginning; the other kept bytes are from its end.
    pub head: u32,
    /// The digest of the kept bytes.
    pub digest: Digest,
    /// Whether some were dropped.
    pub truncated: bool,
}

impl Kept {
    /// A stream kept whole.
    pub fn whole(bytes: &[u8]) -> Self {
        let head = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self { bytes: bytes.len() as u64, head, digest: Digest::of(bytes), truncated: false }
    }

    /// A stream of nothing.
    pub fn nothing() -> Self {
        Self::whole(b"")
    }
}

/// A probe's account of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The version of this form: 1.
    pub v: u8,
    /// The installation.
    pub installation: String,
    /// The host.
    pub host: HostId,
    /// The task.
    pub task: TaskId,
    /// The plan's digest; of nothing where no plan could be read.
    pub plan: Digest,
    /// The digest of the grant's payload.
    pub grant: Digest,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was refused: a name of `Refusal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In a sentence, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The exit code, where a command ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal, where one ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When it started; absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How long it ran, in milliseconds.
    pub duration_ms: u64,
    /// Standard output.
    pub stdout: Kept,
    /// Standard error.
    pub stderr: Kept,
    /// The state before, where the verb records it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The state after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Whether the verb's post-condition holds; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Persons of the host's own list whose signatures were counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quorum: Vec<String>,
}

impl Payload for Receipt {
    const TYPE: &'static str = "application/vnd.legator.receipt.v1+json";
}

impl Receipt {
    /// A receipt of a task that did nothing: refused, or its end is not known.
    pub fn bare(
        at: (String, HostId),
        of: (TaskId, Digest, Digest),
        outcome: Outcome,
        ended_at: Timestamp,
    ) -> Self {
        let (installation, host) = at;
        let (task, plan, grant) = of;
        Self {
            v: 1,
            installation,
            host,
            task,
            plan,
            grant,
            outcome,
            reason: None,
            detail: None,
            exit_code: None,
            signal: None,
            started_at: None,
            ended_at,
            duration_ms: 0,
            stdout: Kept::nothing(),
            stderr: Kept::nothing(),
            before: None,
            after: None,
            verified: None,
            quorum: Vec::new(),
        }
    }
}

/// A receipt with the kept bytes of both streams beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The receipt.
    pub receipt: Envelope,
    /// Kept standard output.
    #[serde(with = "b64")]
    pub stdout: Vec<u8>,
    /// Kept standard error.
    #[serde(with = "b64")]
    pub stderr: Vec<u8>,
}

impl Sent {
    /// Whether the bytes beside `receipt` are those that it is signed over.
    pub fn is_proven_by(&self, receipt: &Receipt) -> bool {
        let holds = |kept: &Kept, bytes: &[u8]| kept.digest == Digest::of(bytes);
        let sum = self.stdout.len() + self.stderr.len();
        holds(&receipt.stdout, &self.stdout)
            && holds(&receipt.stderr, &self.stderr)
            && sum <= OUTPUT_BYTES_MAX as usize
    }
}
