//! Preparing: reading the present state of the hosts before anybody is asked, for verbs that show a difference.
//!
//! Owns the plan that reads and what becomes of the one that waits for it. Invariant: the bytes of the waiting plan are made after
//! the reading, over exactly the hosts that answered, each with the digest of what was shown.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use legator_core::decision::{Decision, Effect};
use legator_core::error::Failure;
use legator_core::event::{About as Subject, NewEvent};
use legator_core::ids::{HostId, PlanId, TaskId};
use legator_core::level::{Effects, Level};
use legator_core::plan::{PlanMove, PlanState};
use legator_core::span::Span;
use legator_core::task::{TaskMove, TaskState};
use legator_core::text::brief;
use legator_core::time::Timestamp;
use legator_core::verbs::{self, Call};
use legator_store::plans::PlanRow;
use legator_store::tasks::{Change, TaskRow};
use legator_store::{Audited, Op, Tx, persons, plans, policies, tasks};
use serde_json::{Value, json};

use crate::ask::{Asking, refuse_all};
use crate::caller::{Auth, Caller, Cap};
use crate::draft::{self, About};
use crate::error::GateError;
use crate::facts::{self, Over};
use crate::hosts::Fleet;
use crate::view::PlanView;
use crate::{Gate, verdict};

/// How long the hosts have to show their state: 10 s.
pub(crate) const READING_MAX: Span = Span::from_secs(10);
/// The longest difference of a plan, in bytes.
const DIFF_BYTES_MAX: usize = 256 * 1024;
/// Names of hosts above one difference, at most.
const NAMED_MAX: usize = 20;

/// The longest reason of a decision that tells what hosts said, in bytes.
const REASON_BYTES_MAX: usize = 1000;

/// Writes a plan in state `preparing` and the plan that reads for it.
pub(crate) async fn begin(
    gate: &Gate,
    caller: &Caller,
    asking: Asking<'_>,
    reading: (&'static str, Value),
) -> Result<PlanView, Failure> {
    let decision = asking.decision(gate, caller).await?;
    let read = reading_of(gate, &asking, reading)?;
    let allowed = read.decision(gate, caller).await?;
    let Asking { body, about, hosts, .. } = asking;
    let now = body.made_at;
    let mut rows = draft::tasks(&body, &hosts, || TaskId::fresh(gate.store.ids()));
    let draft_plan = draft::fix(body, &rows)?;
    let mut row = draft::row(&draft_plan, &about, decision, now);
    if row.decision.effect != Effect::Refuse && allowed.effect != Effect::Allow {
        row.decision = Decision { effect: Effect::Refuse, ..allowed.clone() };
    }
    if row.decision.effect == Effect::Refuse {
        row.state = PlanState::Refused;
        row.ended_at = Some(now);
        refuse_all(&mut rows, &row, now)?;
    } else {
        row.state = PlanState::Preparing;
        row.digest = None;
    }
    let preparing = row.state == PlanState::Preparing;
    let reads = draft::tasks(&read.body, &hosts, || TaskId::fresh(gate.store.ids()));
    let read_plan = draft::fix(read.body, &reads)?;
    let mut read_row = draft::row(&read_plan, &read.about, allowed, now);
    read_row.prepares = Some(row.id);
    row.reading = preparing.then_some(read_row.id);
    let event = draft::made(&row, draft_plan.body(), &about, &rows);
    let read_event = draft::made(&read_row, read_plan.body(), &read.about, &reads);
    let op = caller.op();
    let written = gate.store.write(&op, async |tx| {
        if !preparing {
            plans::insert(tx, &[&row]).await?;
            tasks::insert(tx, &rows).await?;
            return Ok::<_, GateError>(Audited::new((), event));
        }
        plans::insert(tx, &[&row, &read_row]).await?;
        tasks::insert(tx, &rows).await?;
        tasks::insert(tx, &reads).await?;
        Ok(Audited::new((), event).and(read_event))
    });
    written.await?;
    PlanView::of(&row, &rows, &[])
}

/// The plan that reads: at observe, by the same requester, on the same hosts, all at once.
fn reading_of<'a>(
    gate: &Gate,
    asking: &Asking<'a>,
    reading: (&'static str, Value),
) -> Result<Asking<'a>, Failure> {
    let call = verbs::parse(reading.0, &reading.1, Some(Level::Observe))?;
    let mut body = asking.body.clone();
    body.plan = draft::plan_id(gate);
    body.nonce = format!("{:032x}", gate.store.ids().fresh());
    body.verb = reading.0.to_owned();
    body.args = verbs::normal_args(&call);
    body.level = call.level;
    body.effects = Effects::none();
    body.rollout = draft::rollout(None, Level::Observe, asking.hosts.len())?;
    body.timeout = call.timeout.min(READING_MAX);
    body.decide_by = body.made_at + READING_MAX;
    body.expires_at = body.made_at + READING_MAX;
    let about = About { text: call.text.clone(), unconfined: false, undoes: None, ..asking.about.clone() };
    Ok(Asking { body, about, hosts: asking.hosts.clone(), shown: None, secrets: None })
}

