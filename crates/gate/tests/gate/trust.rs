//! What a hostile edge can provoke, plans that are taken back while they run, and secret values on their way.

use crate::bench::*;
use legator_core::digest::Digest;
use legator_core::plan::{Plan, PlanState};
use legator_core::task::{Outcome, TaskState as T};
use legator_core::verbs::{Revealed, Secrets};
use legator_gate::*;
use legator_wire::receipt::{Kept, Receipt};
use legator_wire::refusal::Refusal;
use legator_wire::secret::{Boxed, TO_HOST, bound_to_task};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey};
use serde_json::json;

fn receipt_of(bench: &Bench, plan: &PlanView, handed: &Handed, outcome: Outcome) -> Receipt {
    let of = (handed.task, plan.digest.unwrap(), handed.delivery.grant.digest());
    Receipt::bare((INSTALLATION.into(), handed.host), of, outcome, bench.now())
}

#[tokio::test]
async fn a_refusal_that_uses_no_id_ends_nothing_and_any_other_ends_its_task() {
    let mut bench = Bench::with(Auth::On, &["a"]).await;
    let (mut ending, mut open) = (0, 0);
    for refusal in Refusal::ALL {
        let plan = bench.ask("alice", stat("a")).await.unwrap();
        let handed = bench.seal(plan.id).await.remove(0);
        let said = Receipt {
            reason: Some(refusal.name().to_owned()),
            ..receipt_of(&bench, &plan, &handed, Outcome::Refused)
        };
        // What an altered delivery is refused with names other bytes: it never ends the task, whatever its word.
        let altered = Receipt { grant: Digest::of(b"altered"), ..said.clone() };
        let settled = bench.settle(handed.host, bench.host("a").sign(&altered)).await.unwrap();
        assert_eq!((settled.state, settled.ack), (T::Sent, None), "{refusal}");
        assert!(settled.odd.is_some(), "{refusal}: an alarm");
        let settled = bench.settle(handed.host, bench.host("a").sign(&said)).await.unwrap();
        if refusal.uses_id() {
            assert_eq!((settled.state, settled.odd), (T::Refused, None), "{refusal}");
            ending += 1;
            continue;
        }
        assert_eq!((settled.state, settled.ack), (T::Sent, None), "{refusal}");
        assert_eq!(settled.odd, Some(Odd::Delivery(*refusal)));
        // The true grant comes after all: one run, on record.
        let sent = bench.probe(&handed);
        assert_eq!(bench.settle(handed.host, sent).await.unwrap().state, T::Succeeded, "{refusal}");
        assert_eq!(bench.host("a").runs[&handed.task], 1);
        open += 1;
    }
    for reason in [None, Some("no-such-word".to_owned()), Some(String::new())] {
        let plan = bench.ask("alice", stat("a")).await.unwrap();
        let handed = bench.seal(plan.id).await.remove(0);
        let said = Receipt { reason, ..receipt_of(&bench, &plan, &handed, Outcome::Refused) };
        let settled = bench.settle(handed.host, bench.host("a").sign(&said)).await.unwrap();
        assert_eq!((settled.state, settled.ack, settled.odd), (T::Sent, None, Some(Odd::Unproven)));
    }
    assert_eq!(ending + open, Refusal::ALL.len());
    eprintln!("refusals: {ending} end their task, {open} end nothing, 3 that say no known word");
}

#[tokio::test]
async fn a_receipt_that_changes_its_mind_is_an_alarm_with_both_digests() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", stat("a")).await.unwrap();
    let handed = bench.seal(plan.id).await.remove(0);
    let failed = Receipt { exit_code: Some(1), ..receipt_of(&bench, &plan, &handed, Outcome::Failed) };
    let first = bench.host("a").sign(&failed);
    assert_eq!(bench.settle(handed.host, first.clone()).await.unwrap().odd, None);
    // The same account with its output dropped on the host is no other one.
    let dropped = Receipt {
        stdout: Kept { bytes: 9, truncated: true, ..Kept::nothing() },
        detail: Some("the output was dropped".into()),
        ..failed.clone()
    };
    assert_eq!(bench.settle(handed.host, bench.host("a").sign(&dropped)).await.unwrap().odd, None);
    for other in [
        receipt_of(&bench, &plan, &handed, Outcome::Succeeded),
        Receipt { exit_code: Some(2), ..failed.clone() },
        Receipt { after: Some(json!({"pid": 7})), ..failed.clone() },
    ] {
        let second = bench.host("a").sign(&other);
        let settled = bench.settle(handed.host, second.clone()).await.unwrap();
        let (one, two) = (first.receipt.digest(), second.receipt.digest());
        assert_eq!(settled.odd, Some(Odd::Contradiction { first: one, second: two, outcome: other.outcome }));
        assert_eq!(
            (settled.state, settled.ack),
            (T::Failed, Some(two)),
            "the first stands, the host may forget"
        );
    }
    assert_eq!(bench.events("task.ended").await.len(), 1);
}

