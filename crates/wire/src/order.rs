//! What the authority tells a probe besides grants: cancel, limits, and that a receipt is kept.
//!
//! Owns these payloads. Invariant: each names the host it is for, so that none can be turned to another.

use crate::dsse::Payload;
use legator_core::digest::Digest;
use legator_core::ids::{FreezeId, HostId, TaskId};
use legator_core::level::Level;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Stop a task: kill it if it runs, do not start it if it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// The installation.
    pub installation: String,
    /// The host.
    pub host: HostId,
    /// The task.
    pub task: TaskId,
    /// When.
    pub made_at: Timestamp,
}

impl Payload for Cancel {
    const TYPE: &'static str = "application/vnd.legator.cancel.v1+json";
}

/// A window in which nothing but reads runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeWindow {
    /// Its id.
    pub id: FreezeId,
    /// From when.
    pub from: Timestamp,
    /// Until when; not included.
    pub until: Timestamp,
}

/// How much may run on a host, in a version that only rises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The installation.
    pub installation: String,
    /// The host.
    pub host: HostId,
    /// Rises with each change; a lower one is refused.
    pub version: u64,
    /// The highest level that runs.
    pub ceiling: Level,
    /// Freeze windows, open and coming.
    pub freezes: Vec<FreezeWindow>,
    /// When.
    pub made_at: Timestamp,
}

impl Payload for Limits {
    const TYPE: &'static str = "application/vnd.legator.limits.v1+json";
}

impl Limits {
    /// The freeze that is open now.
    pub fn frozen(&self, now: Timestamp) -> Option<&FreezeWindow> {
        self.freezes.iter().find(|window| window.from <= now && now < window.until)
    }
}

/// The store has committed this receipt: the probe may forget it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// The installation.
    pub installation: String,
    /// The host.
    pub host: HostId,
    /// The task.
    pub task: TaskId,
    /// The digest of the receipt's payload.
    pub receipt: Digest,
    /// When.
    pub made_at: Timestamp,
}

impl Payload for Ack {
    const TYPE: &'static str = "application/vnd.legator.ack.v1+json";
}
