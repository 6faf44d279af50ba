//! Settle: receipts come back and end their tasks.
//!
//! Owns the eighth stop of the one path, and what is heard of a task before its receipt. Invariant: a receipt is folded once; the
//! same again is answered with the same acknowledgement and changes nothing.

use std::collections::{BTreeSet, HashMap};

use legator_core::digest::Digest;
use legator_core::event::{About as Subject, Actor, NewEvent};
use legator_core::ids::{HostId, PlanId, TaskId, TenantId, TraceId};
use legator_core::task::{Outcome, TaskMove, TaskState};
use legator_store::outputs::{self, NewOutput, Output};
use legator_store::tasks::{Answered, Change, TaskRow};
use legator_store::{Audited, Op, Tx, plans, tasks};
use legator_wire::keys::PublicKey;
use legator_wire::receipt::{Receipt, Sent};
use legator_wire::refusal::Refusal;
use serde_json::{Value, json};

use crate::Gate;
use crate::error::GateError;
use crate::verdict::{self, Unproven};

/// Receipts of one transaction, at most.
const BATCH_MAX: usize = 500;
/// Tries when tasks are changed meanwhile.
const TRIES_MAX: usize = 5;
/// The largest state that stands in an event, in bytes of JSON.
const STATE_BYTES_MAX: usize = 8 * 1024;

/// A receipt as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// The host on whose subject it came.
    pub host: HostId,
    /// The key of that host's session.
    pub key: PublicKey,
    /// It.
    pub sent: Sent,
}

/// What became of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The host.
    pub host: HostId,
    /// The task.
    pub task: TaskId,
    /// Its plan.
    pub plan: PlanId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Where the task stands.
    pub state: TaskState,
    /// Whether the plan has ended by it.
    pub plan_final: bool,
    /// The plan for which this one reads.
    pub prepares: Option<PlanId>,
    /// The digest of the receipt, for the host to forget it; nothing when it proves nothing.
    pub ack: Option<Digest>,
    /// What is strange about it: an alarm, which is to be on record before anything is acknowledged.
    pub odd: Option<Odd>,
}

/// What is strange about a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Odd {
    /// It proves nothing: another signature, another task, or other output than it states.
    Unproven,
    /// The host refused a delivery that was not proven to be the authority's for this task: somebody altered it on the way, or used the
    /// task's id for something else.
    Delivery(Refusal),
    /// It is well signed and says something else than the one that stands.
    Contradiction {
        /// The digest of the one that stands.
        first: Digest,
        /// Its own.
        second: Digest,
        /// What it says.
        outcome: Outcome,
    },
    /// It is well signed and came after the task had ended without one.
    Late {
        /// Its digest.
        receipt: Digest,
        /// What it says.
        outcome: Outcome,
    },
}

/// Folds receipts into their tasks, at most 500 in one transaction. One that names no known task is not among the results.
///
/// # Errors
/// When the store fails; nothing of the batch is acknowledged then.
pub async fn settle(gate: &Gate, received: Vec<Received>) -> Result<Vec<Settled>, GateError> {
    let mut settled = Vec::with_capacity(received.len());
    for batch in received.chunks(BATCH_MAX) {
        let mut tries = 1;
        loop {
            match settle_batch(gate, batch).await {
                Err(GateError::Conflict) if tries < TRIES_MAX => tries += 1,
                other => break settled.extend(other?),
            }
        }
    }
    Ok(settled)
}

/// A receipt that changes its task.
struct Fold {
    change: Change,
    receipt: Receipt,
    output: Output,
}

