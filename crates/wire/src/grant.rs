//! The permission to do a task, and the check that a probe makes before it acts.
//!
//! Owns the payload, what is delivered with it, and `check`. Never asks the clock or the disk: the host's facts are a parameter.
//! Invariant: a `Checked` exists only for a delivery that passed every check here; use of an id is checked by the probe's journal.

use crate::approval::{self, Subject, Vote};
use crate::dsse::{Envelope, Payload, Unsealed, b64};
use crate::keys::PublicKey;
use crate::order::Limits;
use crate::refusal::Refusal;
use crate::secret::Boxed;
use legator_core::digest::Digest;
use legator_core::ids::{ApprovalId, HostId, PersonId};
use legator_core::level::Level;
use legator_core::merkle;
use legator_core::plan::{Leaf, Plan};
use legator_core::span::Span;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How far a host's clock may be off before it only reads: 60 s.
pub const SKEW_MAX: Span = Span::from_secs(60);

/// An approval that the authority counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Its id.
    pub approval: ApprovalId,
    /// Whose it is.
    pub person: PersonId,
    /// The fingerprint of the person's own key, where it is signed by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// `self_approved` or `break_glass`, where it is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// The permission for some hosts of a plan, signed by the authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The version of this form: 1.
    pub v: u8,
    /// The installation.
    pub installation: String,
    /// The plan's digest.
    pub plan: Digest,
    /// The first leaf that it is for.
    pub first: u32,
    /// How many leaves, from the first, it is for.
    pub count: u32,
    /// Not to start before.
    pub not_before: Timestamp,
    /// Not to start at or after.
    pub expires_at: Timestamp,
    /// The version of the limits that its hosts must keep; zero for none.
    pub limits_version: u64,
    /// The approvals that were counted.
    pub counted: Vec<Counted>,
    /// When it was sealed.
    pub made_at: Timestamp,
}

impl Payload for Grant {
    const TYPE: &'static str = "application/vnd.legator.grant.v1+json";
}

/// A grant with all that is needed to check it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The grant.
    pub grant: Envelope,
    /// The plan's bytes.
    #[serde(with = "b64")]
    pub plan: Vec<u8>,
    /// This host's leaf.
    pub leaf: Leaf,
    /// That the leaf is under the plan's root.
    pub proof: Vec<Digest>,
    /// Approvals signed by persons' own keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Envelope>,
    /// The host's limits, where the grant names a version of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Envelope>,
    /// The values of secret arguments, sealed to this host's key; the plan commits to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Boxed>,
}

/// An approver of a host's own list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approver {
    /// Who, in the words of the host's own file: one person counts once.
    pub person: String,
    /// The person's public keys.
    pub keys: Vec<PublicKey>,
}

/// What a host knows of itself when it checks.
#[derive(Debug, Clone)]
pub struct HostFacts<'a> {
    /// The installation that it belongs to.
    pub installation: &'a str,
    /// The pinned authority.
    pub authority: &'a PublicKey,
    /// Its id.
    pub host: HostId,
    /// Its key.
    pub key: &'a PublicKey,
    /// Its clock.
    pub now: Timestamp,
    /// The latest time in any authority envelope so far.
    pub high_water: Timestamp,
    /// How far its clock is off, as measured against the edge.
    pub skew: Span,
    /// The limits that it keeps.
    pub limits: Option<&'a Limits>,
    /// `max_level` of its own file.
    pub max_level: Level,
    /// Approvers of its own file.
    pub approvers: &'a [Approver],
    /// How many of them it demands; at least one when it lists any.
    pub quorum: u8,
}

/// A delivery that passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The plan.
    pub plan: Plan,
    /// This host's leaf.
    pub leaf: Leaf,
    /// The digest of the grant's payload.
    pub grant: Digest,
    /// When the grant was sealed: the new high-water mark, if it is later.
    pub made_at: Timestamp,
    /// Persons of the host's own list whose signatures were counted.
    pub quorum: Vec<String>,
}

