//! Receipts as the gate verifies them: changed after the probe signed, and signed anew by a probe that lies.
//!
//! Promises: of what a probe signed nothing can be changed, output included; and whatever a probe signs ends only its own task, of its own
//! plan and grant, and never as a success whose post-condition failed.

use super::frames::{HOST, INSTALLATION, now, probe_key};
use crate::dice::Dice;
use crate::{Target, edits};
use legator_core::digest::Digest;
use legator_core::ids::{PlanId, TaskId, TenantId};
use legator_core::task::{Outcome, TaskState};
use legator_gate::verdict;
use legator_store::tasks::TaskRow;
use legator_wire::dsse::{Envelope, Payload as _};
use legator_wire::keys::Signer as _;
use legator_wire::receipt::{Kept, Receipt, STATE_BYTES_MAX, Sent};
use serde_json::{Value, json};
use std::sync::OnceLock;

const WORDS: &[&str] = &[
    "\"outcome\":\"",
    "succeeded",
    "refused",
    "unknown",
    "used-before",
    "\"verified\":false",
    "\"truncated\":",
    "null",
];

pub(super) const RECEIPT: Target =
    Target { name: "receipt", hold: changed_after, examples: after_examples, words: WORDS };
pub(super) const RECEIPT_SEALED: Target =
    Target { name: "receipt-sealed", hold: changed_before, examples: before_examples, words: WORDS };

fn plan() -> Digest {
    Digest::of(b"the plan")
}

fn task(state: TaskState) -> TaskRow {
    TaskRow {
        id: TaskId::new(9),
        plan: PlanId::new(8),
        tenant: TenantId::DEFAULT,
        host: HOST,
        place: 0,
        name: "web-03".into(),
        key: probe_key().public().hex(),
        shown: None,
        state,
        wave: Some(0),
        apart: false,
        sent_at: Some(now()),
        lose_at: None,
        grant: Some(Digest::of(b"the grant")),
        ended_at: None,
        reason: None,
        detail: None,
        receipt: None,
        receipt_digest: None,
        was_unknown: false,
    }
}

/// A receipt of a success, and one of a refusal.
fn receipts() -> [Receipt; 2] {
    let of = || (TaskId::new(9), plan(), Digest::of(b"the grant"));
    let bare = |outcome| Receipt::bare((INSTALLATION.into(), HOST), of(), outcome, now());
    let succeeded = Receipt {
        exit_code: Some(0),
        started_at: Some(now()),
        stdout: Kept::whole(b"hello\n"),
        before: Some(json!({"pid": 1})),
        after: Some(json!({"pid": 2})),
        verified: Some(true),
        ..bare(Outcome::Succeeded)
    };
    [succeeded, Receipt { reason: Some("expired".into()), ..bare(Outcome::Refused) }]
}

fn sent(receipt: &[u8], stdout: &[u8]) -> Sent {
    let receipt = Envelope::seal_bytes(Receipt::TYPE, receipt.to_vec(), &probe_key());
    Sent { receipt, stdout: stdout.to_vec(), stderr: Vec::new() }
}

fn good() -> &'static [Sent] {
    static MADE: OnceLock<Vec<Sent>> = OnceLock::new();
    MADE.get_or_init(|| {
        let [succeeded, refused] = receipts().map(|receipt| serde_json::to_vec(&receipt).unwrap());
        vec![sent(&succeeded, b"hello\n"), sent(&refused, b"")]
    })
}

/// Bytes that begin with a brace are what was sent; others choose a good one and changes of it.
fn changed_after(bytes: &[u8]) {
    let value = match bytes.first() {
        Some(b'{') => serde_json::from_slice(bytes).unwrap_or_default(),
        _ => {
            let mut dice = Dice::new(bytes);
            let mut value = serde_json::to_value(&good()[dice.of(2)]).unwrap();
            edits::edit(&mut value, &mut dice);
            value
        }
    };
    let Ok(sent) = serde_json::from_value::<Sent>(value) else { return };
    if verdict::open(&sent, &task(TaskState::Running), (INSTALLATION, plan())).is_ok() {
        assert!(good().contains(&sent), "a receipt, or output, that no probe signed is accepted");
    }
}

fn after_examples() -> Vec<Vec<u8>> {
    let whole = good().iter().map(|sent| serde_json::to_vec(sent).unwrap());
    let changes = (0..16u8).map(|n| vec![n, n.wrapping_mul(19), 2, n, 5, n.wrapping_mul(3), 1, n]);
    whole.chain(changes).collect()
}

fn changed_before(bytes: &[u8]) {
    let mut dice = Dice::new(bytes);
    let mut value = serde_json::to_value(&receipts()[dice.of(2)]).unwrap();
    let states = TaskState::ALL;
    let state = states[dice.of(states.len())];
    let output: &[u8] = [&b"hello\n"[..], b"", b"other"][dice.of(3)];
    edits::edit(&mut value, &mut dice);
    judge(&value, output, &task(state));
}

fn judge(value: &Value, output: &[u8], task: &TaskRow) {
    let sent = sent(value.to_string().as_bytes(), output);
    let Ok(receipt) = verdict::open(&sent, task, (INSTALLATION, plan())) else { return };
    assert!(receipt.v == 1 && receipt.installation == INSTALLATION, "of another installation");
    assert_eq!((receipt.task, receipt.host), (task.id, task.host), "of another task or host");
    if receipt.outcome != Outcome::Refused {
        assert_eq!((receipt.plan, Some(receipt.grant)), (plan(), task.grant), "of another plan or grant");
    }
    assert_eq!(receipt.stdout.digest, Digest::of(output), "output that the receipt does not prove");
    let fits = |state: &Option<Value>| state.as_ref().map_or(0, |state| state.to_string().len());
    assert!(fits(&receipt.before).max(fits(&receipt.after)) <= STATE_BYTES_MAX + 4096);
    let Some(row) = verdict::fold(task, &receipt, &sent, now()) else {
        assert!(task.state.is_final(), "{} takes no receipt", task.state);
        return;
    };
    assert!(
        !task.state.is_final() || task.state == TaskState::Unknown,
        "an end was replaced: {}",
        task.state
    );
    if row.state == TaskState::Succeeded {
        assert!(receipt.outcome == Outcome::Succeeded && receipt.verified != Some(false), "a false success");
    }
    assert!(row.reason.as_ref().is_none_or(|reason| reason.chars().count() <= 100));
    assert!(row.detail.as_ref().is_none_or(|detail| detail.chars().count() <= 2000));
}

fn before_examples() -> Vec<Vec<u8>> {
    (0..30u8)
        .map(|n| vec![n % 2, n % 10, n % 3, n, n.wrapping_mul(41), 3, n, 9, n.wrapping_mul(7), n])
        .collect()
}