async fn settle_batch(gate: &Gate, batch: &[Received]) -> Result<Vec<Settled>, GateError> {
    let claimed: Vec<Option<TaskId>> = batch
        .iter()
        .map(|received| received.sent.receipt.claimed::<Receipt>().map(|receipt| receipt.task))
        .collect();
    let ids: Vec<TaskId> = claimed.iter().flatten().copied().collect();
    let found = tasks::answered(&gate.store, &ids).await?;
    let mut known: HashMap<TaskId, Answered> =
        found.into_iter().map(|answered| (answered.task.id, answered)).collect();
    let (mut settled, mut folds) = (Vec::new(), Vec::new());
    for (received, task) in batch.iter().zip(claimed) {
        let Some(answered) = task.and_then(|task| known.get_mut(&task)) else { continue };
        settled.push(one(gate, received, answered, &mut folds));
    }
    if folds.is_empty() {
        return Ok(settled);
    }
    let op = Op::system(TenantId::DEFAULT, "record", TraceId::fresh(gate.store.ids()));
    let ended = gate.store.write(&op, async |tx| write(tx, folds).await).await?;
    settled.iter_mut().for_each(|settled| settled.plan_final = ended.contains(&settled.plan));
    Ok(settled)
}

/// Judges one receipt; what it changes is added to `folds` and laid over the task for those that follow.
fn one(gate: &Gate, received: &Received, answered: &mut Answered, folds: &mut Vec<Fold>) -> Settled {
    let sent = &received.sent;
    let task = &answered.task;
    let settled = |state: TaskState, ack: Option<Digest>| Settled {
        host: received.host,
        task: task.id,
        plan: task.plan,
        tenant: task.tenant,
        state,
        plan_final: false,
        prepares: answered.prepares,
        ack,
        odd: None,
    };
    let own = received.host == task.host && received.key.hex() == task.key;
    let opened = match answered.digest {
        Some(digest) if own => verdict::open(sent, task, (gate.installation(), digest)),
        _ => Err(Unproven::Other),
    };
    let receipt = match opened {
        Ok(receipt) => receipt,
        Err(unproven) => {
            tracing::warn!(host = %received.host, task = %task.id, why = ?unproven, "a receipt ends nothing");
            let odd = match unproven {
                Unproven::Delivery(refusal) => Odd::Delivery(refusal),
                _ => Odd::Unproven,
            };
            return Settled { odd: Some(odd), ..settled(task.state, None) };
        }
    };
    let digest = sent.receipt.digest();
    if task.receipt_digest == Some(digest) {
        return settled(task.state, Some(digest));
    }
    let Some(to) = verdict::fold(task, &receipt, sent, gate.store.clock().now()) else {
        tracing::warn!(host = %received.host, task = %task.id, state = %task.state, "a receipt came for a task that has ended");
        return Settled {
            odd: verdict::after_the_end(task, &receipt, digest),
            ..settled(task.state, Some(digest))
        };
    };
    let answer = settled(to.state, Some(digest));
    let output = Output { stdout: sent.stdout.clone(), stderr: sent.stderr.clone() };
    folds.push(Fold { change: Change { from: task.state, to: to.clone() }, receipt, output });
    answered.task = to;
    answer
}

async fn write(tx: &Tx, folds: Vec<Fold>) -> Result<Audited<BTreeSet<PlanId>>, GateError> {
    let changes: Vec<Change> = folds.iter().map(|fold| fold.change.clone()).collect();
    if !update(tx, &changes).await? {
        return Err(GateError::Conflict);
    }
    let kept = folds.iter().map(|fold| {
        let task = &fold.change.to;
        NewOutput { task: task.id, plan: task.plan, host: task.host, output: fold.output.clone() }
    });
    outputs::put(tx, kept.collect()).await?;
    let of: BTreeSet<PlanId> = changes.iter().map(|change| change.to.plan).collect();
    let of: Vec<PlanId> = of.into_iter().collect();
    let ended: BTreeSet<PlanId> = plans::finish(tx, &of).await?.into_iter().map(|(plan, _)| plan).collect();
    let trace = tx.op().trace;
    let mut events = folds.iter().map(|fold| told(fold, &ended, trace));
    let Some((op, event)) = events.next() else { return Err(GateError::Nothing) };
    let first = Audited::new_by(ended.clone(), op, event);
    Ok(events.fold(first, |audited, (op, event)| audited.and_by(op, event)))
}

