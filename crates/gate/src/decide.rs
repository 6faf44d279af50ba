//! Decide: one person's yes or no on one digest.
//!
//! Owns the door at which votes come in. Invariant: who votes is who showed the key; the digest that is voted on is named by the
//! voter and has to be the plan's.

use legator_core::digest::Digest;
use legator_core::error::{ErrorKind, Failure};
use legator_core::event::{About as Subject, NewEvent};
use legator_core::ids::{ApprovalId, PersonId, PlanId};
use legator_core::plan::{PlanMove, PlanState};
use legator_core::rights::{HostFacts, Permission};
use legator_core::task::{TaskMove, TaskState};
use legator_core::time::Timestamp;
use legator_store::approvals::{self, Vote as VoteRow};
use legator_store::plans::PlanRow;
use legator_store::tasks::{Change, TaskRow};
use legator_store::{Audited, Tx, keys, plans, policies, tasks};
use legator_wire::approval::{self, Approval, Vote};
use legator_wire::dsse::Envelope;
use legator_wire::keys::PublicKey;
use serde_json::json;

use crate::Gate;
use crate::ask::{denied, reason};
use crate::caller::{Auth, Caller, Cap, Reach};
use crate::draft::{self, About};
use crate::error::GateError;
use crate::facts::{self, Over};
use crate::hosts::Fleet;
use crate::prepare::requester_roles;
use crate::view::{self, PlanView};
use crate::votes::{self, BREAK_GLASS, SELF_APPROVED};

/// Whether a person decides alone, in an emergency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BreakGlass {
    /// No: the vote is one among those that are needed.
    #[default]
    No,
    /// Yes: an admin, with a reason, marked for ever.
    Yes,
}

/// A vote.
#[derive(Debug, Clone)]
pub struct Decide {
    /// The plan.
    pub plan: PlanId,
    /// The digest that the voter's program computed.
    pub digest: Digest,
    /// Yes or no.
    pub vote: Vote,
    /// Why.
    pub reason: Option<String>,
    /// The voter's own signature.
    pub signature: Option<Envelope>,
    /// Whether it is an emergency.
    pub break_glass: BreakGlass,
}

/// Takes a vote.
///
/// # Errors
/// `own-plan`, `other-digest`, `plan-expired`, `plan-rejected`, `missing-permission`, `outside-your-hosts` and others; a vote that is
/// forbidden is written to the audit.
pub async fn decide(gate: &Gate, caller: &Caller, vote: Decide) -> Result<PlanView, Failure> {
    let (plan, digest) = (vote.plan, vote.digest);
    match voted(gate, caller, vote).await {
        Ok(()) => {
            let found = view::plan_view(gate, caller.tenant, plan).await?;
            found.ok_or_else(|| Failure::not_found("plan"))
        }
        Err(error) => {
            let failure = Failure::from(error);
            if failure.kind == ErrorKind::Forbidden {
                let what = ("approval.denied", Subject::plan(plan));
                denied(gate, caller, what, &failure, json!({ "digest": digest })).await?;
            }
            Err(failure)
        }
    }
}

async fn voted(gate: &Gate, caller: &Caller, mut vote: Decide) -> Result<(), GateError> {
    let row = crate::ask::find(gate, caller.tenant, vote.plan).await?;
    let permission = match vote.break_glass {
        BreakGlass::Yes => Permission::BreakGlass,
        BreakGlass::No => Permission::Approve,
    };
    caller.need(permission)?;
    vote.reason = reason(vote.reason)?;
    if vote.break_glass == BreakGlass::Yes && !vote.reason.as_deref().is_some_and(is_visible) {
        return Err(
            Failure::invalid("reason-needed", "breaking the glass needs a reason that can be read").into()
        );
    }
    let fleet = Fleet::of(gate, row.tenant).await?;
    let rows = tasks::of_plan(&gate.store, row.id).await?;
    let hosts = fleet.facts(rows.iter().filter(|task| !task.state.is_final()).map(|task| task.host));
    within_reach(caller, permission, &hosts)?;
    let op = caller.op();
    let written = gate.store.write(&op, async |tx| write(gate, tx, caller, (&vote, &hosts)).await);
    match written.await {
        Err(GateError::Nothing) => Ok(()),
        other => other,
    }
}

fn within_reach(caller: &Caller, permission: Permission, hosts: &[&HostFacts]) -> Result<(), Failure> {
    let reach = Reach::of(&caller.roles, permission);
    let outside: Vec<&str> =
        hosts.iter().filter(|host| !reach.covers(host)).map(|host| host.name.as_str()).collect();
    if outside.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "your right to decide reaches {}; this plan is for {} too",
        reach.text(),
        crate::hosts::names(&outside)
    );
    Err(Failure::forbidden("outside-your-hosts", detail).rule("role-selector"))
}

