//! Seal: from a plan and its votes, weighed now, to grants for the hosts whose turn it is.
//!
//! Owns the fourth stop of the one path. Never delivers. Invariant: before anything is signed, the tenant's rights are whole, the
//! policy was asked again, the votes are enough, and no freeze is over the host; the state that says so is written in the same
//! transaction, on the very versions that were judged.

use legator_core::decision::{Decision, Effect};
use legator_core::event::{About as Subject, NewEvent};
use legator_core::ids::{HostId, InstanceId, PlanId, TaskId, TenantId, TraceId};
use legator_core::level::Level;
use legator_core::plan::{PlanBody, PlanMove, PlanState};
use legator_core::selector::Selector;
use legator_core::task::{TaskMove, TaskState};
use legator_core::time::Timestamp;
use legator_core::verbs::Secrets;
use legator_store::plans::{GrantRow, PlanRow};
use legator_store::tasks::{Change, TaskRow};
use legator_store::{Audited, Op, Tx, freezes as freeze_rows, limits, plans, policies, tasks};
use legator_wire::grant::Delivery;
use legator_wire::keys::AuthorityKey;
use serde_json::json;

use crate::Gate;
use crate::caller::Cap;
use crate::draft::{self, About};
use crate::error::GateError;
use crate::facts::{self, Over};
use crate::freezes::{self, FreezeView};
use crate::grants::{self, Stamp};
use crate::hosts::{Fleet, by_id};
use crate::prepare::requester_roles;
use crate::secrets;
use crate::votes::{self, Weighed};
use crate::wave::{Scene, step};

/// Tasks handed over in one call, at most.
const SEND_MAX: usize = 1000;
/// Bytes of plans in the deliveries of one call, at most.
const SEND_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Tasks named in one event, at most.
const NAMED_MAX: usize = 1000;

/// A task to hand to a host.
#[derive(Debug, Clone)]
pub struct Handed {
    /// The host.
    pub host: HostId,
    /// The task.
    pub task: TaskId,
    /// The edge that holds the host.
    pub edge: Option<InstanceId>,
    /// The epoch of the host's session.
    pub epoch: u64,
    /// What the host is given.
    pub delivery: Delivery,
}

/// What a call of `seal` came to.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The tenant.
    pub tenant: TenantId,
    /// Where the plan stands now.
    pub state: PlanState,
    /// What to hand over.
    pub deliveries: Vec<Handed>,
    /// Whether anything was written: watchers are to be woken.
    pub changed: bool,
    /// When to seal again, where the passing of time changes something.
    pub wake_at: Option<Timestamp>,
}

/// What was read before the transaction. The plan's version is what is written on.
struct Before {
    row: PlanRow,
    fleet: Fleet,
    secrets: Secrets,
}

/// Everything that is judged from.
struct Loaded<'a> {
    row: &'a PlanRow,
    fleet: &'a Fleet,
    secrets: &'a Secrets,
    tasks: Vec<TaskRow>,
    grants: Vec<GrantRow>,
}

async fn load<'a>(tx: &Tx, before: &'a Before) -> Result<Loaded<'a>, GateError> {
    let tasks = tasks::of_plan_in(tx, before.row.id).await?;
    let given_back = tasks.iter().any(|task| task.state == TaskState::Waiting && task.grant.is_some());
    let grants = if given_back { plans::grants_in(tx, before.row.id).await? } else { Vec::new() };
    Ok(Loaded { row: &before.row, fleet: &before.fleet, secrets: &before.secrets, tasks, grants })
}

/// Seals what can be handed over now. Called again, it goes on; a task that was given back is given the same grant.
///
/// # Errors
/// `Store(RightsTampered)` when the tenant's rights are not whole: no grants; `Conflict` when the plan was changed meanwhile.
pub async fn seal(gate: &Gate, key: &AuthorityKey, plan: PlanId) -> Result<Sealed, GateError> {
    let (row, hosts) = plans::with_fleet(&gate.store, plan).await?.ok_or(GateError::Nothing)?;
    let idle = Sealed {
        tenant: row.tenant,
        state: row.state,
        deliveries: Vec::new(),
        changed: false,
        wake_at: None,
    };
    let open = matches!(row.state, PlanState::Approved | PlanState::Running);
    if !open || gate.store.clock().now() >= row.expires_at {
        return Ok(idle);
    }
    let secrets = secrets::of_plan(gate, &row).await?;
    let loaded = Before { fleet: Fleet(hosts), row, secrets };
    let op = Op::system(idle.tenant, "dispatch", TraceId::fresh(gate.store.ids()));
    let mut wake_at = None;
    let written = gate.store.write(&op, async |tx| write(gate, tx, (&loaded, key), &mut wake_at).await);
    match written.await {
        Ok(sealed) => Ok(sealed),
        Err(GateError::Nothing) => Ok(Sealed { wake_at, ..idle }),
        Err(error) => Err(error),
    }
}

