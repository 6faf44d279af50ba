//! Why a plan stands where it stands.
//!
//! Owns the account of a decision: as it was asked, as it would be now, and which votes there are.

use legator_core::decision::Decision;
use legator_core::error::Failure;
use legator_core::ids::PlanId;
use legator_core::plan::PlanState;
use legator_core::rights::Permission;
use legator_core::time::Timestamp;
use legator_store::{approvals, persons, policies, tasks};
use serde::Serialize;

use crate::Gate;
use crate::caller::{Auth, Caller, Cap};
use crate::draft::{self, About};
use crate::facts::{self, Over};
use crate::hosts::Fleet;
use crate::view::{ApprovalView, DecisionView, plan_view};

/// The account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// The plan.
    pub plan: PlanId,
    /// Where it stands.
    pub state: PlanState,
    /// What the policy said when it was asked.
    pub asked: DecisionView,
    /// What holds now: the stricter of that and of the policy in force.
    pub now: Decision,
    /// How the policy in force comes to its answer, and what would change it.
    pub policy: legator_policy::Why,
    /// Votes.
    pub approvals: Vec<ApprovalView>,
    /// An open freeze holds it until then.
    pub frozen_until: Option<Timestamp>,
}

/// Accounts for a plan.
///
/// # Errors
/// Not found, or the permission is missing.
pub async fn why(gate: &Gate, caller: &Caller, plan: PlanId) -> Result<Why, Failure> {
    caller.need(Permission::ReadPlans)?;
    let row = crate::ask::find(gate, caller.tenant, plan).await?;
    let (body, about) = (draft::body(&row)?, About::of(&row)?);
    let rows = tasks::of_plan(&gate.store, plan).await?;
    let fleet = Fleet::of(gate, row.tenant).await?;
    let hosts = fleet.facts(rows.iter().filter(|task| task.place < body.hosts).map(|task| task.host));
    let policy = gate.policy(row.tenant, policies::current(&gate.store, row.tenant).await?);
    let roles = match gate.auth {
        Auth::Off => caller.roles.clone(),
        Auth::On => persons::get(&gate.store, row.tenant, row.requester)
            .await?
            .map_or_else(Vec::new, |person| person.roles),
    };
    let asked = facts::facts(&body, &about, &roles);
    let cap = if about.proposed { Cap::ReadOrPropose } else { Cap::All };
    let over = Over { auth: gate.auth, cap };
    let now = facts::decide(&policy, &asked, &hosts, over);
    let votes = approvals::list(&gate.store, row.tenant, plan).await?;
    let view = plan_view(gate, row.tenant, plan).await?;
    Ok(Why {
        plan,
        state: row.state,
        asked: (&row.decision).into(),
        now: facts::stricter(&row.decision, now),
        policy: facts::laid(policy.why(&asked, &hosts), asked.level, over),
        approvals: votes.iter().map(ApprovalView::from).collect(),
        frozen_until: view.and_then(|view| view.frozen_until),
    })
}
