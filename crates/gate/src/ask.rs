//! Ask: from a verb, its arguments and a selector to a plan with a decision.
//!
//! Owns the first two stops of the one path. Never runs anything. Invariant: plan, tasks and event are written in one transaction,
//! and the requester is the caller, never somebody that the request names.

use legator_core::error::{ErrorKind, Failure};
use legator_core::event::{About as Subject, NewEvent};
use legator_core::ids::{PlanId, TaskId, TurnId};
use legator_core::level::Level;
use legator_core::plan::{PlanBody, leaves_root};
use legator_core::rights::Permission;
use legator_core::span::Span;
use legator_core::task::TaskMove;
use legator_core::time::Timestamp;
use legator_core::verbs::{self, Call};
use legator_store::hosts::HostRow;
use legator_store::secrets::{self as secret_rows, SecretRow};
use legator_store::{Audited, plans, policies, tasks};
use legator_wire::receipt::OUTPUT_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::caller::{Caller, Cap};
use crate::draft::{self, About};
use crate::error::GateError;
use crate::facts::{self, Over};
use crate::hosts::{self, Fleet};
use crate::view::PlanView;
use crate::{Gate, prepare, secrets, undo};

/// The longest reason, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 1000;
/// Output kept of all hosts of a plan together, in bytes.
const PLAN_OUTPUT_BYTES_MAX: u32 = 256 * 1024 * 1024;
const OUTPUT_BYTES_MIN: u32 = 2 * 1024;

/// How a plan is to go through its hosts; what is absent has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskRollout {
    /// Hosts of one wave.
    pub batch: Option<u32>,
    /// Hosts at work at the same time.
    pub max_parallel: Option<u32>,
    /// After so many failed hosts no further one is started.
    pub stop_after_failures: Option<u32>,
    /// Rest between two waves.
    pub pause: Option<Span>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The verb.
    pub verb: String,
    /// Its arguments.
    pub args: Value,
    /// Which hosts.
    pub selector: String,
    /// At which level, for verbs that exist at several; the lowest when absent.
    pub level: Option<Level>,
    /// How it goes through its hosts.
    pub rollout: Option<AskRollout>,
    /// How long it may be decided about.
    pub decide_in: Option<Span>,
    /// How long, from now, a task may start.
    pub expires_in: Option<Span>,
    /// How long the verb may run on a host.
    pub timeout: Option<Span>,
    /// Why.
    pub reason: Option<String>,
    /// The turn of a chat that asks.
    pub turn: Option<TurnId>,
}

/// Asks for a plan.
///
/// # Errors
/// What is wrong with the request, what the caller lacks, or which rule says no before there is a plan. What a policy refuses is
/// returned as a plan in state `refused`.
pub async fn ask(gate: &Gate, caller: &Caller, ask: Ask) -> Result<PlanView, Failure> {
    let verb: String = ask.verb.chars().take(80).collect();
    let outcome = asked(gate, caller, ask).await;
    if let Err(failure) = &outcome
        && matches!(failure.kind, ErrorKind::Forbidden | ErrorKind::Refused)
    {
        denied(gate, caller, ("plan.denied", Subject::nothing()), failure, json!({ "verb": verb })).await?;
    }
    outcome
}

/// Writes that something was denied: a try is in the audit too.
pub(crate) async fn denied(
    gate: &Gate,
    caller: &Caller,
    what: (&'static str, Subject),
    failure: &Failure,
    mut data: Value,
) -> Result<(), Failure> {
    if let Some(object) = data.as_object_mut() {
        object.insert("code".into(), json!(failure.code));
        object.insert("detail".into(), json!(failure.detail));
        object.insert("rule".into(), json!(failure.rule));
    }
    let event = NewEvent::new(what.0, what.1, data);
    gate.store.write(&caller.op(), async |_| Ok::<_, GateError>(Audited::new((), event))).await?;
    Ok(())
}

async fn asked(gate: &Gate, caller: &Caller, mut ask: Ask) -> Result<PlanView, Failure> {
    caller.need(Permission::MakePlans)?;
    ask.reason = reason(ask.reason)?;
    let secrets = secrets::take(caller, &ask.verb, &mut ask.args)?;
    let undone = undo::aim(gate, caller, &mut ask).await?;
    let call = verbs::parse(&ask.verb, &ask.args, ask.level)?;
    let fleet = Fleet::of(gate, caller.tenant).await?;
    let hosts = hosts::resolve(&fleet, caller, &ask.selector)?;
    hosts::within_ceiling(&hosts, call.level)?;
    let about = About {
        text: call.text.clone(),
        unconfined: call.tier_up,
        via: caller.via.to_owned(),
        selector: ask.selector.clone(),
        turn: ask.turn,
        undoes: undone.as_ref().map(|undone| undone.verb.clone()),
        fleet: fleet.size(),
        proposed: caller.cap == Cap::ReadOrPropose,
        left_out: Vec::new(),
        diff: None,
    };
    let mut body = body(gate, caller, &ask, &call)?;
    body.rollout = draft::rollout(ask.rollout.as_ref(), call.level, hosts.len())?;
    body.hosts = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
    body.output_bytes_max =
        (PLAN_OUTPUT_BYTES_MAX / body.hosts.max(1)).clamp(OUTPUT_BYTES_MIN, OUTPUT_BYTES_MAX);
    let secrets = secrets::kept(gate, body.plan, &secrets)?;
    let shown = undone.and_then(|undone| undone.shown);
    let asking = Asking { body, about, hosts, shown, secrets };
    match verbs::preparation(&call) {
        Some(reading) => prepare::begin(gate, caller, asking, reading).await,
        None => write(gate, caller, asking).await,
    }
}

/// A plan that only has to be decided and written.
pub(crate) struct Asking<'a> {
    pub(crate) body: PlanBody,
    pub(crate) about: About,
    pub(crate) hosts: Vec<&'a HostRow>,
    /// The digest of the state that an undo goes back over.
    pub(crate) shown: Option<legator_core::digest::Digest>,
    /// Its secret values, in a box.
    pub(crate) secrets: Option<SecretRow>,
}

