//! Policies: written, tried out, put in force.
//!
//! Owns the check at the door: a text that is not valid against the schema is no policy. Invariant: what is in force was valid when
//! it was activated, and is never changed.

use legator_core::decision::{Decision, Effect};
use legator_core::error::Failure;
use legator_core::event::{About as Subject, NewEvent};
use legator_core::ids::{PersonId, TenantId};
use legator_core::level::Level;
use legator_core::rights::Permission;
use legator_core::time::Timestamp;
use legator_core::verbs;
use legator_policy::{BadPolicy, Facts, Named, Policy};
use legator_store::Audited;
use legator_store::hosts::HostRow;
use legator_store::policies::{self as rows, InForce, PolicyRow};
use serde::Serialize;
use serde_json::json;

use crate::ask::{Ask, reason};
use crate::caller::Caller;
use crate::error::GateError;
use crate::facts::{self, Over};
use crate::hosts::{self, Fleet};
use crate::{Gate, secrets};

/// Versions kept of a tenant, at most.
const VERSIONS_MAX: usize = 1000;

/// A version of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyView {
    /// Its number; zero is the built-in one.
    pub version: u64,
    /// Its text.
    pub text: String,
    /// What it is for.
    pub note: Option<String>,
    /// Who wrote it.
    pub by: Option<PersonId>,
    /// When.
    pub made_at: Option<Timestamp>,
    /// Whether it is in force.
    pub active: bool,
}

fn not_valid(bad: &BadPolicy) -> Failure {
    Failure::invalid("bad-policy", bad.to_string())
        .hint("docs/policies.md has the schema and the annotations")
}

fn view(row: PolicyRow, active: u64) -> PolicyView {
    PolicyView {
        active: row.version == active,
        version: row.version,
        text: row.text,
        note: row.note,
        by: Some(row.by),
        made_at: Some(row.made_at),
    }
}

/// All versions, the built-in one first.
///
/// # Errors
/// When the store fails.
pub async fn policies(gate: &Gate, tenant: TenantId) -> Result<Vec<PolicyView>, Failure> {
    let active = match rows::current(&gate.store, tenant).await? {
        InForce::BuiltIn => 0,
        InForce::Version(row) => row.version,
        InForce::Broken => u64::MAX,
    };
    let built_in = PolicyView {
        version: 0,
        text: legator_policy::BUILT_IN.to_owned(),
        note: Some("built in".into()),
        by: None,
        made_at: None,
        active: active == 0,
    };
    let all = rows::list(&gate.store, tenant).await?;
    Ok(std::iter::once(built_in).chain(all.into_iter().map(|row| view(row, active))).collect())
}

/// Keeps a new version, not in force yet.
///
/// # Errors
/// `bad-policy` with everything that is wrong with the text.
pub async fn propose_policy(
    gate: &Gate,
    caller: &Caller,
    text: String,
    note: Option<String>,
) -> Result<PolicyView, Failure> {
    caller.need(Permission::ManagePolicy)?;
    let note = reason(note)?;
    Policy::parse(1, &text).map_err(|bad| not_valid(&bad))?;
    let made_at = gate.store.clock().now();
    let row = PolicyRow { version: 0, text, note, by: caller.person, made_at };
    let op = caller.op();
    let written = gate.store.write(&op, async |tx| {
        if tx.seal_list::<PolicyRow>(legator_store::Kind::Policy).await?.len() >= VERSIONS_MAX {
            return Err(GateError::from(Failure::conflict(
                "too-many-policies",
                format!("there are {VERSIONS_MAX} versions"),
            )));
        }
        let row = rows::put(tx, row).await?;
        let digest = legator_core::digest::Digest::of(row.text.as_bytes());
        let data = json!({"version": row.version, "note": row.note, "digest": digest, "text": row.text});
        Ok(Audited::new(row, NewEvent::new("policy.written", Subject::nothing(), data)))
    });
    Ok(view(written.await?, u64::MAX))
}

