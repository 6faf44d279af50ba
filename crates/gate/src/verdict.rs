//! What a receipt proves about a task. Pure.
//!
//! Owns the checks between envelope, task and plan. Invariant: a task becomes `succeeded` only by a receipt signed by the key in its
//! leaf, over its own plan and the very grant that it was handed, whose post-condition does not fail.

use legator_core::digest::Digest;
use legator_core::task::{Outcome, TaskMove, TaskState};
use legator_store::tasks::TaskRow;
use legator_wire::dsse::Envelope;
use legator_wire::keys::PublicKey;
use legator_wire::receipt::{Kept, Receipt, STATE_BYTES_MAX, Sent};
use legator_wire::refusal::Refusal;

use crate::settle::Odd;

/// The longest word and sentence taken from a receipt, in characters.
const REASON_CHARS_MAX: usize = 100;
const DETAIL_CHARS_MAX: usize = 2000;

/// Why a receipt proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// Not signed by the host's key, or no receipt.
    Signature,
    /// Of another installation, host, task, plan or grant.
    Other,
    /// Its output or states are not what it states, or too large.
    Content,
    /// A refusal by which the id is not used: the task may still run.
    Delivery(Refusal),
}

/// Opens a receipt for this task, if it proves something about it.
pub fn open(sent: &Sent, task: &TaskRow, plan: (&str, Digest)) -> Result<Receipt, Unproven> {
    let key: PublicKey = task.key.parse().map_err(|_| Unproven::Signature)?;
    let receipt: Receipt = sent.receipt.open(&key).map_err(|_| Unproven::Signature)?;
    let same = receipt.v == 1
        && receipt.installation == plan.0
        && receipt.host == task.host
        && receipt.task == task.id;
    if !same {
        return Err(Unproven::Other);
    }
    // A probe that refuses what it could not prove may not have been able to read plan or grant, and the task may still run.
    let refusal = receipt.reason.as_deref().and_then(Refusal::of);
    match refusal.filter(|_| receipt.outcome == Outcome::Refused) {
        Some(refusal) if !refusal.uses_id() => return Err(Unproven::Delivery(refusal)),
        None if receipt.outcome == Outcome::Refused => return Err(Unproven::Other),
        _ => {}
    }
    // Whatever ended was granted: this plan, by this very grant.
    if task.grant.is_none() || receipt.plan != plan.1 || Some(receipt.grant) != task.grant {
        return Err(Unproven::Other);
    }
    let fits = |state: &Option<serde_json::Value>| {
        state.as_ref().is_none_or(|state| state.to_string().len() <= STATE_BYTES_MAX + 4096)
    };
    if !sent.is_proven_by(&receipt) || !fits(&receipt.before) || !fits(&receipt.after) {
        return Err(Unproven::Content);
    }
    Ok(receipt)
}

/// How the receipt ends its task. A success whose post-condition failed is none.
pub fn outcome(receipt: &Receipt) -> Outcome {
    match (receipt.outcome, receipt.verified) {
        (Outcome::Succeeded, Some(false)) => Outcome::Failed,
        (outcome, _) => outcome,
    }
}

/// The task as the receipt leaves it; nothing when its state takes no receipt any more.
pub fn fold(
    task: &TaskRow,
    receipt: &Receipt,
    sent: &Sent,
    now: legator_core::time::Timestamp,
) -> Option<TaskRow> {
    let outcome = outcome(receipt);
    let state = task.state.after(TaskMove::Receipt(outcome)).ok()?;
    let cut = |text: &str, chars: usize| text.chars().take(chars).collect::<String>();
    let failed_after = receipt.outcome == Outcome::Succeeded && outcome == Outcome::Failed;
    let reason = match &receipt.reason {
        Some(reason) => Some(cut(reason, REASON_CHARS_MAX)),
        None if failed_after || (outcome == Outcome::Failed && receipt.verified == Some(false)) => {
            Some("not-verified".to_owned())
        }
        None if outcome == Outcome::Cancelled => Some("cancelled".to_owned()),
        None => None,
    };
    Some(TaskRow {
        state,
        ended_at: Some(now),
        reason,
        detail: receipt.detail.as_deref().map(|detail| cut(detail, DETAIL_CHARS_MAX)),
        receipt: Some(sent.receipt.to_json()),
        receipt_digest: Some(sent.receipt.digest()),
        was_unknown: task.state == TaskState::Unknown,
        ..task.clone()
    })
}

/// What is strange about a receipt whose task had ended. The same account again, with less of its output, is not.
pub(crate) fn after_the_end(task: &TaskRow, receipt: &Receipt, digest: Digest) -> Option<Odd> {
    let outcome = receipt.outcome;
    let Some(first) = task.receipt_digest else { return Some(Odd::Late { receipt: digest, outcome }) };
    let without_output = |receipt: &Receipt| Receipt {
        stdout: Kept::nothing(),
        stderr: Kept::nothing(),
        detail: None,
        ..receipt.clone()
    };
    let stands = task.receipt.as_deref().and_then(stored);
    let same = stands.is_some_and(|stands| without_output(&stands) == without_output(receipt));
    (!same).then_some(Odd::Contradiction { first, second: digest, outcome })
}

/// The receipt in a stored envelope, which was verified before it was stored.
pub(crate) fn stored(envelope: &str) -> Option<Receipt> {
    serde_json::from_str::<Envelope>(envelope).ok()?.claimed()
}
