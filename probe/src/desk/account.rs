//! Receipts: how an end, a refusal or an uncertainty is put down, signed.
//!
//! Owns the making of receipts. Invariant: `succeeded` is written only where the verb said so and its post-condition did not fail.

use legator_core::digest::Digest;
use legator_core::task::Outcome;
use legator_wire::dsse::Envelope;
use legator_wire::frame::{FRAME_BYTES_MAX, Up, text};
use legator_wire::receipt::{Kept, Receipt, STATE_BYTES_MAX, Sent};
use legator_wire::refusal::Refusal;
use serde_json::{Value, json};

use super::{Case, No};
use crate::identity::Identity;
use crate::journal::Begun;
use crate::probe::{Probe, Reserved};
use crate::verbs::Done;

/// A detail in a receipt, in characters at most.
const DETAIL_CHARS_MAX: usize = 2_000;

impl Case {
    fn bare(&self, outcome: Outcome) -> Receipt {
        let at = (self.identity.installation.clone(), self.identity.host);
        let of = (self.task, self.content.plan, self.delivery.grant.digest());
        Receipt::bare(at, of, outcome, self.probe.clock.now())
    }

    fn refusal(&self, no: No) -> Sent {
        let receipt = Receipt {
            reason: Some(no.0.name().to_owned()),
            detail: no.1.map(detail),
            ..self.bare(Outcome::Refused)
        };
        tracing::warn!(task = %self.task, reason = no.0.name(), "refused");
        sealed(&self.probe, &receipt)
    }

    /// Refuses without using the id.
    pub(super) async fn say_no(&self, no: No) {
        let sent = self.refusal(no);
        self.probe.say_waiting(Up::Receipt(Box::new(sent))).await;
    }

    /// Refuses for good: the id is used, the receipt waits for its acknowledgement.
    pub(super) async fn refuse(&self, no: No, reserved: Reserved) {
        let sent = self.refusal(no);
        self.keep(sent).await;
        drop(reserved);
    }

    /// It was taken back before it came.
    pub(super) async fn cancelled_before(&self, reserved: Reserved) {
        let said = Some("it was cancelled before it started".to_owned());
        let receipt = Receipt { detail: said, ..self.bare(Outcome::Cancelled) };
        self.keep(sealed(&self.probe, &receipt)).await;
        drop(reserved);
    }

    async fn keep(&self, sent: Sent) {
        let sent = match self.probe.journal.end((self.task, self.content), self.expires_at(), sent).await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(%error, "a refusal could not be kept");
                // The id is not used: what is said must not end the task.
                self.refusal(No(Refusal::NotKept, Some(error.to_string())))
            }
        };
        self.probe.say_waiting(Up::Receipt(Box::new(sent))).await;
    }
}

/// A signed receipt without output.
pub(super) fn sealed(probe: &Probe, receipt: &Receipt) -> Sent {
    Sent { receipt: Envelope::seal(receipt, &probe.key), stdout: Vec::new(), stderr: Vec::new() }
}

/// The receipt of a task that began, without output yet.
pub(super) fn of_begun(
    identity: &Identity,
    begun: &Begun,
    done: Done,
    ended_at: legator_core::time::Timestamp,
) -> Receipt {
    let at = (identity.installation.clone(), identity.host);
    let of = (begun.task, begun.content.plan, begun.grant);
    let held = done.verified != Some(false);
    let outcome = if done.outcome == Outcome::Succeeded && !held { Outcome::Failed } else { done.outcome };
    Receipt {
        reason: done.refusal.map(|refusal| refusal.name().to_owned()),
        detail: done.detail.map(detail),
        exit_code: done.exit_code,
        signal: done.signal,
        started_at: (outcome != Outcome::Refused).then_some(begun.at),
        before: done.before.map(bounded),
        after: done.after.map(bounded),
        verified: done.verified,
        quorum: begun.quorum.clone(),
        ..Receipt::bare(at, of, outcome, ended_at)
    }
}

/// Signs a receipt over its kept output. What would not fit a frame goes without output, and says so.
pub(super) fn with_output(probe: &Probe, mut receipt: Receipt, [out, err]: [(Kept, Vec<u8>); 2]) -> Sent {
    (receipt.stdout, receipt.stderr) = (out.0, err.0);
    let seal = |receipt: &Receipt, stdout, stderr| Sent {
        receipt: Envelope::seal(receipt, &probe.key),
        stdout,
        stderr,
    };
    let sent = seal(&receipt, out.1, err.1);
    let frame = Up::Receipt(Box::new(sent));
    let fits = text(&frame).len() <= FRAME_BYTES_MAX;
    if let (true, Up::Receipt(sent)) = (fits, frame) {
        return *sent;
    }
    let dropped = |kept: &Kept| Kept { bytes: kept.bytes, truncated: kept.bytes > 0, ..Kept::nothing() };
    (receipt.stdout, receipt.stderr) = (dropped(&receipt.stdout), dropped(&receipt.stderr));
    let said = receipt.detail.take().unwrap_or_default();
    receipt.detail =
        Some(detail(format!("{said} the output was dropped: it does not fit beside the states")));
    seal(&receipt, Vec::new(), Vec::new())
}

fn detail(text: String) -> String {
    text.trim().chars().take(DETAIL_CHARS_MAX).collect()
}

/// A state that is too large is named by its digest.
fn bounded(state: Value) -> Value {
    let bytes = serde_json::to_vec(&state).unwrap_or_default();
    if bytes.len() <= STATE_BYTES_MAX {
        return state;
    }
    json!({ "cut": true, "bytes": bytes.len(), "digest": Digest::of(&bytes) })
}