#[tokio::test]
async fn an_account_after_the_end_is_told_apart() {
    let mut bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", stat("a")).await.unwrap();
    let handed = bench.seal(plan.id).await.remove(0);
    let sent = bench.probe(&handed);
    give_back(&bench.gate, &[(handed.host, handed.task)]).await.unwrap();
    bench.later(8 * 86_400);
    bench.sweep().await;
    assert_eq!(Bench::states(&bench.view(plan.id).await), [T::Expired]);
    let digest = sent.receipt.digest();
    let settled = bench.settle(handed.host, sent).await.unwrap();
    assert_eq!(settled.odd, Some(Odd::Late { receipt: digest, outcome: Outcome::Succeeded }));
    assert_eq!(
        (settled.state, settled.ack),
        (T::Expired, Some(digest)),
        "it may be forgotten, and is no end"
    );
}

#[tokio::test]
async fn a_plan_that_is_taken_back_while_it_runs_ends_by_a_signed_cancelled() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", restart("a")).await.unwrap();
    bench.approve("bob", &plan).await.unwrap();
    let handed = bench.seal(plan.id).await.remove(0);
    let (view, tell) = cancel(&bench.gate, &bench.caller("alice").await, plan.id).await.unwrap();
    assert_eq!((view.state, tell.len()), (PlanState::Running, 1), "the server's word ends nothing that runs");
    let said = receipt_of(&bench, &plan, &handed, Outcome::Cancelled);
    let settled = bench.settle(handed.host, bench.host("a").sign(&said)).await.unwrap();
    assert_eq!((settled.state, settled.plan_final), (T::Cancelled, true));
    let view = bench.view(plan.id).await;
    assert_eq!((view.state, view.tasks[0].reason.as_deref()), (PlanState::Cancelled, Some("cancelled")));
}

#[tokio::test]
async fn what_a_host_gives_back_after_the_plan_was_taken_back_is_not_handed_over_again() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", restart("a")).await.unwrap();
    bench.approve("bob", &plan).await.unwrap();
    let handed = bench.seal(plan.id).await.remove(0);
    cancel(&bench.gate, &bench.caller("alice").await, plan.id).await.unwrap();
    give_back(&bench.gate, &[(handed.host, handed.task)]).await.unwrap();
    let sealed = bench.sealed(plan.id).await;
    assert!(sealed.deliveries.is_empty());
    let view = bench.view(plan.id).await;
    assert_eq!((view.state, Bench::states(&view)), (PlanState::Cancelled, vec![T::Cancelled]));
}

#[tokio::test]
async fn a_plan_taken_back_whose_host_never_answers_ends_unknown_and_cancelled() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", restart("a")).await.unwrap();
    bench.approve("bob", &plan).await.unwrap();
    bench.seal(plan.id).await.remove(0);
    cancel(&bench.gate, &bench.caller("alice").await, plan.id).await.unwrap();
    bench.later(8 * 86_400);
    bench.sweep().await;
    let view = bench.view(plan.id).await;
    assert_eq!((view.state, Bench::states(&view)), (PlanState::Cancelled, vec![T::Unknown]));
}

const VALUE: &str = "correct-horse-battery-staple-4711";

fn with_secret(value: &str) -> Ask {
    let args = json!({"argv": ["env"], "secrets": {"DB": value}});
    Ask { level: Some(legator_core::level::Level::Remediate), ..asked("shell.run", args, "env=prod") }
}