/// What is judged inside the transaction.
struct Judged {
    body: PlanBody,
    weighed: Weighed,
    needed: u8,
    decision: Decision,
    windows: Vec<(FreezeView, Selector)>,
    limits_version: u64,
}

async fn judge(gate: &Gate, tx: &Tx, loaded: &Loaded<'_>) -> Result<Judged, GateError> {
    tx.rights_whole(loaded.row.tenant).await?;
    let (body, about) = (draft::body(loaded.row)?, About::of(loaded.row)?);
    let waiting = loaded.tasks.iter().filter(|task| task.state == TaskState::Waiting).map(|task| task.host);
    let hosts = loaded.fleet.facts(waiting);
    let policy = gate.policy(loaded.row.tenant, policies::current_in(tx).await?);
    let roles = requester_roles(gate, tx, loaded.row.requester).await?;
    let over = Over { auth: gate.auth, cap: if about.proposed { Cap::ReadOrPropose } else { Cap::All } };
    let decision = match hosts.is_empty() {
        true => loaded.row.decision.clone(),
        false => facts::stricter(
            &loaded.row.decision,
            facts::decide(&policy, &facts::facts(&body, &about, &roles), &hosts, over),
        ),
    };
    let free = decision.effect == Effect::Allow && body.level == Level::Observe;
    let weighed = if free { Weighed::default() } else { votes::weigh(gate, tx, loaded.row, &hosts).await? };
    let (windows, limits_version) = match body.level {
        Level::Observe => (Vec::new(), 0),
        Level::Diagnose | Level::Remediate => {
            (freezes::parsed(freeze_rows::of_act(tx).await?, tx.now()), limits::version_in(tx).await?)
        }
    };
    Ok(Judged { needed: decision.approvals_needed, body, weighed, decision, windows, limits_version })
}

async fn write(
    gate: &Gate,
    tx: &Tx,
    on: (&Before, &AuthorityKey),
    wake_at: &mut Option<Timestamp>,
) -> Result<Audited<Sealed>, GateError> {
    let key = on.1;
    let loaded = &load(tx, on.0).await?;
    let judged = judge(gate, tx, loaded).await?;
    let (mut row, mut rows) = (loaded.row.clone(), loaded.tasks.clone());
    let mut sent = Vec::new();
    let mut made = Vec::new();
    if row.taken_back {
        take_back(&mut rows, tx.now())?;
    } else if judged.decision.effect == Effect::Refuse {
        refuse(&mut row, &mut rows, (&judged.decision, tx.now()))?;
    } else if !judged.weighed.enough(judged.needed) {
        if row.state == PlanState::Approved {
            row.state = row.state.after(PlanMove::Unapprove)?;
        }
    } else {
        let hosts = by_id(loaded.fleet);
        let frozen = freezes::frozen(&judged.windows, hosts.values().copied());
        let send_max = (SEND_BYTES_MAX / (row.body.len() + 4096)).clamp(1, SEND_MAX);
        let scene = Scene { body: &judged.body, now: tx.now(), hosts: &hosts, frozen: &frozen, send_max };
        let step = step(&scene, &mut rows, row.wave)?;
        *wake_at = step.wake_at;
        row.wave = step.wave;
        sent = step.send;
        made = grant(&judged, (&row, &mut rows), (&sent, key), tx.now())?;
        if !sent.is_empty() && row.state == PlanState::Approved {
            row.state = row.state.after(PlanMove::Start)?;
        }
    }
    let ended = matches!(row.state, PlanState::Approved | PlanState::Running)
        && rows.iter().all(|task| task.state.is_final());
    if ended {
        let own = rows.iter().all(|task| matches!(task.state, TaskState::Succeeded | TaskState::Failed));
        let by = if row.taken_back && !own { PlanMove::Cancel } else { PlanMove::Finish };
        row.state = row.state.after(by)?;
    }
    row.ended_at = row.state.is_final().then(|| tx.now());
    let changes = changes(&loaded.tasks, &rows);
    if changes.is_empty() && row == *loaded.row {
        return Err(GateError::Nothing);
    }
    let kept: Vec<GrantRow> = made.iter().map(grants::kept).collect();
    plans::insert_grants(tx, row.id, &kept).await?;
    if !tasks::update(tx, &changes).await? || !plans::update(tx, &row).await? {
        return Err(GateError::Conflict);
    }
    let all: Vec<GrantRow> = loaded.grants.iter().cloned().chain(kept).collect();
    let deliveries = deliver(gate, (&judged, loaded, key), (&rows, &sent, &all), tx.now())?;
    let event = event(&row, &judged, (&rows, &sent), &changes);
    let sealed =
        Sealed { tenant: row.tenant, state: row.state, deliveries, changed: true, wake_at: *wake_at };
    Ok(Audited::new(sealed, event))
}

