//! What the policy is asked, and which policy.
//!
//! Owns the cache of parsed policies, and what is laid over a policy's answer: without authentication one approval is a quorum, and
//! what the assistant proposes above observe always waits for a person. Invariant: a policy that cannot be read refuses.

use std::sync::{Arc, PoisonError};

use legator_core::decision::{Decision, Effect};
use legator_core::ids::TenantId;
use legator_core::level::Level;
use legator_core::plan::PlanBody;
use legator_core::rights::{HostFacts, RoleOn};
use legator_policy::{Facts, Named, Policy};
use legator_store::policies::InForce;

use crate::Gate;
use crate::caller::{Auth, Cap};
use crate::draft::About;

/// Parsed policies kept in memory, at most.
const CACHED_MAX: usize = 64;

impl Gate {
    /// The policy in force, parsed.
    pub(crate) fn policy(&self, tenant: TenantId, in_force: InForce) -> Arc<Policy> {
        let row = match in_force {
            InForce::BuiltIn => return built_in(),
            InForce::Broken => {
                return Arc::new(Policy::closed(0, "its rows were changed outside Legator"));
            }
            InForce::Version(row) => row,
        };
        let mut cache = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cache.get(&(tenant, row.version)).filter(|known| known.text() == row.text) {
            return Arc::clone(known);
        }
        let parsed = Policy::parse(row.version, &row.text);
        let parsed = Arc::new(parsed.unwrap_or_else(|bad| Policy::closed(row.version, bad.to_string())));
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert((tenant, row.version), Arc::clone(&parsed));
        parsed
    }
}

fn built_in() -> Arc<Policy> {
    static BUILT: std::sync::OnceLock<Arc<Policy>> = std::sync::OnceLock::new();
    let parse = || Policy::parse(0, legator_policy::BUILT_IN);
    Arc::clone(
        BUILT.get_or_init(|| Arc::new(parse().unwrap_or_else(|bad| Policy::closed(0, bad.to_string())))),
    )
}

/// What is asked about a plan, of a requester with these roles.
pub(crate) fn facts(body: &PlanBody, about: &About, roles: &[RoleOn]) -> Facts {
    let mut words: Vec<String> = roles.iter().map(|role| role.role.word().to_owned()).collect();
    words.sort_unstable();
    words.dedup();
    Facts {
        person: body.requester.to_string(),
        roles: words,
        via: about.via.clone(),
        verb: body.verb.clone(),
        undoes: about.undoes.clone(),
        level: body.level,
        effects: body.effects.clone(),
        args: Named::of(&body.args),
        hosts: body.hosts,
        fleet: about.fleet,
    }
}

/// What is laid over the answer of a policy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Over {
    pub(crate) auth: Auth,
    pub(crate) cap: Cap,
}

/// The decision for a plan on these hosts.
pub(crate) fn decide(policy: &Policy, facts: &Facts, hosts: &[&HostFacts], over: Over) -> Decision {
    lay(policy.decide(facts, hosts), facts.level, over)
}

fn lay(decision: Decision, level: Level, over: Over) -> Decision {
    let proposed =
        over.cap == Cap::ReadOrPropose && level > Level::Observe && decision.effect == Effect::Allow;
    if proposed {
        return Decision {
            effect: Effect::NeedsApproval,
            rule: "assistant-proposes".into(),
            approvals_needed: 1,
            reason: "what the assistant proposes beyond reading waits for a person".into(),
            ..decision
        };
    }
    if over.auth == Auth::Off && decision.effect == Effect::NeedsApproval {
        let reason =
            format!("{}; without authentication your own explicit approval is enough", decision.reason);
        return Decision { approvals_needed: 1, reason, ..decision };
    }
    decision
}

/// The account of a policy's answer with the same laid over all of it. A change that changes nothing any more is left out.
pub(crate) fn laid(why: legator_policy::Why, level: Level, over: Over) -> legator_policy::Why {
    let decision = lay(why.decision, level, over);
    let mut hosts = why.hosts;
    for kind in &mut hosts {
        kind.decision = lay(kind.decision.clone(), level, over);
    }
    let mut changes = why.changes;
    for change in &mut changes {
        // A change to a lower level is laid over by that level; only the assistant's cap knows levels, and it spares observe.
        let level =
            if change.if_ == format!("it ran at {}", Level::Observe) { Level::Observe } else { level };
        change.then = lay(change.then.clone(), level, over);
    }
    changes.retain(|change| rank(&change.then) < rank(&decision));
    legator_policy::Why { decision, hosts, changes }
}

fn rank(decision: &Decision) -> u16 {
    match decision.effect {
        Effect::Allow => 0,
        Effect::NeedsApproval => u16::from(decision.approvals_needed),
        Effect::Refuse => u16::MAX,
    }
}

/// The stricter of two decisions about one plan: the one that was told when it was asked, and the one now.
pub(crate) fn stricter(asked: &Decision, now: Decision) -> Decision {
    if rank(&now) > rank(asked) { now } else { asked.clone() }
}
