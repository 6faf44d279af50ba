//! A person's own signature under a plan's digest.
//!
//! Owns the payload and its check. Invariant: it binds installation, plan, decision, person, key and times; none can be exchanged.

use crate::dsse::{Envelope, Payload};
use crate::keys::PublicKey;
use legator_core::digest::Digest;
use legator_core::ids::PersonId;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vote {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

/// What an approver signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The installation.
    pub installation: String,
    /// The plan's digest, computed by the approver's own program.
    pub plan: Digest,
    /// Yes or no.
    pub decision: Vote,
    /// Who.
    pub person: PersonId,
    /// The fingerprint of the key that signs.
    pub key: Digest,
    /// When.
    pub made_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
}

impl Payload for Approval {
    const TYPE: &'static str = "application/vnd.legator.approval.v1+json";
}

/// What a signed approval has to be about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The installation.
    pub installation: &'a str,
    /// The plan.
    pub plan: &'a Digest,
    /// The present moment.
    pub now: Timestamp,
}

/// The approval in `envelope`, if `key` signed it, it is about `subject` and it still counts.
pub fn open(envelope: &Envelope, key: &PublicKey, subject: Subject<'_>) -> Option<Approval> {
    let approval: Approval = envelope.open(key).ok()?;
    let holds = approval.installation == subject.installation
        && approval.plan == *subject.plan
        && approval.key == key.fingerprint()
        && approval.expires_at > subject.now;
    holds.then_some(approval)
}