/// The plan was taken back while it ran: what waits again, given back by its host, is not handed over once more.
fn take_back(rows: &mut [TaskRow], now: Timestamp) -> Result<(), GateError> {
    let why = ("cancelled", "the plan was taken back before this host was started");
    let mut waiting = rows.iter_mut().filter(|task| task.state == TaskState::Waiting);
    waiting.try_for_each(|task| draft::end(task, TaskMove::Cancel, now, why))
}

/// The policy says no by now: what waits is refused; what was handed over ends as it does.
fn refuse(row: &mut PlanRow, rows: &mut [TaskRow], on: (&Decision, Timestamp)) -> Result<(), GateError> {
    let (decision, now) = on;
    for task in rows.iter_mut().filter(|task| task.state == TaskState::Waiting) {
        draft::end(task, TaskMove::Refuse, now, (&decision.rule, &decision.reason))?;
    }
    if row.state == PlanState::Approved {
        row.state = row.state.after(PlanMove::Refuse)?;
    }
    Ok(())
}

/// Signs grants for those that are handed over for the first time.
fn grant(
    judged: &Judged,
    on: (&PlanRow, &mut [TaskRow]),
    by: (&[usize], &AuthorityKey),
    now: Timestamp,
) -> Result<Vec<grants::Made>, GateError> {
    let (row, rows) = on;
    let digest = row.digest.ok_or_else(|| GateError::corrupt("plan", "it has no digest"))?;
    let first_time = |place: &&usize| rows.get(**place).is_some_and(|task| task.grant.is_none());
    let mut places: Vec<u32> =
        by.0.iter().filter(first_time).filter_map(|place| rows.get(*place)).map(|task| task.place).collect();
    places.sort_unstable();
    let stamp = Stamp {
        plan: row,
        body: &judged.body,
        digest,
        weighed: &judged.weighed,
        limits_version: judged.limits_version,
        now,
    };
    let made = grants::make(&stamp, &places, by.1);
    for task in rows.iter_mut().filter(|task| task.grant.is_none() && task.state == TaskState::Sent) {
        let own = made.iter().find(|made| made.first <= task.place && task.place - made.first < made.count);
        let own = own.ok_or_else(|| GateError::corrupt("grant", "there is none for the task"))?;
        task.grant = Some(own.envelope.digest());
        task.lose_at = Some(grants::lose_at(&judged.body, own.expires_at));
    }
    Ok(made)
}

/// The tasks that became something else.
fn changes(before: &[TaskRow], after: &[TaskRow]) -> Vec<Change> {
    let pairs = before.iter().zip(after).filter(|(before, after)| before != after);
    pairs.map(|(before, after)| Change { from: before.state, to: after.clone() }).collect()
}

