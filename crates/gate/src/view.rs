//! Plans, tasks and approvals as callers see them.
//!
//! Owns the shapes that stand in answers. Decides nothing. Invariant: what a receipt says is shown from the receipt, not from a copy.

use std::collections::{BTreeMap, HashMap};

use legator_core::decision::{Decision, Effect};
use legator_core::digest::Digest;
use legator_core::error::Failure;
use legator_core::ids::{ApprovalId, HostId, PersonId, PlanId, TaskId, TenantId, TurnId};
use legator_core::level::{Effects, Level};
use legator_core::plan::{Leaf, PlanState, Rollout};
use legator_core::span::Span;
use legator_core::task::TaskState;
use legator_core::time::Timestamp;
use legator_store::approvals::{self, Vote};
use legator_store::outputs::{self, Output};
use legator_store::plans::{self, Filter, PlanRow};
use legator_store::tasks::{self, TaskRow};
use legator_wire::dsse::to_b64;
use legator_wire::receipt::{Kept, Receipt};
use serde::Serialize;
use serde_json::Value;

use crate::Gate;
use crate::draft::{self, About};
use crate::error::GateError;
use crate::verdict;

/// Tasks in one view, at most.
const TASKS_MAX: usize = 1000;
/// Output in one view, in bytes; what is beyond is read a task at a time.
const OUTPUT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A host of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostName {
    /// Its id.
    pub id: HostId,
    /// Its name when the plan was made.
    pub name: String,
}

/// What the policy said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionView {
    /// allow, needs_approval, refuse.
    pub effect: Effect,
    /// The rule.
    pub rule: String,
    /// How many persons have to approve.
    pub approvals_needed: u8,
    /// Why.
    pub reason: String,
    /// The version of the policy.
    pub policy_version: u64,
}

/// A vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApprovalView {
    /// Its id.
    pub id: ApprovalId,
    /// Who.
    pub person: PersonId,
    /// approve or reject.
    pub decision: &'static str,
    /// Why.
    pub reason: Option<String>,
    /// `self_approved` or `break_glass`.
    pub mark: Option<String>,
    /// The fingerprint of the key that signed it.
    pub signed_by: Option<Digest>,
    /// When.
    pub made_at: Timestamp,
}

/// One stream of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KeptView {
    /// The kept bytes, where they are UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The kept bytes otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b64: Option<String>,
    /// Bytes that were written in all.
    pub bytes: u64,
    /// Whether some were dropped.
    pub truncated: bool,
    /// Kept bytes from the beginning, where some were dropped; the others are from the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<u32>,
    /// The bytes are left out here; the task alone has them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub left_out: bool,
}

/// What a command wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OutputView {
    /// Standard output.
    pub stdout: KeptView,
    /// Standard error.
    pub stderr: KeptView,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// Its plan.
    pub plan: PlanId,
    /// Its host.
    pub host: HostId,
    /// The host's name when the plan was made.
    pub name: String,
    /// Where it stands.
    pub state: TaskState,
    /// The exit code, where a command ended by itself.
    pub exit_code: Option<i32>,
    /// The signal, where one ended it.
    pub signal: Option<i32>,
    /// What it wrote; nothing before the receipt.
    pub output: Option<OutputView>,
    /// The state before.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
    /// Whether the post-condition held.
    pub verified: Option<bool>,
    /// How long it ran.
    pub duration_ms: Option<u64>,
    /// Why it ended as it did: a stable word.
    pub reason: Option<String>,
    /// The same in a sentence.
    pub detail: Option<String>,
    /// When it started, by the host's clock.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// It was unknown before a receipt came after all.
    pub was_unknown: bool,
    /// The receipt, as its host signed it.
    pub receipt: Option<Value>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanView {
    /// Its id.
    pub id: PlanId,
    /// Its digest; nothing while it is preparing.
    pub digest: Option<Digest>,
    /// The verb.
    pub verb: String,
    /// Its arguments.
    pub args: Value,
    /// The level it runs at.
    pub level: Level,
    /// What it may touch.
    pub effects: Effects,
    /// One line for people.
    pub text: String,
    /// It runs an unconfined program: one tier of risk higher.
    pub unconfined: bool,
    /// Its hosts, at most 1,000 of them; none in lists.
    pub hosts: Vec<HostName>,
    /// How many hosts it has.
    pub hosts_total: u32,
    /// Names of hosts that were left out, since they did not show their present state.
    pub left_out: Vec<String>,
    /// The selector that was asked with.
    pub selector: String,
    /// What the policy said.
    pub decision: DecisionView,
    /// Votes.
    pub approvals: Vec<ApprovalView>,
    /// Where it stands.
    pub state: PlanState,
    /// How it goes through its hosts.
    pub rollout: Rollout,
    /// How long the verb may run on a host.
    pub timeout: Span,
    /// Who asked.
    pub requester: PersonId,
    /// By which door.
    pub via: String,
    /// The turn that proposed it.
    pub turn: Option<TurnId>,
    /// Why it was asked.
    pub reason: Option<String>,
    /// The difference that approvers are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// When it was asked.
    pub made_at: Timestamp,
    /// When approving ends.
    pub decide_by: Timestamp,
    /// The last moment at which a task may start.
    pub expires_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// An open freeze holds it until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_until: Option<Timestamp>,
    /// The plan that reads the present state for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<PlanId>,
    /// How many tasks are in each state.
    pub counts: BTreeMap<&'static str, u32>,
    /// Its tasks, at most 1,000 of them; none in lists.
    pub tasks: Vec<TaskView>,
}

