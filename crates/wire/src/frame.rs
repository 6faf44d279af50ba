//! Frames: one JSON text a WebSocket message, tagged by `kind`.
//!
//! Owns both directions and their limits. A frame that does not parse closes the connection of whoever sent it.

use crate::dsse::{Envelope, b64};
use crate::grant::Delivery;
use crate::receipt::Sent;
use legator_core::ids::{InstanceId, PlanId, TaskId};
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The largest frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// The largest frame of someone who has not proven its key, in bytes.
pub const UNPROVEN_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one frame of live output, at most.
pub const OUTPUT_FRAME_BYTES_MAX: usize = 64 * 1024;

/// Which stream of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of live output. Lossy: the receipt has the final word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The plan, for whom it is published.
    pub plan: PlanId,
    /// The task.
    pub task: TaskId,
    /// The stream.
    pub stream: Stream,
    /// Where in the stream it begins, in bytes.
    pub offset: u64,
    /// The bytes.
    #[serde(with = "b64")]
    pub bytes: Vec<u8>,
}

/// Figures of a host, each 30 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beat {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// The figures.
    pub metrics: legator_core::health::Metrics,
}

/// From edge to probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Down {
    /// First: prove your key over this.
    Challenge {
        /// The edge's run.
        edge: InstanceId,
        /// 64 hex digits, fresh for this connection.
        nonce: String,
    },
    /// You are admitted.
    Welcome {
        /// The session's epoch: rises with each session of the host.
        epoch: u64,
        /// Send a beat this often, in milliseconds.
        beat_ms: u64,
        /// The edge's clock.
        now: Timestamp,
    },
    /// Do this.
    Grant(Box<Delivery>),
    /// Stop that: an envelope of `order::Cancel`.
    Cancel {
        /// Signed by the authority.
        envelope: Envelope,
    },
    /// Hold to these: an envelope of `order::Limits`.
    Limits {
        /// Signed by the authority.
        envelope: Envelope,
    },
    /// Forget that receipt: an envelope of `order::Ack`.
    Ack {
        /// Signed by the authority.
        envelope: Envelope,
    },
    /// Go, and come back later.
    After {
        /// In so many milliseconds.
        ms: u64,
    },
    /// You are not admitted.
    Denied {
        /// A stable word: bad-credential, revoked, bad-signature, cloned, busy, malformed.
        code: String,
    },
}

/// From probe to edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Up {
    /// First: the credential and the signed `hello::Hello`.
    Hello {
        /// The JWT.
        credential: String,
        /// Signed by the probe.
        envelope: Envelope,
    },
    /// Figures.
    Beat(Beat),
    /// What the host is: an envelope of `inventory::Inventory`.
    Inventory {
        /// Signed by the probe.
        envelope: Envelope,
    },
    /// A task is on disk as started.
    Started {
        /// Its plan.
        plan: PlanId,
        /// The task.
        task: TaskId,
    },
    /// A grant is given back unseen: there are too many.
    Busy {
        /// The task.
        task: TaskId,
    },
    /// A piece of live output.
    Output(Output),
    /// How a task ended.
    Receipt(Box<Sent>),
}

impl Up {
    /// The frame in this text, if it is one and not too large.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > FRAME_BYTES_MAX {
            return Err(format!("a frame of {} bytes is larger than {FRAME_BYTES_MAX}", text.len()));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

impl Down {
    /// The frame in this text, if it is one and not too large.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > FRAME_BYTES_MAX {
            return Err(format!("a frame of {} bytes is larger than {FRAME_BYTES_MAX}", text.len()));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// A frame as text.
pub fn text(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).unwrap_or_default()
}