fn deliver(
    gate: &Gate,
    on: (&Judged, &Loaded<'_>, &AuthorityKey),
    what: (&[TaskRow], &[usize], &[GrantRow]),
    now: Timestamp,
) -> Result<Vec<Handed>, GateError> {
    let (judged, loaded, key) = on;
    let (rows, sent, grants) = what;
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let proofs = grants::proofs(rows, &judged.body);
    let approvals = judged.weighed.envelopes();
    let digest = loaded.row.digest.ok_or_else(|| GateError::corrupt("plan", "it has no digest"))?;
    let one = |place: &usize| {
        let gone = || GateError::corrupt("task", "it is not among those of its plan");
        let task = rows.get(*place).ok_or_else(gone)?;
        let host = loaded.fleet.find(task.host).ok_or_else(gone)?;
        let delivery = Delivery {
            grant: grants::find(grants, task.place)?,
            plan: loaded.row.body.clone(),
            leaf: task.leaf(),
            proof: proofs.get(task.place as usize).cloned().ok_or_else(gone)?,
            approvals: approvals.clone(),
            limits: (judged.limits_version > 0)
                .then(|| freezes::signed(gate, key, host, (&judged.windows, judged.limits_version, now))),
            secrets: secrets::for_host(loaded.secrets, &digest, task)?,
        };
        Ok(Handed { host: task.host, task: task.id, edge: host.edge, epoch: host.epoch, delivery })
    };
    sent.iter().map(one).collect()
}

fn event(row: &PlanRow, judged: &Judged, on: (&[TaskRow], &[usize]), changes: &[Change]) -> NewEvent {
    let sent = on.1.iter().take(NAMED_MAX).filter_map(|place| on.0.get(*place));
    let sent: Vec<_> =
        sent.map(|task| json!({"task": task.id, "host": task.host, "grant": task.grant})).collect();
    let ended = changes.iter().filter(|change| change.to.state.is_final()).take(NAMED_MAX);
    let ended: Vec<_> = ended
        .map(|change| {
            let task = &change.to;
            json!({"task": task.id, "host": task.host, "name": task.name, "state": task.state, "reason": task.reason})
        })
        .collect();
    let data = json!({
        "digest": row.digest, "state": row.state, "wave": row.wave, "handed": on.1.len(), "sent": sent, "ended": ended,
        "decision": judged.decision, "counted": judged.weighed.counted(), "limits_version": judged.limits_version,
    });
    let about = match on.0 {
        [only] => Subject::task(only.host, row.id, only.id),
        _ => Subject::plan(row.id),
    };
    NewEvent::new("plan.sealed", about, data)
}

/// What a host was handed and has not answered, to hand over once more: after it came back, or when a message was lost. The same
/// grants as before: a probe that knows them answers and runs nothing again.
///
/// # Errors
/// `Store(RightsTampered)` when the tenant's rights are not whole: no grants.
pub async fn resend(gate: &Gate, key: &AuthorityKey, host: HostId) -> Result<Vec<Handed>, GateError> {
    let mut handed = Vec::new();
    for task in tasks::handed(&gate.store, host).await? {
        gate.store.rights_whole(task.tenant).await?;
        let Some(row) = plans::get(&gate.store, task.plan).await? else { continue };
        let body = draft::body(&row)?;
        let all = tasks::of_plan(&gate.store, task.plan).await?;
        let fleet = Fleet::of(gate, task.tenant).await?;
        let Some(host) = fleet.living(task.host).filter(|host| host.key == task.key) else { continue };
        let version =
            if body.level == Level::Observe { 0 } else { limits::version(&gate.store, task.tenant).await? };
        let now = gate.store.clock().now();
        let windows = freezes::parsed(freeze_rows::list(&gate.store, task.tenant).await?, now);
        let votes = legator_store::approvals::list(&gate.store, task.tenant, task.plan).await?;
        let digest = row.digest.ok_or_else(|| GateError::corrupt("plan", "it has no digest"))?;
        let secrets = secrets::for_host(&secrets::of_plan(gate, &row).await?, &digest, &task)?;
        let proof = grants::proofs(&all, &body).get(task.place as usize).cloned();
        let delivery = Delivery {
            grant: grants::find(&plans::grants(&gate.store, task.plan).await?, task.place)?,
            plan: row.body,
            leaf: task.leaf(),
            proof: proof.ok_or_else(|| GateError::corrupt("task", "it is not among those of its plan"))?,
            approvals: Weighed { votes, alone: false }.envelopes(),
            limits: (version > 0).then(|| freezes::signed(gate, key, host, (&windows, version, now))),
            secrets,
        };
        handed.push(Handed { host: task.host, task: task.id, edge: host.edge, epoch: host.epoch, delivery });
    }
    Ok(handed)
}
