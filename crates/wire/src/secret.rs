//! Secret values on their way: what a box of them is, and what it is bound to.
//!
//! Owns the form and the labels of the boxes. Never makes or opens one: that takes randomness, or a secret key.
//! Invariant: a box is HPKE (RFC 9180, base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305) to one key, bound to one plan and one task.

use crate::dsse::b64;
use legator_core::digest::Digest;
use legator_core::ids::{PlanId, TaskId};
use serde::{Deserialize, Serialize};

/// The label of boxes to a host.
pub const TO_HOST: &[u8] = b"legator secret arguments to a host v1";
/// The label of boxes that wait in the database.
pub const AT_REST: &[u8] = b"legator secret arguments at rest v1";

/// Bytes that one key opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxed {
    /// The encapsulated key.
    #[serde(with = "b64")]
    pub enc: Vec<u8>,
    /// The sealed bytes: JSON of `legator_core::verbs::Secrets`.
    #[serde(with = "b64")]
    pub sealed: Vec<u8>,
}

/// What a box to a host is bound to.
pub fn bound_to_task(plan: &Digest, task: TaskId) -> Vec<u8> {
    format!("{plan}\n{task}").into_bytes()
}

/// What a box at rest is bound to.
pub fn bound_to_plan(plan: PlanId) -> Vec<u8> {
    plan.to_string().into_bytes()
}