impl From<&Decision> for DecisionView {
    fn from(decision: &Decision) -> Self {
        Self {
            effect: decision.effect,
            rule: decision.rule.clone(),
            approvals_needed: decision.approvals_needed,
            reason: decision.reason.clone(),
            policy_version: decision.policy_version,
        }
    }
}

impl From<&Vote> for ApprovalView {
    fn from(vote: &Vote) -> Self {
        Self {
            id: vote.id,
            person: vote.person,
            decision: if vote.approve { "approve" } else { "reject" },
            reason: vote.reason.clone(),
            mark: vote.mark.clone(),
            signed_by: vote.signed_by,
            made_at: vote.made_at,
        }
    }
}

fn kept(kept: &Kept, bytes: Option<&[u8]>) -> KeptView {
    let (text, b64) = match bytes.map(std::str::from_utf8) {
        None => (None, None),
        Some(Ok(text)) => (Some(text.to_owned()), None),
        Some(Err(_)) => (None, bytes.map(to_b64)),
    };
    KeptView {
        text,
        b64,
        bytes: kept.bytes,
        truncated: kept.truncated,
        head: kept.truncated.then_some(kept.head),
        left_out: bytes.is_none(),
    }
}

fn output(receipt: &Receipt, bytes: Option<&Output>) -> OutputView {
    OutputView {
        stdout: kept(&receipt.stdout, bytes.map(|output| output.stdout.as_slice())),
        stderr: kept(&receipt.stderr, bytes.map(|output| output.stderr.as_slice())),
    }
}

impl TaskView {
    fn of(row: &TaskRow, bytes: Option<&Output>) -> Self {
        let receipt = row.receipt.as_deref().and_then(verdict::stored);
        let receipt = receipt.as_ref();
        Self {
            id: row.id,
            plan: row.plan,
            host: row.host,
            name: row.name.clone(),
            state: row.state,
            exit_code: receipt.and_then(|receipt| receipt.exit_code),
            signal: receipt.and_then(|receipt| receipt.signal),
            output: receipt.map(|receipt| output(receipt, bytes)),
            before: receipt.and_then(|receipt| receipt.before.clone()),
            after: receipt.and_then(|receipt| receipt.after.clone()),
            verified: receipt.and_then(|receipt| receipt.verified),
            duration_ms: receipt.map(|receipt| receipt.duration_ms),
            reason: row.reason.clone(),
            detail: row.detail.clone(),
            started_at: receipt.and_then(|receipt| receipt.started_at),
            ended_at: row.ended_at,
            was_unknown: row.was_unknown,
            receipt: row.receipt.as_deref().and_then(|receipt| serde_json::from_str(receipt).ok()),
        }
    }
}

impl PlanView {
    /// The view of a plan and its tasks, without any output.
    pub(crate) fn of(row: &PlanRow, rows: &[TaskRow], votes: &[Vote]) -> Result<Self, Failure> {
        let body = draft::body(row)?;
        let about = About::of(row)?;
        let mut counts = BTreeMap::new();
        rows.iter().for_each(|task| *counts.entry(task.state.word()).or_insert(0) += 1);
        let shown = || rows.iter().take(TASKS_MAX);
        Ok(Self {
            id: row.id,
            digest: row.digest,
            verb: body.verb,
            args: body.args,
            level: body.level,
            effects: body.effects,
            text: about.text,
            unconfined: about.unconfined,
            hosts: shown().map(|task| HostName { id: task.host, name: task.name.clone() }).collect(),
            hosts_total: body.hosts,
            left_out: about.left_out,
            selector: about.selector,
            decision: (&row.decision).into(),
            approvals: votes.iter().map(ApprovalView::from).collect(),
            state: row.state,
            rollout: body.rollout,
            timeout: body.timeout,
            requester: row.requester,
            via: about.via,
            turn: about.turn,
            reason: body.reason,
            diff: about.diff,
            made_at: row.made_at,
            decide_by: row.decide_by,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
            frozen_until: None,
            reading: row.reading,
            counts,
            tasks: shown().map(|task| TaskView::of(task, None)).collect(),
        })
    }
}