/// Puts a version in force; zero is the built-in one.
///
/// # Errors
/// Not found, or not valid by the present schema.
pub async fn activate_policy(gate: &Gate, caller: &Caller, version: u64) -> Result<PolicyView, Failure> {
    caller.need(Permission::ManagePolicy)?;
    let op = caller.op();
    let written = gate.store.write(&op, async |tx| {
        if version > 0 {
            let row = rows::of_act(tx, version)
                .await?
                .ok_or_else(|| Failure::not_found("version of the policy"))?;
            Policy::parse(version, &row.text).map_err(|bad| not_valid(&bad))?;
        }
        let before = match rows::current_in(tx).await? {
            InForce::BuiltIn => Some(0),
            InForce::Version(row) => Some(row.version),
            InForce::Broken => None,
        };
        rows::activate(tx, version).await?;
        let data = json!({"version": version, "before": before});
        Ok::<_, GateError>(Audited::new((), NewEvent::new("policy.activated", Subject::nothing(), data)))
    });
    written.await?;
    let all = policies(gate, caller.tenant).await?;
    all.into_iter()
        .find(|view| view.version == version)
        .ok_or_else(|| Failure::not_found("version of the policy"))
}

/// What a policy would say of a plan like this, by the caller: the one in force, or this text.
///
/// # Errors
/// What is wrong with the plan or the text.
pub async fn simulate(
    gate: &Gate,
    caller: &Caller,
    text: Option<&str>,
    ask: &Ask,
) -> Result<Simulated, Failure> {
    caller.need(Permission::ReadPolicy)?;
    let policy = match text {
        Some(text) => std::sync::Arc::new(Policy::parse(0, text).map_err(|bad| not_valid(&bad))?),
        None => gate.policy(caller.tenant, rows::current(&gate.store, caller.tenant).await?),
    };
    let mut args = ask.args.clone();
    drop(secrets::take(caller, &ask.verb, &mut args)?);
    let call = verbs::parse(&ask.verb, &args, ask.level)?;
    let fleet = Fleet::of(gate, caller.tenant).await?;
    let hosts = hosts::select(&fleet, &ask.selector)?;
    let asked = Facts {
        person: caller.person.to_string(),
        roles: caller.roles.iter().map(|role| role.role.word().to_owned()).collect(),
        via: caller.via.to_owned(),
        verb: ask.verb.clone(),
        undoes: None,
        level: call.level,
        effects: call.effects.clone(),
        args: Named::of(&verbs::normal_args(&call)),
        hosts: u32::try_from(hosts.len()).unwrap_or(u32::MAX),
        fleet: fleet.size(),
    };
    let over = Over { auth: gate.auth, cap: caller.cap };
    let known: Vec<_> = hosts.iter().map(|row| &row.facts).collect();
    let why = facts::laid(policy.why(&asked, &known), call.level, over);
    let frozen_until = match call.level {
        Level::Observe => None,
        _ => {
            let windows = legator_store::freezes::list(&gate.store, caller.tenant).await?;
            let windows = crate::freezes::parsed(windows, gate.store.clock().now());
            crate::freezes::frozen(&windows, hosts.iter().copied()).into_values().max()
        }
    };
    Ok(Simulated { why: below_ceiling(why, &hosts, call.level), frozen_until })
}

/// What would be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Simulated {
    /// The answer, how it comes about, and what would change it.
    #[serde(flatten)]
    pub why: legator_policy::Why,
    /// An open freeze holds it until then.
    pub frozen_until: Option<Timestamp>,
}

/// Hosts whose level is below the plan's refuse it, whatever the policy says.
fn below_ceiling(why: legator_policy::Why, hosts: &[&HostRow], level: Level) -> legator_policy::Why {
    let Err(failure) = hosts::within_ceiling(hosts, level) else { return why };
    let decision = Decision {
        policy_version: why.decision.policy_version,
        ..Decision::refuse("host-level", failure.detail.clone())
    };
    let low: Vec<&str> =
        hosts.iter().filter(|row| row.facts.level < level).map(|row| row.facts.name.as_str()).collect();
    let raised = legator_policy::Change {
        if_: format!("the level of {} were {level}", hosts::names(&low)),
        then: why.decision.clone(),
    };
    let lower = why.changes.iter().filter(|change| change.if_.starts_with("it ran at ")).cloned();
    let changes = std::iter::once(raised).chain(lower).filter(|change| change.then.effect != Effect::Refuse);
    legator_policy::Why { decision, changes: changes.collect(), hosts: why.hosts }
}