/// Finishes a plan that was preparing, once its reading has ended or its time is over: `pending`, `approved` or `refused`.
///
/// # Errors
/// `Nothing` when it is not preparing or not ready yet; `Conflict` when it was changed meanwhile.
pub async fn prepared(gate: &Gate, plan: PlanId) -> Result<PlanState, GateError> {
    let row = plans::get(&gate.store, plan).await?.filter(|row| row.state == PlanState::Preparing);
    let row = row.ok_or(GateError::Nothing)?;
    let reading = row.reading.ok_or_else(|| GateError::corrupt("plan", "it has no reading"))?;
    let reads = tasks::of_plan(&gate.store, reading).await?;
    let now = gate.store.clock().now();
    let ended = reads.iter().all(|task| task.state.is_final());
    if !ended && now < row.made_at + READING_MAX {
        return Err(GateError::Nothing);
    }
    let fleet = Fleet::of(gate, row.tenant).await?;
    let rows = tasks::of_plan(&gate.store, plan).await?;
    let op = Op::system(row.tenant, "prepare", legator_core::ids::TraceId::fresh(gate.store.ids()));
    let (fleet, reads) = (&fleet, &reads);
    gate.store.write(&op, async |tx| write(gate, tx, (row, rows), (fleet, reads)).await).await
}

async fn write(
    gate: &Gate,
    tx: &Tx,
    waiting: (PlanRow, Vec<TaskRow>),
    read: (&Fleet, &[TaskRow]),
) -> Result<Audited<PlanState>, GateError> {
    let (mut row, rows) = waiting;
    let mut about = About::of(&row)?;
    let body = draft::body(&row)?;
    let call = verbs::parse(&body.verb, &body.args, Some(body.level))?;
    let Sorted { mut shown, mut left_out, states } = sort(rows, read.1, tx.now())?;
    about.left_out = left_out.iter().map(|task| task.name.clone()).collect();
    about.diff = Some(differences(&call, &shown, &states));
    let mut body = body;
    body.hosts = u32::try_from(shown.len()).unwrap_or(u32::MAX);
    row.decision = match shown.is_empty() {
        true => Decision::refuse("state-not-read", nobody_showed(&left_out)),
        false => decide(gate, tx, (&body, &about), (&shown, read.0)).await?,
    };
    let plan = draft::fix(body, &shown)?;
    row.digest = Some(plan.digest());
    row.body = plan.bytes().to_vec();
    row.about = serde_json::to_string(&about).unwrap_or_default();
    row.state = row.state.after(match row.decision.effect {
        Effect::Allow => PlanMove::PreparedToApproved,
        Effect::NeedsApproval => PlanMove::PreparedToPending,
        Effect::Refuse => PlanMove::Refuse,
    })?;
    if row.state.is_final() {
        row.ended_at = Some(tx.now());
        refuse_all(&mut shown, &row, tx.now())?;
    }
    let changes = changes(&shown, &mut left_out);
    if !plans::complete(tx, &row).await? || !tasks::update(tx, &changes).await? {
        return Err(GateError::Conflict);
    }
    let named: Vec<_> = shown
        .iter()
        .take(50)
        .map(|task| json!({"id": task.host, "name": task.name, "shown": task.shown}))
        .collect();
    let data = json!({"digest": row.digest, "state": row.state, "decision": row.decision, "hosts": shown.len(),
        "named": named, "left_out": about.left_out});
    Ok(Audited::new(row.state, NewEvent::new("plan.prepared", Subject::plan(row.id), data)))
}

/// The tasks of hosts that showed their state and of those that did not.
struct Sorted {
    shown: Vec<TaskRow>,
    left_out: Vec<TaskRow>,
    states: HashMap<HostId, Value>,
}

