//! What is refused at the door, and receipts that prove nothing.

use crate::bench::*;
use legator_core::digest::Digest;
use legator_core::ids::*;
use legator_core::level::Level;
use legator_core::plan::PlanState;
use legator_core::span::Span;
use legator_core::task::{Outcome, TaskState as T};
use legator_gate::*;
use legator_wire::dsse::Envelope;
use legator_wire::keys::ProbeKey;
use legator_wire::receipt::{Kept, Receipt, Sent};
use serde_json::json;

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_its_reason() {
    let bench = Bench::with(Auth::On, &["web-01"]).await;
    let span = |secs| Some(Span::from_secs(secs));
    let rollout = |batch, max_parallel, stop| {
        Some(AskRollout { batch, max_parallel, stop_after_failures: stop, pause: None })
    };
    let table: Vec<(Ask, &str)> = vec![
        (stat(""), "empty-selector"),
        (stat("   "), "empty-selector"),
        (stat("web-*"), "bad-selector"),
        (stat("web-02"), "no-hosts"),
        (stat("env=stage"), "no-hosts"),
        (asked("file.fly", json!({}), "*"), "unknown-verb"),
        (asked("file.stat", json!({}), "*"), "bad-arguments"),
        (asked("file.stat", json!({"path": "etc"}), "*"), "bad-arguments"),
        (asked("file.stat", json!({"path": "/etc", "more": 1}), "*"), "bad-arguments"),
        (Ask { level: Some(Level::Remediate), ..stat("*") }, "bad-level"),
        (Ask { decide_in: span(0), ..restart("*") }, "bad-times"),
        (Ask { decide_in: span(8 * 86_400), ..restart("*") }, "bad-times"),
        (Ask { expires_in: span(8 * 86_400), ..restart("*") }, "bad-times"),
        (Ask { decide_in: span(100), expires_in: span(99), ..restart("*") }, "bad-times"),
        (Ask { timeout: Some(Span::from_millis(1)), ..stat("*") }, "bad-timeout"),
        (Ask { timeout: span(30 * 86_400), ..stat("*") }, "bad-timeout"),
        (Ask { rollout: rollout(Some(0), None, None), ..stat("*") }, "bad-rollout"),
        (Ask { rollout: rollout(None, Some(0), None), ..stat("*") }, "bad-rollout"),
        (Ask { rollout: rollout(None, None, Some(0)), ..stat("*") }, "bad-rollout"),
        (Ask { rollout: rollout(Some(u32::MAX), None, None), ..stat("*") }, "bad-rollout"),
        (Ask { reason: Some("x".repeat(1001)), ..stat("*") }, "reason-too-long"),
        (Ask { reason: Some("a\u{1b}[2J".into()), ..stat("*") }, "bad-reason"),
        (asked("task.undo", json!({}), ""), "bad-arguments"),
        (asked("task.undo", json!({"task": TaskId::new(1)}), ""), "not-found"),
    ];
    for (ask, word) in &table {
        assert_eq!(code(bench.ask("alice", ask.clone()).await), *word, "{ask:?}");
    }
    assert_eq!(code(bench.ask("dave", stat("*")).await), "missing-permission");
    assert_eq!(code(bench.ask("bob", stat("*")).await), "missing-permission");
    assert!(list_plans(&bench.gate, TENANT, &Default::default()).await.unwrap().is_empty());
    eprintln!("asks refused: {}", table.len() + 2);
}