/// Gives the views their output, as far as it fits.
async fn with_outputs(gate: &Gate, view: &mut PlanView, rows: &[TaskRow]) -> Result<(), GateError> {
    let mut left = OUTPUT_BYTES_MAX as u64;
    let mut fitting = Vec::new();
    for row in rows.iter().take(TASKS_MAX) {
        let Some(receipt) = row.receipt.as_deref().and_then(verdict::stored) else { continue };
        let size = receipt.stdout.bytes.saturating_add(receipt.stderr.bytes);
        // What was cut is at most as long as what is kept of a task.
        let size = size.min(u64::from(legator_wire::receipt::OUTPUT_BYTES_MAX));
        if size <= left {
            left -= size;
            fitting.push(row.id);
        }
    }
    let found = outputs::of_tasks(&gate.store, &fitting).await?;
    let known: HashMap<TaskId, Output> =
        fitting.iter().map(|id| (*id, found.get(id).cloned().unwrap_or_default())).collect();
    for (task, row) in view.tasks.iter_mut().zip(rows) {
        if let Some(bytes) = known.get(&row.id) {
            *task = TaskView::of(row, Some(bytes));
        }
    }
    Ok(())
}

/// A plan of a tenant, with tasks, votes and output.
///
/// # Errors
/// When the store fails.
pub async fn plan_view(gate: &Gate, tenant: TenantId, plan: PlanId) -> Result<Option<PlanView>, Failure> {
    let Some(row) = plans::get(&gate.store, plan).await?.filter(|row| row.tenant == tenant) else {
        return Ok(None);
    };
    let rows = tasks::of_plan(&gate.store, plan).await?;
    let votes = approvals::list(&gate.store, tenant, plan).await?;
    let mut view = PlanView::of(&row, &rows, &votes)?;
    with_outputs(gate, &mut view, &rows).await?;
    let held = matches!(row.state, PlanState::Pending | PlanState::Approved | PlanState::Running);
    if held && view.level > Level::Observe {
        view.frozen_until = frozen_until(gate, tenant, &rows).await?;
    }
    Ok(Some(view))
}

async fn frozen_until(
    gate: &Gate,
    tenant: TenantId,
    rows: &[TaskRow],
) -> Result<Option<Timestamp>, GateError> {
    let now = gate.store.clock().now();
    let windows = crate::freezes::parsed(legator_store::freezes::list(&gate.store, tenant).await?, now);
    if windows.is_empty() {
        return Ok(None);
    }
    let fleet = crate::hosts::Fleet::of(gate, tenant).await?;
    let waiting = rows.iter().filter(|task| task.state == TaskState::Waiting);
    let hosts = waiting.filter_map(|task| fleet.living(task.host));
    Ok(crate::freezes::frozen(&windows, hosts).into_values().max())
}

/// A task of a tenant, with its output.
///
/// # Errors
/// When the store fails.
pub async fn task_view(gate: &Gate, tenant: TenantId, task: TaskId) -> Result<Option<TaskView>, Failure> {
    let Some(row) = tasks::get(&gate.store, tenant, task).await? else { return Ok(None) };
    let found = outputs::of_tasks(&gate.store, &[task]).await?;
    Ok(Some(TaskView::of(&row, Some(&found.get(&task).cloned().unwrap_or_default()))))
}

/// Plans of a tenant, newest first, without hosts, tasks and votes.
///
/// # Errors
/// When the store fails.
pub async fn list_plans(gate: &Gate, tenant: TenantId, filter: &Filter) -> Result<Vec<PlanView>, Failure> {
    let rows = plans::list(&gate.store, tenant, filter).await?;
    let ids: Vec<PlanId> = rows.iter().map(|row| row.id).collect();
    let mut counts: HashMap<PlanId, BTreeMap<&'static str, u32>> = HashMap::new();
    for (plan, state, count) in tasks::counts(&gate.store, &ids).await? {
        counts.entry(plan).or_default().insert(state.word(), count);
    }
    let view = |row: &PlanRow| {
        let view = PlanView::of(row, &[], &[])?;
        Ok(PlanView { counts: counts.remove(&row.id).unwrap_or_default(), diff: None, ..view })
    };
    rows.iter().map(view).collect()
}

/// The very bytes of a plan with its leaves, for a program that renders and hashes them itself; and what was signed about it.
///
/// # Errors
/// When the store fails.
pub async fn plan_parts(gate: &Gate, tenant: TenantId, plan: PlanId) -> Result<Option<Value>, Failure> {
    let row = plans::get(&gate.store, plan).await?.filter(|row| row.tenant == tenant);
    let Some(row) = row.filter(|row| row.digest.is_some()) else { return Ok(None) };
    let (body, about) = (draft::body(&row)?, About::of(&row)?);
    let rows = tasks::of_plan(&gate.store, plan).await?;
    let leaves: Vec<Leaf> = rows.iter().filter(|task| task.place < body.hosts).map(TaskRow::leaf).collect();
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let grants = plans::grants(&gate.store, plan).await?;
    let grants: Vec<Value> = grants.iter().map(|grant| parse(&grant.envelope)).collect();
    let receipts: Vec<Value> = rows.iter().filter_map(|task| task.receipt.as_deref()).map(parse).collect();
    let votes = approvals::list(&gate.store, tenant, plan).await?;
    let approvals: Vec<Value> = votes.iter().filter_map(|vote| vote.envelope.clone()).collect();
    Ok(Some(serde_json::json!({
        "id": row.id, "digest": row.digest, "plan": to_b64(&row.body), "leaves": leaves, "difference": about.diff,
        "grants": grants, "receipts": receipts, "approvals": approvals,
    })))
}
