//! How a probe proves on a new connection that it is its host.
//!
//! Owns the payload. Invariant: the signature covers the edge and the nonce of this very connection, so it opens no other.

use crate::dsse::Payload;
use legator_core::cage::CageReport;
use legator_core::ids::{HostId, InstanceId, TaskId};
use legator_core::level::Level;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Tasks named in one hello, at most.
pub const HELLO_TASKS_MAX: usize = 256;

/// What a probe says first, signed by its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The installation that it belongs to.
    pub installation: String,
    /// The host that it is.
    pub host: HostId,
    /// The edge that asked.
    pub edge: InstanceId,
    /// The nonce of that edge, 64 hex digits.
    pub nonce: String,
    /// This run of the probe's process.
    pub instance: InstanceId,
    /// The machine's hostname, as it calls itself.
    pub hostname: String,
    /// The probe's version.
    pub version: String,
    /// What the kernel can hold back here.
    pub cage: CageReport,
    /// The highest level of the host's own file.
    pub max_level: Level,
    /// The version of the limits that it keeps.
    pub limits_version: u64,
    /// Tasks that run now.
    pub running: Vec<TaskId>,
    /// When, by the host's clock.
    pub made_at: Timestamp,
}

impl Payload for Hello {
    const TYPE: &'static str = "application/vnd.legator.hello.v1+json";
}
