//! Which votes count, at this moment.
//!
//! Owns the weighing, which is done again at each seal. Invariant: a person counts once, the requester not at all but with a mark
//! that stays, and a vote of somebody who has lost the right counts no more.

use std::collections::BTreeMap;

use legator_core::ids::PersonId;
use legator_core::rights::{HostFacts, Permission, RoleOn};
use legator_core::time::Timestamp;
use legator_store::approvals::{self, Vote};
use legator_store::plans::PlanRow;
use legator_store::{Tx, persons};
use legator_wire::dsse::Envelope;
use legator_wire::grant::Counted;

use crate::Gate;
use crate::caller::{Auth, Reach};
use crate::error::GateError;

/// The mark of an approval of one's own plan where there is one person only.
pub(crate) const SELF_APPROVED: &str = "self_approved";
/// The mark of an emergency.
pub(crate) const BREAK_GLASS: &str = "break_glass";

/// Votes that count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weighed {
    /// Them, one a person.
    pub(crate) votes: Vec<Vote>,
    /// One of them is enough alone: an emergency, or the only person there is.
    pub(crate) alone: bool,
}

impl Weighed {
    /// Whether they are as many as are needed.
    pub(crate) fn enough(&self, needed: u8) -> bool {
        self.alone || self.votes.len() >= usize::from(needed)
    }

    /// As they stand in a grant.
    pub(crate) fn counted(&self) -> Vec<Counted> {
        let counted = |vote: &Vote| Counted {
            approval: vote.id,
            person: vote.person,
            key: vote.signed_by,
            mark: vote.mark.clone(),
        };
        self.votes.iter().map(counted).collect()
    }

    /// The approvers' own signatures.
    pub(crate) fn envelopes(&self) -> Vec<Envelope> {
        let parse = |vote: &Vote| serde_json::from_value(vote.envelope.clone()?).ok();
        self.votes.iter().filter_map(parse).collect()
    }
}

/// Weighs the votes on a plan, over the hosts that it is still for.
pub(crate) async fn weigh(
    gate: &Gate,
    tx: &Tx,
    plan: &PlanRow,
    hosts: &[&HostFacts],
) -> Result<Weighed, GateError> {
    let votes = approvals::of_act(tx, plan.id).await?;
    let mut roles: BTreeMap<PersonId, Vec<RoleOn>> = BTreeMap::new();
    if gate.auth == Auth::On {
        for vote in &votes {
            let person =
                persons::of_act(tx, vote.person).await?.filter(|person| person.disabled_at.is_none());
            roles.insert(vote.person, person.map_or_else(Vec::new, |person| person.roles));
        }
    }
    Ok(count(gate.auth, (plan, tx.now()), votes, (&roles, hosts)))
}

fn count(
    auth: Auth,
    plan: (&PlanRow, Timestamp),
    votes: Vec<Vote>,
    rights: (&BTreeMap<PersonId, Vec<RoleOn>>, &[&HostFacts]),
) -> Weighed {
    let mut weighed = Weighed::default();
    for vote in votes {
        let roles = rights.0.get(&vote.person).map_or(&[][..], Vec::as_slice);
        let weight = weight(auth, plan, &vote, (roles, rights.1));
        let known = weighed.votes.iter().any(|known| known.person == vote.person);
        match weight {
            Weight::Nothing => continue,
            Weight::Alone => weighed.alone = true,
            Weight::One => {}
        }
        if !known {
            weighed.votes.push(vote);
        }
    }
    weighed
}

#[derive(Clone, Copy, PartialEq)]
enum Weight {
    Nothing,
    One,
    Alone,
}

fn weight(
    auth: Auth,
    plan: (&PlanRow, Timestamp),
    vote: &Vote,
    rights: (&[RoleOn], &[&HostFacts]),
) -> Weight {
    let (plan, now) = plan;
    let about_this = vote.approve && vote.plan == plan.id && Some(vote.digest) == plan.digest;
    let lapsed = vote.expires_at.is_some_and(|end| end <= now);
    if !about_this || lapsed {
        return Weight::Nothing;
    }
    let mark = vote.mark.as_deref();
    if auth == Auth::Off {
        let own = vote.person == PersonId::LOCAL && matches!(mark, Some(SELF_APPROVED | BREAK_GLASS));
        return if own { Weight::Alone } else { Weight::Nothing };
    }
    let may = |permission| {
        let reach = Reach::of(rights.0, permission);
        let has = rights.0.iter().any(|role| role.role.allows(permission));
        has && rights.1.iter().all(|host| reach.covers(host))
    };
    match mark {
        Some(BREAK_GLASS) if may(Permission::BreakGlass) => Weight::Alone,
        None if vote.person != plan.requester && may(Permission::Approve) => Weight::One,
        _ => Weight::Nothing,
    }
}
