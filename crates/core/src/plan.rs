//! A plan: a verb, its arguments and the hosts it is for, fixed once made.
//!
//! Owns the plan's bytes, its digest, the leaf of each host and the states a plan passes through.
//! Invariant: the bytes are made once, stored, sent and hashed as they are; nobody serialises a plan again to check it.

use crate::digest::Digest;
use crate::ids::{HostId, PersonId, PlanId, TaskId, TenantId};
use crate::level::{Effects, Level};
use crate::merkle;
use crate::span::Span;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest plan, in bytes: with its envelope it fits a message of 1 MiB.
pub const PLAN_BYTES_MAX: usize = 512 * 1024;
/// The most hosts of one plan.
pub const PLAN_HOSTS_MAX: usize = 100_000;

/// How a plan goes through its hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Hosts of one wave.
    pub batch: u32,
    /// Hosts at work at the same time.
    pub max_parallel: u32,
    /// After so many failed hosts no further one is started; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after_failures: Option<u32>,
    /// Rest between two waves.
    #[schemars(with = "String")]
    pub pause: Span,
}

impl Rollout {
    /// Whether every number is in its range: one or more, at most as many as a plan has hosts.
    pub fn is_valid(&self) -> bool {
        let range = 1..=PLAN_HOSTS_MAX as u32;
        range.contains(&self.batch)
            && range.contains(&self.max_parallel)
            && self.stop_after_failures.is_none_or(|failures| range.contains(&failures))
            && self.pause <= Span::from_secs(86_400)
    }
}

/// What is approved and run, without its hosts, which stand in the leaves under `root`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanBody {
    /// The version of this form: 1.
    pub v: u8,
    /// The installation: the fingerprint of its first authority key.
    pub installation: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The plan's id.
    pub plan: PlanId,
    /// The verb.
    pub verb: String,
    /// Its arguments, already parsed once.
    pub args: Value,
    /// The level it runs at.
    pub level: Level,
    /// What it may touch.
    pub effects: Effects,
    /// How it goes through its hosts.
    pub rollout: Rollout,
    /// Who asked.
    pub requester: PersonId,
    /// Why, in the words of who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long the verb may run on a host.
    pub timeout: Span,
    /// How much output is kept of a host, in bytes.
    pub output_bytes_max: u32,
    /// When it was asked for.
    pub made_at: Timestamp,
    /// When approving ends.
    pub decide_by: Timestamp,
    /// The last moment at which a task may start.
    pub expires_at: Timestamp,
    /// Hosts.
    pub hosts: u32,
    /// The RFC 6962 root over the leaves, in their order.
    pub root: Digest,
    /// Makes two plans of the same content differ.
    pub nonce: String,
}

/// One host of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// Its place, from zero.
    pub index: u32,
    /// The task, which is the id of the grant too.
    pub task: TaskId,
    /// The host.
    pub host: HostId,
    /// Its name when the plan was made.
    pub name: String,
    /// The host's public key, 64 hex digits.
    pub key: String,
    /// The digest of the state that the approver was shown, where the verb shows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Digest>,
}

impl Leaf {
    /// Its bytes, which are hashed.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Its hash under a plan's root.
    pub fn hash(&self) -> Digest {
        merkle::leaf_hash(&self.bytes())
    }
}

/// The root over these leaves.
pub fn leaves_root(leaves: &[Leaf]) -> Digest {
    let hashes: Vec<Digest> = leaves.iter().map(Leaf::hash).collect();
    merkle::root(&hashes)
}

/// Why bytes are no plan.
#[derive(Debug, thiserror::Error)]
pub enum BadPlan {
    /// More than `PLAN_BYTES_MAX`.
    #[error("a plan of {0} bytes is larger than {PLAN_BYTES_MAX}")]
    TooLarge(usize),
    /// Not the JSON of a plan.
    #[error("not a plan: {0}")]
    NotJson(#[from] serde_json::Error),
    /// A version this program does not know.
    #[error("a plan of version {0} is not known here")]
    Version(u8),
    /// A number out of its range.
    #[error("the rollout of the plan is out of range")]
    Rollout,
}

/// A plan: its bytes, what they say and their digest, which belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    bytes: Vec<u8>,
    body: PlanBody,
    digest: Digest,
}