#[tokio::test]
async fn a_receipt_that_proves_nothing_changes_nothing_and_is_not_acknowledged() {
    let mut bench = Bench::with(Auth::On, &["a", "b"]).await;
    let plan = bench.ask("alice", stat("a")).await.unwrap();
    let handed = bench.seal(plan.id).await.remove(0);
    let honest = bench.probe(&handed);
    let receipt: Receipt = honest.receipt.claimed().unwrap();
    let (own, other) = (bench.host("a").key.clone(), bench.host("b").key.clone());
    type Change = Box<dyn Fn(&mut Receipt)>;
    let changes: Vec<(&str, Change)> = vec![
        ("installation", Box::new(|r| r.installation = "other".into())),
        ("host", Box::new(|r| r.host = HostId::new(1))),
        ("task", Box::new(|r| r.task = TaskId::new(1))),
        ("plan", Box::new(|r| r.plan = Digest::of(b"x"))),
        ("grant", Box::new(|r| r.grant = Digest::of(b"x"))),
        ("version", Box::new(|r| r.v = 2)),
        ("stdout", Box::new(|r| r.stdout = Kept::whole(b"forged"))),
        ("stderr", Box::new(|r| r.stderr = Kept::whole(b"forged"))),
        ("before", Box::new(|r| r.before = Some(json!("x".repeat(100_000))))),
        ("after", Box::new(|r| r.after = Some(json!("x".repeat(100_000))))),
    ];
    let mut tried = 0;
    let mut forged: Vec<(String, Sent)> = Vec::new();
    for (what, change) in &changes {
        let mut changed = receipt.clone();
        change(&mut changed);
        forged.push(((*what).into(), Sent { receipt: Envelope::seal(&changed, &own), ..honest.clone() }));
    }
    forged.push((
        "signed by another host".into(),
        Sent { receipt: Envelope::seal(&receipt, &other), ..honest.clone() },
    ));
    let stranger = ProbeKey::from_secret(&[3; 32]);
    forged.push((
        "signed by a stranger".into(),
        Sent { receipt: Envelope::seal(&receipt, &stranger), ..honest.clone() },
    ));
    forged.push(("other output".into(), Sent { stdout: b"forged".to_vec(), ..honest.clone() }));
    let mut two = honest.clone();
    two.receipt.signatures.push(two.receipt.signatures[0].clone());
    forged.push(("two signatures".into(), two));
    let mut kind = honest.clone();
    kind.receipt.payload_type = "application/vnd.legator.ack.v1+json".into();
    forged.push(("another payload type".into(), kind));
    for bit in 0..400 {
        let mut flipped = honest.clone();
        let place = (bit * 7919) % (flipped.receipt.payload.len() * 8);
        flipped.receipt.payload[place / 8] ^= 1 << (place % 8);
        forged.push((format!("bit {place}"), flipped));
    }
    for (what, sent) in forged {
        if let Some(settled) = bench.settle(handed.host, sent).await {
            assert_eq!((settled.ack, settled.state), (None, T::Sent), "{what}");
        }
        tried += 1;
    }
    let by_another = Received {
        host: bench.host("b").id,
        key: legator_wire::keys::Signer::public(&other),
        sent: honest.clone(),
    };
    assert_eq!(settle(&bench.gate, vec![by_another]).await.unwrap()[0].ack, None);
    assert_eq!(Bench::states(&bench.view(plan.id).await), [T::Sent]);
    assert!(bench.settle(handed.host, honest).await.unwrap().ack.is_some());
    eprintln!("receipts that prove nothing: {}", tried + 1);
}

#[tokio::test]
async fn a_success_whose_post_condition_failed_is_a_failure() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", restart("a")).await.unwrap();
    bench.approve("bob", &plan).await.unwrap();
    let handed = bench.seal(plan.id).await.remove(0);
    let of = (handed.task, plan.digest.unwrap(), handed.delivery.grant.digest());
    let mut receipt = Receipt::bare((INSTALLATION.into(), handed.host), of, Outcome::Succeeded, bench.now());
    receipt.verified = Some(false);
    let settled = bench.settle(handed.host, bench.host("a").sign(&receipt)).await.unwrap();
    assert_eq!(settled.state, T::Failed);
    let view = bench.view(plan.id).await;
    assert_eq!((view.tasks[0].reason.as_deref(), view.state), (Some("not-verified"), PlanState::Finished));
}

#[tokio::test]
async fn a_receipt_for_a_task_that_was_never_handed_over_is_nobodys() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", restart("a")).await.unwrap();
    let of = (plan.tasks[0].id, plan.digest.unwrap(), Digest::of(b""));
    for outcome in [Outcome::Succeeded, Outcome::Failed, Outcome::Refused, Outcome::Unknown] {
        let host = bench.host("a");
        let receipt = Receipt::bare((INSTALLATION.into(), host.id), of, outcome, bench.now());
        let settled = bench.settle(host.id, host.sign(&receipt)).await.unwrap();
        assert_eq!((settled.ack, settled.state), (None, T::Waiting));
    }
}

#[tokio::test]
async fn a_batch_is_one_transaction_with_one_event_a_task() {
    let names: Vec<String> = (0..60).map(|n| format!("h{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::with(Auth::On, &names).await;
    let plan = bench.ask("alice", stat("*")).await.unwrap();
    let handed = bench.seal(plan.id).await;
    let grants: std::collections::BTreeSet<String> =
        handed.iter().map(|h| h.delivery.grant.to_json()).collect();
    assert_eq!((handed.len(), grants.len()), (60, 1), "one signature a wave");
    let mut received = Vec::new();
    for handed in &handed {
        let sent = bench.probe(handed);
        let key = bench
            .hosts
            .iter()
            .find(|host| host.id == handed.host)
            .map(|host| legator_wire::keys::Signer::public(&host.key));
        received.push(Received { host: handed.host, key: key.unwrap(), sent });
    }
    received.extend(received.clone());
    let settled = settle(&bench.gate, received).await.unwrap();
    assert_eq!(settled.len(), 120);
    assert!(settled.iter().all(|settled| settled.ack.is_some() && settled.plan_final));
    assert_eq!(bench.events("task.ended").await.len(), 60);
}