fn open(boxed: &Boxed, handed: &Handed, key: &legator_wire::keys::ProbeKey) -> Option<Secrets> {
    let plan = Plan::parse(handed.delivery.plan.clone()).unwrap();
    let bound = bound_to_task(&plan.digest(), handed.task);
    let key = HpkePrivateKey::from(key.agreement().to_vec());
    let bytes = SUITE.open(&EncapsulatedSecret(boxed.enc.clone()), TO_HOST, &bound, &boxed.sealed, &key);
    bytes.ok().map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

fn on_disk(bench: &Bench, what: &str) -> bool {
    let files = std::fs::read_dir(bench.dir.path()).unwrap().flatten();
    let holds = |path| std::fs::read(path).unwrap().windows(what.len()).any(|bytes| bytes == what.as_bytes());
    files.map(|entry| entry.path()).filter(|path| path.is_file()).any(holds)
}

async fn waiting_secrets(bench: &Bench) -> usize {
    let rows = legator_store::sql::all(bench.store().reader(), "SELECT plan FROM plan_secrets", vec![]).await;
    rows.unwrap().len()
}

#[tokio::test]
async fn a_secret_value_is_in_no_row_and_opens_on_its_hosts_alone() {
    let mut bench = Bench::with(Auth::On, &["a", "b"]).await;
    let plan = bench.ask("alice", with_secret(VALUE)).await.unwrap();
    let shown = serde_json::to_string(&plan).unwrap();
    assert!(shown.contains("sha256:") && !shown.contains(VALUE), "{shown}");
    bench.approve("bob", &plan).await.unwrap();
    bench.restart().await;
    let handed = bench.seal(plan.id).await;
    assert_eq!(handed.len(), 2);
    let commitment = plan.args["secrets"]["DB"].clone();
    for one in &handed {
        let text = serde_json::to_string(&one.delivery).unwrap();
        assert!(!text.contains(VALUE));
        let boxed = one.delivery.secrets.as_ref().unwrap();
        let own = &bench.hosts.iter().find(|host| host.id == one.host).unwrap().key;
        let given = open(boxed, one, own).expect("the host's own key opens it");
        let revealed: &Revealed = &given["DB"];
        assert_eq!((revealed.value.as_str(), json!(revealed.commitment("DB"))), (VALUE, commitment.clone()));
        let other = bench.hosts.iter().find(|host| host.id != one.host).unwrap();
        assert!(open(boxed, one, &other.key).is_none(), "another host's key opens nothing");
        let elsewhere = handed.iter().find(|known| known.host != one.host).unwrap();
        assert!(open(boxed, elsewhere, own).is_none(), "it is bound to its task");
    }
    // What a host that comes back is given holds it too.
    let again = resend(&bench.gate, &bench.authority, handed[0].host).await.unwrap().remove(0);
    let own = bench.hosts.iter().find(|host| host.id == again.host).unwrap().key.clone();
    assert_eq!(open(again.delivery.secrets.as_ref().unwrap(), &again, &own).unwrap()["DB"].value, VALUE);
    assert_eq!(waiting_secrets(&bench).await, 1);
    for one in &handed {
        let sent = bench.probe(one);
        bench.settle(one.host, sent).await.unwrap();
    }
    assert_eq!(bench.view(plan.id).await.state, PlanState::Finished);
    assert_eq!(waiting_secrets(&bench).await, 0, "erased with the end of the plan");
    assert!(on_disk(&bench, "plan_secrets"), "the search finds what is there");
    assert!(!on_disk(&bench, VALUE), "the value is in no file of the database");
}

#[tokio::test]
async fn secret_values_are_erased_by_every_end_and_never_given_by_the_assistant() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let brain = Caller { cap: Cap::ReadOrPropose, via: "chat", ..bench.caller("alice").await };
    assert_eq!(code(ask(&bench.gate, &brain, with_secret(VALUE)).await), "brain-may-not");
    assert_eq!(code(bench.ask("alice", with_secret("abc")).await), "bad-arguments");
    let committed = Ask {
        args: json!({"argv": ["env"], "secrets": {"DB": {"secret": Digest::of(b"x")}}}),
        ..with_secret(VALUE)
    };
    assert_eq!(code(bench.ask("alice", committed).await), "bad-arguments", "a digest is no value");
    let simulated =
        simulate(&bench.gate, &bench.caller("admin").await, None, &with_secret(VALUE)).await.unwrap();
    assert!(!serde_json::to_string(&simulated).unwrap().contains(VALUE));
    let rejected = bench.ask("alice", with_secret(VALUE)).await.unwrap();
    let taken_back = bench.ask("alice", with_secret(VALUE)).await.unwrap();
    let expired = bench.ask("alice", with_secret(VALUE)).await.unwrap();
    assert_ne!(rejected.args, expired.args, "the same value has another digest in each plan");
    assert_eq!(waiting_secrets(&bench).await, 3);
    bench.vote("bob", &rejected, legator_wire::approval::Vote::Reject).await.unwrap();
    assert_eq!(waiting_secrets(&bench).await, 2);
    cancel(&bench.gate, &bench.caller("alice").await, taken_back.id).await.unwrap();
    assert_eq!(waiting_secrets(&bench).await, 1);
    bench.later(86_400);
    bench.sweep().await;
    assert_eq!((bench.view(expired.id).await.state, waiting_secrets(&bench).await), (PlanState::Expired, 0));
    assert!(!on_disk(&bench, VALUE));
}