impl Plan {
    /// The plan of this body: its bytes are made here, once.
    pub fn make(body: PlanBody) -> Result<Self, BadPlan> {
        let bytes = serde_json::to_vec(&body)?;
        Self::parse(bytes)
    }

    /// The plan that these bytes are.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BadPlan> {
        if bytes.len() > PLAN_BYTES_MAX {
            return Err(BadPlan::TooLarge(bytes.len()));
        }
        let body: PlanBody = serde_json::from_slice(&bytes)?;
        if body.v != 1 {
            return Err(BadPlan::Version(body.v));
        }
        if !body.rollout.is_valid() {
            return Err(BadPlan::Rollout);
        }
        let digest = Digest::of(&bytes);
        Ok(Self { bytes, body, digest })
    }

    /// The bytes as stored and sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What they say.
    pub fn body(&self) -> &PlanBody {
        &self.body
    }

    /// SHA-256 of the bytes: what an approval names.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Where a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanState {
    /// The present state is being read, to show a difference.
    Preparing,
    /// It waits for approvals.
    Pending,
    /// It may run; no host was given to it yet.
    Approved,
    /// Hosts are at it.
    Running,
    /// Every host has ended.
    Finished,
    /// An approver said no.
    Rejected,
    /// Its time was over before it ran.
    Expired,
    /// It was taken back.
    Cancelled,
    /// A policy said no.
    Refused,
}

/// What moves a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanMove {
    /// The present state was read; the policy wants approvals.
    PreparedToPending,
    /// The present state was read; the policy allows.
    PreparedToApproved,
    /// Enough persons said yes.
    Approve,
    /// An approval was revoked before dispatch, and too few are left.
    Unapprove,
    /// A person said no.
    Reject,
    /// Nobody decided in time, or it did not start in time.
    Expire,
    /// It was taken back; of one that runs: the last host has ended after that.
    Cancel,
    /// A policy says no, now.
    Refuse,
    /// The first grant was sealed.
    Start,
    /// The last host has ended.
    Finish,
}

/// A move that a state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a plan that is {from} cannot {by:?}")]
pub struct BadPlanMove {
    /// The state.
    pub from: PlanState,
    /// The move.
    pub by: PlanMove,
}

impl PlanState {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Preparing,
        Self::Pending,
        Self::Approved,
        Self::Running,
        Self::Finished,
        Self::Rejected,
        Self::Expired,
        Self::Cancelled,
        Self::Refused,
    ];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }

    /// Whether nothing moves it any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Rejected | Self::Expired | Self::Cancelled | Self::Refused)
    }

    /// The state after a move.
    pub fn after(self, by: PlanMove) -> Result<Self, BadPlanMove> {
        use PlanMove as M;
        let next = match (self, by) {
            (Self::Preparing, M::PreparedToPending) => Self::Pending,
            (Self::Preparing, M::PreparedToApproved) | (Self::Pending, M::Approve) => Self::Approved,
            (Self::Approved, M::Unapprove) => Self::Pending,
            (Self::Pending | Self::Approved, M::Reject) => Self::Rejected,
            (Self::Preparing | Self::Pending | Self::Approved, M::Expire) => Self::Expired,
            (Self::Preparing | Self::Pending | Self::Approved | Self::Running, M::Cancel) => Self::Cancelled,
            (Self::Preparing | Self::Pending | Self::Approved, M::Refuse) => Self::Refused,
            (Self::Approved, M::Start) => Self::Running,
            (Self::Running | Self::Approved, M::Finish) => Self::Finished,
            (from, by) => return Err(BadPlanMove { from, by }),
        };
        Ok(next)
    }
}

impl std::fmt::Display for PlanState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

impl std::str::FromStr for PlanState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.word() == text);
        found.ok_or_else(|| format!("{text:?} is not a state of a plan"))
    }
}

#[cfg(test)]
mod tests;
