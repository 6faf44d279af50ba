//! What edges, workers and the API tell each other over the bus, as JSON.
//!
//! Owns the bodies of the subjects `legator.enrol`, `…edge.*`, `…host.*.up.*`. Never speaks for a host: what a host says stays in the
//! envelope that its probe signed. Invariant: nothing here is believed because of where it came from, except an edge's word about liveness.

use crate::credential::Admission;
use crate::dsse::Envelope;
use crate::frame::Down;
use crate::keys::PublicKey;
use crate::receipt::Sent;
use legator_core::error::{ErrorKind, Failure};
use legator_core::health::Metrics;
use legator_core::ids::{HostId, InstanceId, PlanId, TaskId, TenantId, TraceId};
use legator_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Sessions in one aggregated beat, at most.
pub const BEAT_SESSIONS_MAX: usize = 2_000;

/// Asked at `legator.enrol`; answered with `Joined`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Joining {
    /// A new probe.
    Enrol {
        /// An envelope of `credential::Enrolment`.
        envelope: Envelope,
        /// The request.
        trace: TraceId,
    },
    /// An enrolled probe that wants a fresh credential.
    Renew {
        /// An envelope of `credential::Renewal`.
        envelope: Envelope,
        /// The request.
        trace: TraceId,
    },
}

/// The answer to `Joining`.
pub type Joined = Result<Admission, NotAdmitted>;

/// Why a probe is not admitted by enrolment or renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotAdmitted {
    /// Not what an enrolment or a renewal is, or a field beyond its limits.
    Malformed,
    /// Not signed by the key that it names.
    BadSignature,
    /// No such registration token, or not its secret.
    BadToken,
    /// The token was used as often as it may be.
    TokenUsed,
    /// The token's time is over, or it was withdrawn.
    TokenExpired,
    /// The key belongs to a host that was enrolled with another token.
    KeyTaken,
    /// No such host, or it was removed.
    UnknownHost,
    /// The host was revoked.
    Revoked,
    /// The host's clock is more than 10 minutes off.
    ClockOff,
    /// The store is away; the same again may succeed.
    Away,
}

impl NotAdmitted {
    /// The same as it is told over HTTP.
    pub fn failure(self) -> Failure {
        let (kind, code, detail, hint) = self.words();
        Failure::new(kind, code, detail).hint(hint)
    }

    const fn words(self) -> (ErrorKind, &'static str, &'static str, &'static str) {
        use ErrorKind as K;
        match self {
            Self::Malformed => (
                K::Invalid,
                "malformed",
                "this is no enrolment, or a name or label in it is not allowed",
                "names and labels are letters, digits and . - _; level, tenant and the like are no labels",
            ),
            Self::BadSignature => (
                K::Unauthenticated,
                "bad-signature",
                "not signed by the key that it names",
                "start the probe again",
            ),
            Self::BadToken => (
                K::Unauthenticated,
                "bad-token",
                "no such registration token",
                "make one with POST /api/v1/tokens and copy it whole",
            ),
            Self::TokenUsed => (
                K::Conflict,
                "token-used",
                "the registration token was used before",
                "make another one for this machine",
            ),
            Self::TokenExpired => {
                (K::Expired, "token-expired", "the registration token is no longer valid", "make another one")
            }
            Self::KeyTaken => (
                K::Conflict,
                "key-taken",
                "this key belongs to a host that is enrolled already",
                "keep the state folder and start without a token, or remove the folder to join as a new host",
            ),
            Self::UnknownHost => (
                K::Unauthenticated,
                "unknown-host",
                "no such host is enrolled here",
                "join again with a new token",
            ),
            Self::Revoked => (K::Forbidden, "host-revoked", "this host was revoked", "ask who runs Legator"),
            Self::ClockOff => (
                K::Invalid,
                "clock-off",
                "the host's clock is more than 10 minutes off",
                "set the clock of the host and try again",
            ),
            Self::Away => {
                (K::Unavailable, "away", "enrolment is away for the moment", "try again in a few seconds")
            }
        }
    }
}

/// Edge to worker at `…up.hello`: an offline-verified hello. Answered with `HelloAnswer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelloUp {
    /// The edge's run.
    pub edge: InstanceId,
    /// The tenant of the credential.
    pub tenant: TenantId,
    /// The key of the credential.
    pub key: PublicKey,
    /// An envelope of `hello::Hello`, signed by that key.
    pub envelope: Envelope,
}

/// What a worker makes of a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HelloAnswer {
    /// It is a session now.
    Admitted {
        /// Its epoch.
        epoch: u64,
    },
    /// It is not.
    Denied {
        /// A word of `Down::Denied`.
        code: String,
    },
    /// Not now.
    After {
        /// Come back in so many milliseconds.
        ms: u64,
    },
}

/// Edge to worker at `…up.<kind>`: what a proven session said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromHost {
    /// The edge's run.
    pub edge: InstanceId,
    /// The session: what comes from another than the current one is dropped.
    pub epoch: u64,
    /// The tenant of the credential.
    pub tenant: TenantId,
    /// What it said.
    pub said: Said,
}

/// What a session says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Said {
    /// How a task ended.
    Receipt(Box<Sent>),
    /// What the host is.
    Inventory {
        /// An envelope of `inventory::Inventory`.
        envelope: Envelope,
    },
    /// A task is on disk as started.
    Started {
        /// Its plan.
        plan: PlanId,
        /// The task.
        task: TaskId,
    },
    /// A grant is given back unseen.
    Busy {
        /// The task.
        task: TaskId,
    },
    /// The connection is gone: the edge's word.
    Bye,
    /// Something that only an attacker or a broken program sends: the edge's word.
    Odd {
        /// A stable word for it.
        what: String,
    },
}

/// Worker to edge at `…cmd`. Answered with `Heard`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Only for this session of the host; for whichever there is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// What to do.
    pub order: Order,
}

/// What an edge does for a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Order {
    /// Send this frame.
    Send {
        /// The frame.
        frame: Box<Down>,
    },
    /// Close the session, when its epoch is below this one.
    Fence {
        /// The epoch of the new session.
        epoch: u64,
    },
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heard {
    /// It is in the session's queue.
    Queued,
    /// No such session is here.
    NotHere,
    /// The session's queue is full.
    Full,
}

/// Edge to worker at `…sync`: what do I have to know?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncAsk {
    /// The edge's run.
    pub edge: InstanceId,
    /// Revocations up to this version are known.
    pub since: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncAnswer {
    /// The version of the list of revocations.
    pub version: u64,
    /// The installation.
    pub installation: String,
    /// Keys that sign credentials.
    pub authorities: Vec<PublicKey>,
    /// Hosts that were revoked or removed and whose credentials may still be good: the whole list.
    pub revoked: Vec<HostId>,
}

/// Edge to worker at `…beat`, each second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeatUp {
    /// The edge's run.
    pub edge: InstanceId,
    /// Sessions that were heard since the last one, at most `BEAT_SESSIONS_MAX`.
    pub pulses: Vec<Pulse>,
}

/// A sign of life of one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pulse {
    /// The host.
    pub host: HostId,
    /// Its session.
    pub epoch: u64,
    /// When it was heard, by the edge's clock.
    pub seen_at: Timestamp,
    /// How far the host's clock is ahead of the edge's, in milliseconds.
    pub clock_ahead_ms: i64,
    /// Its figures.
    pub metrics: Metrics,
}

/// The answer to a beat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeatAnswer {
    /// The version of the list of revocations: newer than known means sync.
    pub version: u64,
}

/// A body as bytes.
pub fn pack(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

/// A body from bytes; nothing when it is none.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}