async fn write(
    gate: &Gate,
    tx: &Tx,
    caller: &Caller,
    on: (&Decide, &[&HostFacts]),
) -> Result<Audited<()>, GateError> {
    let (vote, hosts) = on;
    let row = plans::of_act(tx, vote.plan).await?.ok_or_else(|| Failure::not_found("plan"))?;
    votable(&row, tx.now())?;
    if row.digest != Some(vote.digest) {
        let failure = Failure::conflict("other-digest", "the digest is not that of this plan");
        return Err(failure.hint("look at the plan again and send the digest of what you saw").into());
    }
    let signed = match &vote.signature {
        Some(envelope) => Some(signature(gate, tx, caller, (vote, envelope)).await?),
        None => None,
    };
    let made = made(tx, caller, vote, signed.as_ref());
    match vote.vote {
        Vote::Approve => approve(gate, tx, (row, hosts), made).await,
        Vote::Reject => reject(tx, row, made).await,
    }
}

/// Whether a plan can be voted on now.
fn votable(row: &PlanRow, now: Timestamp) -> Result<(), Failure> {
    let over = || {
        Failure::new(ErrorKind::Expired, "plan-expired", "the time to decide about this plan is over")
            .hint("ask for it again")
    };
    match row.state {
        PlanState::Pending if now >= row.decide_by => Err(over()),
        PlanState::Approved if now >= row.expires_at => Err(over()),
        PlanState::Pending | PlanState::Approved => Ok(()),
        PlanState::Expired => Err(over()),
        PlanState::Preparing => {
            Err(Failure::conflict("plan-preparing", "the present state is still being read")
                .hint("its digest is made when that is done, within 10 seconds"))
        }
        PlanState::Rejected => {
            Err(Failure::conflict("plan-rejected", "a no is final for this plan").hint("ask for a new one"))
        }
        PlanState::Running => {
            Err(Failure::conflict("plan-running", "this plan is running").hint("it can be cancelled"))
        }
        state => Err(Failure::conflict("plan-not-pending", format!("this plan is {state}"))),
    }
}

/// Whether a text holds anything that can be seen.
fn is_visible(text: &str) -> bool {
    let blank = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}', '\u{2800}'];
    text.chars().any(|c| c.is_alphanumeric() && !blank.contains(&c))
}

/// The voter's own signature, which has to be by a registered key of theirs, about this plan and this vote.
async fn signature(
    gate: &Gate,
    tx: &Tx,
    caller: &Caller,
    on: (&Decide, &Envelope),
) -> Result<Approval, GateError> {
    let (vote, envelope) = on;
    let bad = |detail: &str| {
        Failure::forbidden("bad-signature", detail).hint("sign with legatorctl approvals approve")
    };
    let claimed: Approval =
        envelope.claimed().ok_or_else(|| bad("the signature is over something else than an approval"))?;
    let row = keys::approver_of_act(tx, &claimed.key).await?;
    let row = row.filter(|row| row.person == caller.person && row.revoked_at.is_none());
    let row = row.ok_or_else(|| bad("the key of the signature is not registered as yours"))?;
    let key: PublicKey = row.key.parse().map_err(|_| bad("the registered key does not parse"))?;
    let subject = approval::Subject { installation: gate.installation(), plan: &vote.digest, now: tx.now() };
    let approval = approval::open(envelope, &key, subject)
        .ok_or_else(|| bad("the signature does not hold for this plan"))?;
    if approval.person != caller.person || approval.decision != vote.vote {
        return Err(bad("the signature is another person's or says something else").into());
    }
    Ok(approval)
}

fn made(tx: &Tx, caller: &Caller, vote: &Decide, signed: Option<&Approval>) -> VoteRow {
    let mark = match (vote.break_glass, caller.auth) {
        (BreakGlass::Yes, _) => Some(BREAK_GLASS),
        (BreakGlass::No, Auth::Off) => Some(SELF_APPROVED),
        (BreakGlass::No, Auth::On) => None,
    };
    let envelope = vote.signature.as_ref().and_then(|envelope| serde_json::to_value(envelope).ok());
    VoteRow {
        id: ApprovalId::fresh(tx.ids()),
        plan: vote.plan,
        digest: vote.digest,
        person: caller.person,
        key: caller.key,
        approve: vote.vote == Vote::Approve,
        reason: vote.reason.clone(),
        mark: mark.map(str::to_owned),
        envelope,
        signed_by: signed.map(|approval| approval.key),
        expires_at: signed.map(|approval| approval.expires_at),
        made_at: tx.now(),
    }
}