/// Checks a delivery against what the host knows. Limits that came with it have to be taken in before.
pub fn check(delivery: &Delivery, host: &HostFacts<'_>) -> Result<Checked, Refusal> {
    let grant = delivery.grant.open::<Grant>(host.authority).map_err(|unsealed| match unsealed {
        Unsealed::Payload(_) => Refusal::Malformed,
        _ => Refusal::BadSignature,
    })?;
    if grant.v != 1 {
        return Err(Refusal::Malformed);
    }
    if grant.installation != host.installation {
        return Err(Refusal::OtherInstallation);
    }
    let plan = check_plan(delivery, &grant, host)?;
    check_leaf(delivery, &grant, &plan, host)?;
    check_times(&grant, &plan, host)?;
    check_limits(&grant, &plan, host)?;
    let quorum = check_quorum(delivery, &plan, host)?;
    let leaf = delivery.leaf.clone();
    Ok(Checked { plan, leaf, grant: delivery.grant.digest(), made_at: grant.made_at, quorum })
}

fn check_plan(delivery: &Delivery, grant: &Grant, host: &HostFacts<'_>) -> Result<Plan, Refusal> {
    if Digest::of(&delivery.plan) != grant.plan {
        return Err(Refusal::OtherPlan);
    }
    let plan = Plan::parse(delivery.plan.clone()).map_err(|_| Refusal::Malformed)?;
    if plan.body().installation != host.installation {
        return Err(Refusal::OtherInstallation);
    }
    Ok(plan)
}

fn check_leaf(delivery: &Delivery, grant: &Grant, plan: &Plan, host: &HostFacts<'_>) -> Result<(), Refusal> {
    let leaf = &delivery.leaf;
    if leaf.host != host.host || leaf.key != host.key.hex() {
        return Err(Refusal::OtherHost);
    }
    let (index, size) = (u64::from(leaf.index), u64::from(plan.body().hosts));
    let last = u64::from(grant.first) + u64::from(grant.count);
    let in_range = u64::from(grant.first) <= index && index < last && last <= size;
    if !in_range || !merkle::included(&leaf.hash(), index, size, &delivery.proof, &plan.body().root) {
        return Err(Refusal::BadLeaf);
    }
    Ok(())
}

fn check_times(grant: &Grant, plan: &Plan, host: &HostFacts<'_>) -> Result<(), Refusal> {
    let body = plan.body();
    let ends = grant.expires_at.min(body.expires_at);
    if ends <= host.high_water {
        return Err(Refusal::HighWater);
    }
    if ends <= host.now {
        return Err(Refusal::Expired);
    }
    if grant.not_before > host.now + SKEW_MAX || grant.not_before < body.made_at {
        return Err(Refusal::NotYetValid);
    }
    let off = host.skew > SKEW_MAX || grant.made_at.since(host.now) > SKEW_MAX;
    if off && body.level > Level::Observe {
        return Err(Refusal::ClockOff);
    }
    Ok(())
}

fn check_limits(grant: &Grant, plan: &Plan, host: &HostFacts<'_>) -> Result<(), Refusal> {
    let level = plan.body().level;
    if level > host.max_level {
        return Err(Refusal::AboveMaxLevel);
    }
    if host.limits.map_or(0, |limits| limits.version) < grant.limits_version {
        return Err(Refusal::LimitsMissing);
    }
    let Some(limits) = host.limits else { return Ok(()) };
    if level > limits.ceiling {
        return Err(Refusal::AboveCeiling);
    }
    if level > Level::Observe && limits.frozen(host.now).is_some() {
        return Err(Refusal::Frozen);
    }
    Ok(())
}

/// Whose signatures of the host's own list stand under the plan; without a list nobody's are needed.
fn check_quorum(delivery: &Delivery, plan: &Plan, host: &HostFacts<'_>) -> Result<Vec<String>, Refusal> {
    if host.approvers.is_empty() || plan.body().level == Level::Observe {
        return Ok(Vec::new());
    }
    let now = host.now.max(host.high_water);
    let subject = Subject { installation: host.installation, plan: &plan.digest(), now };
    let signed = |envelope: &Envelope, key: &PublicKey| {
        approval::open(envelope, key, subject).is_some_and(|approval| approval.decision == Vote::Approve)
    };
    let votes = |approver: &&Approver| {
        delivery.approvals.iter().any(|envelope| approver.keys.iter().any(|key| signed(envelope, key)))
    };
    let persons: BTreeSet<String> = host.approvers.iter().filter(votes).map(|a| a.person.clone()).collect();
    if persons.len() < usize::from(host.quorum.max(1)) {
        return Err(Refusal::QuorumMissing);
    }
    Ok(persons.into_iter().collect())
}

#[cfg(test)]
mod tests;
