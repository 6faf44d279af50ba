//! What the authority says besides grants: cancel, limits, acknowledgement; and what cannot be read at all.
//!
//! Owns their checks. Invariant: an order counts only when the pinned authority signed it for this very host.

use legator_core::digest::Digest;
use legator_core::ids::TaskId;
use legator_core::span::Span;
use legator_core::task::Outcome;
use legator_wire::dsse::Envelope;
use legator_wire::frame::Up;
use legator_wire::order::{Ack, Cancel};
use legator_wire::receipt::Receipt;
use legator_wire::refusal::Refusal;
use serde_json::Value;
use std::sync::Arc;

use super::account;
use crate::limits::{Sender, is_for};
use crate::probe::Probe;

/// How long an id that never came stays taken back: longer than any plan may wait.
const CANCELLED_FOR: Span = Span::from_secs(8 * 86_400);

/// Ends a task that is at work; takes back one that has not come.
pub async fn cancel(probe: &Arc<Probe>, envelope: &Envelope) {
    let identity = probe.identity();
    let Ok(order) = envelope.open::<Cancel>(&identity.authority) else { return odd("cancel") };
    if !is_for(&identity, &order.installation, order.host) {
        return odd("cancel");
    }
    probe.journal.raise(order.made_at).await;
    if probe.stop(order.task) {
        tracing::info!(task = %order.task, "cancelled while it runs");
        return;
    }
    if let Err(error) = probe.journal.cancel(order.task, order.made_at + CANCELLED_FOR).await {
        tracing::error!(%error, "a cancel could not be kept");
    }
}

/// Takes in limits.
pub async fn limits(probe: &Arc<Probe>, envelope: &Envelope) {
    let (identity, Ok(settings)) = (probe.identity(), probe.source.now()) else { return odd("limits") };
    let from = Sender { identity: &identity, settings: &settings, now: probe.clock.now() };
    let (taken, seen) = probe.limits.take(envelope, &from, &[]);
    tracing::info!(?taken, "limits came");
    if let Some(made_at) = seen {
        probe.journal.raise(made_at).await;
    }
}

/// Forgets a receipt that the store has.
pub async fn ack(probe: &Arc<Probe>, envelope: &Envelope) -> Option<TaskId> {
    let identity = probe.identity();
    let order = envelope.open::<Ack>(&identity.authority).ok()?;
    if !is_for(&identity, &order.installation, order.host) {
        odd("ack");
        return None;
    }
    probe.journal.raise(order.made_at).await;
    probe.journal.settle(order.task, order.receipt).await.then_some(order.task)
}

fn odd(what: &str) {
    tracing::error!(what, "an order that is not the authority's, or for another host, is ignored");
}

/// The task of a frame that does not parse and still says that it is a grant.
fn claimed_task(text: &str) -> Option<TaskId> {
    let frame = serde_json::Deserializer::from_str(text).into_iter::<Value>().next()?.ok()?;
    let grant = frame.get("kind").and_then(Value::as_str) == Some("grant");
    frame.pointer("/leaf/task").filter(|_| grant)?.as_str()?.parse().ok()
}

/// Whether a frame that does not parse can be refused by name.
pub fn claims_to_be_grant(text: &str) -> bool {
    claimed_task(text).is_some()
}

/// A frame that says it is a grant and does not parse: refused by name. Its id is not used by it.
pub async fn malformed(probe: &Arc<Probe>, text: &str) {
    let Some(task) = claimed_task(text) else { return };
    let identity = probe.identity();
    let nothing = Digest::of(b"");
    let at = (identity.installation, identity.host);
    let bare = Receipt::bare(at, (task, nothing, nothing), Outcome::Refused, probe.clock.now());
    let receipt = Receipt { reason: Some(Refusal::Malformed.name().to_owned()), ..bare };
    probe.say_waiting(Up::Receipt(Box::new(account::sealed(probe, &receipt)))).await;
}