/// Two receipts of one task in a batch are two steps: `unknown`, then what it was.
async fn update(tx: &Tx, changes: &[Change]) -> Result<bool, GateError> {
    let mut seen = BTreeSet::new();
    let (first, second): (Vec<Change>, Vec<Change>) =
        changes.iter().cloned().partition(|change| seen.insert(change.to.id));
    Ok(tasks::update(tx, &first).await? && tasks::update(tx, &second).await?)
}

fn told(fold: &Fold, ended: &BTreeSet<PlanId>, trace: TraceId) -> (Op, NewEvent) {
    let (task, receipt) = (&fold.change.to, &fold.receipt);
    let op = Op { tenant: task.tenant, actor: Actor::Probe { host: task.host }, trace };
    let data = json!({
        "name": task.name, "state": task.state, "reason": task.reason, "detail": task.detail, "exit_code": receipt.exit_code,
        "signal": receipt.signal, "verified": receipt.verified, "duration_ms": receipt.duration_ms,
        "before": bounded(&receipt.before), "after": bounded(&receipt.after), "receipt": task.receipt_digest, "grant": receipt.grant,
        "stdout": {"bytes": receipt.stdout.bytes, "digest": receipt.stdout.digest},
        "stderr": {"bytes": receipt.stderr.bytes, "digest": receipt.stderr.digest},
        "quorum": receipt.quorum, "was_unknown": task.was_unknown, "plan_finished": ended.contains(&task.plan),
    });
    (op, NewEvent::new("task.ended", Subject::task(task.host, task.plan, task.id), data))
}

fn bounded(state: &Option<Value>) -> Value {
    let Some(state) = state else { return Value::Null };
    let text = state.to_string();
    match text.len() <= STATE_BYTES_MAX {
        true => state.clone(),
        false => json!({"left_out_bytes": text.len(), "digest": Digest::of(text.as_bytes())}),
    }
}

/// Notes that a probe has begun tasks; says how many were news.
///
/// # Errors
/// When the store fails.
pub async fn started(gate: &Gate, began: &[(HostId, TaskId)]) -> Result<usize, GateError> {
    moved(gate, began, (TaskMove::Start, "task.started")).await
}

/// Notes that a connection gave tasks back unseen, so that they wait again; says how many did.
///
/// # Errors
/// When the store fails.
pub async fn give_back(gate: &Gate, given: &[(HostId, TaskId)]) -> Result<usize, GateError> {
    moved(gate, given, (TaskMove::GiveBack, "task.given-back")).await
}

async fn moved(
    gate: &Gate,
    on: &[(HostId, TaskId)],
    by: (TaskMove, &'static str),
) -> Result<usize, GateError> {
    let ids: Vec<TaskId> = on.iter().map(|(_, task)| *task).take(BATCH_MAX).collect();
    let rows = tasks::by_ids(&gate.store, &ids).await?;
    let own = |row: &TaskRow| on.contains(&(row.host, row.id));
    let change = |row: TaskRow| {
        let state = row.state.after(by.0).ok()?;
        Some(Change { from: row.state, to: TaskRow { state, ..row } })
    };
    let changes: Vec<Change> = rows.into_iter().filter(own).filter_map(change).collect();
    if changes.is_empty() {
        return Ok(0);
    }
    let trace = TraceId::fresh(gate.store.ids());
    let op = Op::system(TenantId::DEFAULT, "record", trace);
    let written = gate.store.write(&op, async |tx| {
        if !tasks::update(tx, &changes).await? {
            return Err(GateError::Conflict);
        }
        let mut events = changes.iter().map(|change| {
            let task = &change.to;
            let op = Op { tenant: task.tenant, actor: Actor::Probe { host: task.host }, trace };
            (
                op,
                NewEvent::new(
                    by.1,
                    Subject::task(task.host, task.plan, task.id),
                    json!({"state": task.state}),
                ),
            )
        });
        let Some((op, event)) = events.next() else { return Err(GateError::Nothing) };
        Ok(events.fold(Audited::new_by(changes.len(), op, event), |audited, (op, event)| {
            audited.and_by(op, event)
        }))
    });
    match written.await {
        // Another message was faster; what it said stands.
        Err(GateError::Conflict) => Ok(0),
        other => other,
    }
}