fn sort(rows: Vec<TaskRow>, reads: &[TaskRow], now: Timestamp) -> Result<Sorted, GateError> {
    let state = |task: &TaskRow| {
        let receipt = task.receipt.as_deref().and_then(verdict::stored);
        receipt.filter(|_| task.state == TaskState::Succeeded).and_then(|receipt| receipt.before)
    };
    let mut states: HashMap<HostId, Value> =
        reads.iter().filter_map(|task| Some((task.host, state(task)?))).collect();
    states.retain(|_, state| verbs::shown(state).is_some());
    let (mut shown, mut left_out): (Vec<TaskRow>, Vec<TaskRow>) =
        rows.into_iter().partition(|task| states.contains_key(&task.host));
    for (place, task) in (0..).zip(&mut shown) {
        task.place = place;
        task.shown = states.get(&task.host).and_then(verbs::shown);
    }
    for (place, task) in (shown.len()..).zip(&mut left_out) {
        task.place = u32::try_from(place).unwrap_or(u32::MAX);
        let (by, why) = not_shown(reads.iter().find(|read| read.host == task.host));
        draft::end(task, by, now, ("state-not-read", &why))?;
    }
    Ok(Sorted { shown, left_out, states })
}

/// How a host ends that did not show its state, and why.
fn not_shown(read: Option<&TaskRow>) -> (TaskMove, String) {
    match read {
        Some(read) if matches!(read.state, TaskState::Refused | TaskState::Failed) => {
            let why = read.detail.as_deref().or(read.reason.as_deref()).unwrap_or("it did not say why");
            (TaskMove::Refuse, format!("its present state cannot be read: {why}"))
        }
        _ => {
            let why = "the host did not show its present state in time, so it was left out of the plan";
            (TaskMove::Unreach, why.to_owned())
        }
    }
}

fn nobody_showed(left_out: &[TaskRow]) -> String {
    let told = left_out.iter().filter(|task| task.state == TaskState::Refused);
    let why: BTreeSet<&str> = told.filter_map(|task| task.detail.as_deref()).take(NAMED_MAX).collect();
    match why.is_empty() {
        true => "no host showed its present state in time".to_owned(),
        false => {
            let why = why.into_iter().collect::<Vec<_>>().join("; ");
            format!("no host showed its present state: {}", brief(&why, REASON_BYTES_MAX))
        }
    }
}

/// All tasks as they become.
fn changes(shown: &[TaskRow], left_out: &mut Vec<TaskRow>) -> Vec<Change> {
    let all = shown.iter().cloned().chain(std::mem::take(left_out));
    all.map(|to| Change { from: TaskState::Waiting, to }).collect()
}

async fn decide(
    gate: &Gate,
    tx: &Tx,
    plan: (&legator_core::plan::PlanBody, &About),
    on: (&[TaskRow], &Fleet),
) -> Result<Decision, GateError> {
    let policy = gate.policy(tx.op().tenant, policies::current_in(tx).await?);
    let roles = requester_roles(gate, tx, plan.0.requester).await?;
    let facts_ = facts::facts(plan.0, plan.1, &roles);
    let hosts = on.1.facts(on.0.iter().map(|task| task.host));
    let cap = if plan.1.proposed { Cap::ReadOrPropose } else { Cap::All };
    Ok(facts::decide(&policy, &facts_, &hosts, Over { auth: gate.auth, cap }))
}

/// The roles of who asked, now.
pub(crate) async fn requester_roles(
    gate: &Gate,
    tx: &Tx,
    person: legator_core::ids::PersonId,
) -> Result<Vec<legator_core::rights::RoleOn>, GateError> {
    if gate.auth == Auth::Off {
        let role = legator_core::rights::Role::Admin;
        return Ok(vec![legator_core::rights::RoleOn { role, selector: None }]);
    }
    let person = persons::of_act(tx, person).await?.filter(|person| person.disabled_at.is_none());
    Ok(person.map_or_else(Vec::new, |person| person.roles))
}

/// The differences, each once, with the hosts that it is for.
fn differences(call: &Call, shown: &[TaskRow], states: &HashMap<HostId, Value>) -> String {
    let mut by_text: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for task in shown {
        let Some(state) = states.get(&task.host) else { continue };
        by_text.entry(verbs::difference(call, state)).or_default().push(&task.name);
    }
    let one = by_text.len() == 1;
    let mut all = String::new();
    for (text, names) in by_text {
        if !one {
            let more = names.len().saturating_sub(NAMED_MAX);
            let named = names.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
            all.push_str(&format!(
                "# {named}{}\n",
                if more > 0 { format!(" and {more} more") } else { String::new() }
            ));
        }
        if all.len() + text.len() > DIFF_BYTES_MAX {
            all.push_str("… the other differences are left out: too long to show\n");
            break;
        }
        all.push_str(&text);
    }
    all
}