impl Asking<'_> {
    /// What the policy in force says.
    pub(crate) async fn decision(
        &self,
        gate: &Gate,
        caller: &Caller,
    ) -> Result<legator_core::decision::Decision, Failure> {
        let policy = gate.policy(caller.tenant, policies::current(&gate.store, caller.tenant).await?);
        let asked = facts::facts(&self.body, &self.about, &caller.roles);
        let hosts: Vec<_> = self.hosts.iter().map(|row| &row.facts).collect();
        Ok(facts::decide(&policy, &asked, &hosts, Over { auth: gate.auth, cap: caller.cap }))
    }
}

/// A reason that holds to its bounds; none when it is empty.
pub(crate) fn reason(reason: Option<String>) -> Result<Option<String>, Failure> {
    let Some(text) = reason else { return Ok(None) };
    let text = text.trim().to_owned();
    if text.len() > REASON_BYTES_MAX {
        let detail = format!("the reason has {} bytes; it may have {REASON_BYTES_MAX}", text.len());
        return Err(Failure::new(ErrorKind::TooLarge, "reason-too-long", detail));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Failure::invalid("bad-reason", "the reason holds control characters"));
    }
    Ok(if text.is_empty() { None } else { Some(text) })
}

fn timeout(ask: &Ask, call: &Call) -> Result<Span, Failure> {
    let Some(asked) = ask.timeout else { return Ok(call.timeout) };
    match (verbs::TIMEOUT_MIN..=verbs::TIMEOUT_MAX).contains(&asked) {
        true => Ok(asked),
        false => {
            let detail = format!(
                "timeout is {asked}; it can be from {} to {}",
                verbs::TIMEOUT_MIN,
                verbs::TIMEOUT_MAX
            );
            Err(Failure::invalid("bad-timeout", detail))
        }
    }
}

fn body(gate: &Gate, caller: &Caller, ask: &Ask, call: &Call) -> Result<PlanBody, Failure> {
    let now = gate.store.clock().now();
    let (decide_by, expires_at) = draft::times(ask, now)?;
    Ok(PlanBody {
        v: 1,
        installation: gate.installation().to_owned(),
        tenant: caller.tenant,
        plan: draft::plan_id(gate),
        verb: ask.verb.clone(),
        args: verbs::normal_args(call),
        level: call.level,
        effects: call.effects.clone(),
        rollout: draft::rollout(None, call.level, 1)?,
        requester: caller.person,
        reason: ask.reason.clone(),
        timeout: timeout(ask, call)?,
        output_bytes_max: OUTPUT_BYTES_MAX,
        made_at: now,
        decide_by,
        expires_at,
        hosts: 0,
        root: leaves_root(&[]),
        nonce: format!("{:032x}", gate.store.ids().fresh()),
    })
}

async fn write(gate: &Gate, caller: &Caller, asking: Asking<'_>) -> Result<PlanView, Failure> {
    let decision = asking.decision(gate, caller).await?;
    let Asking { body, about, hosts, shown, secrets } = asking;
    let now = body.made_at;
    let mut rows = draft::tasks(&body, &hosts, || TaskId::fresh(gate.store.ids()));
    rows.iter_mut().for_each(|task| task.shown = shown);
    let plan = draft::fix(body, &rows)?;
    let row = draft::row(&plan, &about, decision, now);
    if row.state.is_final() {
        refuse_all(&mut rows, &row, now)?;
    }
    let event = draft::made(&row, plan.body(), &about, &rows);
    let op = caller.op();
    let written = gate.store.write(&op, async |tx| {
        plans::insert(tx, &[&row]).await?;
        tasks::insert(tx, &rows).await?;
        if let Some(secrets) = secrets.as_ref().filter(|_| !row.state.is_final()) {
            secret_rows::insert(tx, row.id, secrets).await?;
        }
        Ok::<_, GateError>(Audited::new((), event))
    });
    written.await?;
    PlanView::of(&row, &rows, &[])
}

/// Ends the tasks of a plan that the policy refuses.
pub(crate) fn refuse_all(
    rows: &mut [tasks::TaskRow],
    plan: &plans::PlanRow,
    now: Timestamp,
) -> Result<(), GateError> {
    let why = (plan.decision.rule.as_str(), plan.decision.reason.as_str());
    rows.iter_mut().try_for_each(|task| draft::end(task, TaskMove::Refuse, now, why))
}

/// The plan with its tasks, or that there is none for this tenant.
pub(crate) async fn find(
    gate: &Gate,
    tenant: legator_core::ids::TenantId,
    id: PlanId,
) -> Result<plans::PlanRow, Failure> {
    let row = plans::get(&gate.store, id).await?;
    row.filter(|row| row.tenant == tenant).ok_or_else(|| Failure::not_found("plan"))
}