async fn approve(
    gate: &Gate,
    tx: &Tx,
    on: (PlanRow, &[&HostFacts]),
    vote: VoteRow,
) -> Result<Audited<()>, GateError> {
    let (mut row, hosts) = on;
    let own = gate.auth == Auth::On && vote.person == row.requester;
    if own && vote.mark.is_none() {
        let failure = Failure::forbidden("own-plan", "who asked for a plan cannot approve it");
        return Err(failure.hint("somebody else with the right to approve decides").into());
    }
    let votes = approvals::of_act(tx, row.id).await?;
    let known = votes.iter().find(|known| known.person == vote.person);
    if known.is_some_and(|known| same(known, &vote)) {
        return Err(GateError::Nothing);
    }
    approvals::put(tx, &vote).await?;
    let weighed = votes::weigh(gate, tx, &row, hosts).await?;
    let needed = needed(gate, tx, &row, hosts).await?;
    if row.state == PlanState::Pending && weighed.enough(needed) {
        row.state = row.state.after(PlanMove::Approve)?;
    }
    if !plans::update(tx, &row).await? {
        return Err(GateError::Conflict);
    }
    let kind =
        if vote.mark.as_deref() == Some(BREAK_GLASS) { "approval.glass-broken" } else { "approval.given" };
    Ok(Audited::new((), event(kind, &row, &vote, (weighed.votes.len(), needed))))
}

/// Whether a vote says nothing that the person's earlier one did not say.
fn same(known: &VoteRow, vote: &VoteRow) -> bool {
    known.digest == vote.digest
        && known.approve == vote.approve
        && known.mark == vote.mark
        && known.signed_by == vote.signed_by
}

/// How many persons have to approve: the stricter of what was told and what the policy says now.
async fn needed(gate: &Gate, tx: &Tx, row: &PlanRow, hosts: &[&HostFacts]) -> Result<u8, GateError> {
    let policy = gate.policy(row.tenant, policies::current_in(tx).await?);
    let (body, about) = (draft::body(row)?, About::of(row)?);
    let roles = requester_roles(gate, tx, row.requester).await?;
    let cap = if about.proposed { Cap::ReadOrPropose } else { Cap::All };
    let now =
        facts::decide(&policy, &facts::facts(&body, &about, &roles), hosts, Over { auth: gate.auth, cap });
    Ok(facts::stricter(&row.decision, now).approvals_needed)
}

async fn reject(tx: &Tx, mut row: PlanRow, vote: VoteRow) -> Result<Audited<()>, GateError> {
    row.state = row.state.after(PlanMove::Reject)?;
    row.ended_at = Some(tx.now());
    approvals::put(tx, &vote).await?;
    let rows = tasks::of_plan_in(tx, row.id).await?;
    let changes = cancelled(rows, tx.now(), ("rejected", "an approver said no"))?;
    if !plans::update(tx, &row).await? || !tasks::update(tx, &changes).await? {
        return Err(GateError::Conflict);
    }
    Ok(Audited::new((), event("approval.rejected", &row, &vote, (0, row.decision.approvals_needed))))
}

/// The waiting ones among these tasks, cancelled.
pub(crate) fn cancelled(
    rows: Vec<TaskRow>,
    now: Timestamp,
    why: (&str, &str),
) -> Result<Vec<Change>, GateError> {
    let waiting = rows.into_iter().filter(|task| task.state == TaskState::Waiting);
    let cancel = |mut task: TaskRow| {
        draft::end(&mut task, TaskMove::Cancel, now, why)?;
        Ok(Change { from: TaskState::Waiting, to: task })
    };
    waiting.map(cancel).collect()
}

fn event(kind: &'static str, row: &PlanRow, vote: &VoteRow, counts: (usize, u8)) -> NewEvent {
    let person: PersonId = vote.person;
    let data = json!({
        "approval": vote.id, "digest": vote.digest, "person": person, "reason": vote.reason, "mark": vote.mark,
        "signed_by": vote.signed_by, "envelope": vote.envelope, "state": row.state, "counted": counts.0, "needed": counts.1,
    });
    NewEvent::new(kind, Subject::plan(row.id), data)
}

#[cfg(test)]
mod tests {
    use super::is_visible;

    #[test]
    fn an_invisible_reason_is_none() {
        for text in ["", " ", "\u{200b}\t", "\u{3164}", "\u{2800}\u{200d}", "...", "\u{202e}"] {
            assert!(!is_visible(text), "{text:?}");
        }
        assert!(is_visible("disk full on db-01"));
    }
}
