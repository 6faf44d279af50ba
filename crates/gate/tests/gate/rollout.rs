//! Waves, concurrency, failures, hosts that are away, freezes.

use crate::bench::*;
use legator_core::cage::CageState;
use legator_core::plan::PlanState;
use legator_core::span::Span;
use legator_core::task::{Outcome, TaskState as T};
use legator_gate::*;
use legator_wire::receipt::Receipt;

async fn approved(bench: &Bench, rollout: AskRollout, ask: Ask) -> PlanView {
    let plan = bench.ask("alice", Ask { rollout: Some(rollout), ..ask }).await.unwrap();
    match plan.state {
        PlanState::Pending => bench.approve("bob", &plan).await.unwrap(),
        _ => plan,
    }
}

fn batch(batch: u32) -> AskRollout {
    AskRollout { batch: Some(batch), ..AskRollout::default() }
}

fn failure(bench: &Bench, handed: &Handed, outcome: Outcome) -> legator_wire::receipt::Sent {
    let host = bench.hosts.iter().find(|host| host.id == handed.host).unwrap();
    let plan = legator_core::digest::Digest::of(&handed.delivery.plan);
    let of = (handed.task, plan, handed.delivery.grant.digest());
    host.sign(&Receipt::bare((INSTALLATION.into(), handed.host), of, outcome, bench.now()))
}

#[tokio::test]
async fn waves_come_one_after_the_other_with_a_rest_between() {
    let mut bench = Bench::with(Auth::On, &["a", "b", "c"]).await;
    let rollout = AskRollout { pause: Some(Span::from_secs(30)), ..batch(2) };
    let plan = approved(&bench, rollout, restart("env=prod")).await;
    let first = bench.seal(plan.id).await;
    assert_eq!(first.len(), 2);
    assert!(bench.seal(plan.id).await.is_empty(), "the wave is at work");
    for handed in &first {
        let sent = bench.probe(handed);
        bench.settle(handed.host, sent).await;
    }
    let resting = bench.sealed(plan.id).await;
    assert!(resting.deliveries.is_empty());
    assert_eq!(resting.wake_at, Some(bench.now() + Span::from_secs(30)));
    bench.later(30);
    assert_eq!(bench.seal(plan.id).await.len(), 1);
}

#[tokio::test]
async fn no_more_hosts_are_at_work_than_asked_for() {
    let mut bench = Bench::with(Auth::On, &["a", "b", "c"]).await;
    let rollout = AskRollout { max_parallel: Some(1), ..batch(3) };
    let plan = approved(&bench, rollout, stat("env=prod")).await;
    for _ in 0..3 {
        let handed = bench.seal(plan.id).await;
        assert_eq!(handed.len(), 1);
        assert!(bench.seal(plan.id).await.is_empty());
        let sent = bench.probe(&handed[0]);
        bench.settle(handed[0].host, sent).await;
    }
    assert_eq!(bench.view(plan.id).await.state, PlanState::Finished);
}

#[tokio::test]
async fn a_failure_stops_what_has_not_started() {
    let bench = Bench::with(Auth::On, &["a", "b", "c"]).await;
    let plan = approved(&bench, batch(1), restart("env=prod")).await;
    let handed = bench.seal(plan.id).await;
    bench.settle(handed[0].host, failure(&bench, &handed[0], Outcome::Failed)).await.unwrap();
    assert!(bench.seal(plan.id).await.is_empty());
    let view = bench.view(plan.id).await;
    assert_eq!(
        (view.state, Bench::states(&view)),
        (PlanState::Finished, vec![T::Failed, T::Cancelled, T::Cancelled])
    );
    assert_eq!(view.tasks[1].reason.as_deref(), Some("stopped-after-failures"));
}

#[tokio::test]
async fn a_connected_host_that_falls_silent_counts_as_failed_and_is_not_called_failed() {
    let bench = Bench::with(Auth::On, &["a", "b"]).await;
    let plan = approved(&bench, batch(1), restart("env=prod")).await;
    assert_eq!(bench.seal(plan.id).await.len(), 1);
    bench.later(239);
    assert!(bench.seal(plan.id).await.is_empty());
    assert_eq!(Bench::states(&bench.view(plan.id).await), [T::Sent, T::Waiting]);
    bench.later(1);
    assert!(bench.seal(plan.id).await.is_empty());
    assert_eq!(Bench::states(&bench.view(plan.id).await), [T::Sent, T::Cancelled]);
    bench.later(3 * 3600);
    bench.sweep().await;
    let view = bench.view(plan.id).await;
    assert_eq!((view.state, Bench::states(&view)), (PlanState::Finished, vec![T::Unknown, T::Cancelled]));
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_host_that_is_away() {
    let mut bench = Bench::with(Auth::On, &["a", "b"]).await;
    bench.disconnect("a").await;
    let plan = bench.ask("alice", stat("env=prod")).await.unwrap();
    let view = bench.run(plan.id).await;
    assert_eq!((view.state, Bench::states(&view)), (PlanState::Finished, vec![T::Unreachable, T::Succeeded]));
}

#[tokio::test]
async fn a_change_waits_for_a_host_that_is_away_and_runs_there_alone_when_it_returns() {
    let mut bench = Bench::with(Auth::On, &["a", "b", "c"]).await;
    bench.disconnect("a").await;
    let plan = approved(&bench, batch(1), restart("env=prod")).await;
    let view = bench.run(plan.id).await;
    assert_eq!(
        (view.state, Bench::states(&view)),
        (PlanState::Running, vec![T::Waiting, T::Succeeded, T::Succeeded])
    );
    bench.connect("a", CageState::Full).await;
    assert_eq!(bench.sweep().await.dispatch, [plan.id]);
    let view = bench.run(plan.id).await;
    assert_eq!((view.state, Bench::states(&view)), (PlanState::Finished, vec![T::Succeeded; 3]));
}

#[tokio::test]
async fn a_host_that_does_not_return_in_time_ends_expired_and_one_that_is_gone_unreachable() {
    let bench = Bench::with(Auth::On, &["a", "b"]).await;
    bench.disconnect("a").await;
    bench.disconnect("b").await;
    let plan = approved(&bench, batch(2), restart("env=prod")).await;
    assert!(bench.seal(plan.id).await.is_empty());
    let host = bench.host("b").id;
    let op = legator_store::Op::system(TENANT, "test", legator_core::ids::TraceId::new(1));
    let gone = bench.store().write(&op, async |tx| {
        Ok::<_, legator_store::StoreError>(legator_store::hosts::revoke(tx, host, None).await?.unwrap())
    });
    gone.await.unwrap();
    assert!(bench.seal(plan.id).await.is_empty());
    bench.later(2 * 3600);
    bench.sweep().await;
    let view = bench.view(plan.id).await;
    assert_eq!((view.state, Bench::states(&view)), (PlanState::Expired, vec![T::Expired, T::Unreachable]));
}

#[tokio::test]
async fn what_was_given_back_is_given_the_same_grant() {
    let mut bench = Bench::with(Auth::On, &["a"]).await;
    let plan = approved(&bench, batch(1), restart("a")).await;
    let first = bench.seal(plan.id).await;
    assert_eq!(give_back(&bench.gate, &[(first[0].host, first[0].task)]).await.unwrap(), 1);
    bench.later(60);
    bench.restart().await;
    let second = bench.seal(plan.id).await;
    assert_eq!((second[0].task, &second[0].delivery.grant), (first[0].task, &first[0].delivery.grant));
    let again = resend(&bench.gate, &bench.authority, first[0].host).await.unwrap();
    assert_eq!(again[0].delivery.grant, first[0].delivery.grant);
    assert_eq!(again[0].delivery.proof, first[0].delivery.proof);
}

#[tokio::test]
async fn a_read_that_was_given_back_for_too_long_ends() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", stat("a")).await.unwrap();
    let first = bench.seal(plan.id).await;
    give_back(&bench.gate, &[(first[0].host, first[0].task)]).await.unwrap();
    bench.later(61);
    assert!(bench.seal(plan.id).await.is_empty());
    assert_eq!(Bench::states(&bench.view(plan.id).await), [T::Expired]);
}

#[tokio::test]
async fn a_freeze_holds_approved_changes_and_lets_reads_through() {
    let mut bench = Bench::with(Auth::On, &["a", "b"]).await;
    let plan = approved(&bench, batch(2), restart("env=prod")).await;
    let admin = bench.caller("admin").await;
    let until = bench.now() + Span::from_secs(600);
    let new = NewFreeze { selector: "name=a".into(), from: None, until, reason: "release".into() };
    let freeze = open_freeze(&bench.gate, &admin, new).await.unwrap();
    let sealed = bench.sealed(plan.id).await;
    assert_eq!((sealed.deliveries.len(), sealed.wake_at), (1, Some(until)));
    assert!(sealed.deliveries[0].delivery.limits.is_some(), "the host is told its limits with the grant");
    assert_eq!(bench.view(plan.id).await.frozen_until, Some(until));
    let read = bench.ask("alice", stat("a")).await.unwrap();
    assert_eq!(Bench::states(&bench.run(read.id).await), [T::Succeeded]);
    assert!(limits_for(&bench.gate, &bench.authority, (TENANT, bench.host("a").id)).await.unwrap().is_some());
    close_freeze(&bench.gate, &admin, freeze.id).await.unwrap();
    let sent = bench.probe(&sealed.deliveries[0]);
    bench.settle(sealed.deliveries[0].host, sent).await;
    let view = bench.run(plan.id).await;
    assert_eq!(Bench::states(&view), [T::Succeeded, T::Succeeded]);
}

#[tokio::test]
async fn an_expired_plan_does_not_start() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let ask =
        Ask { decide_in: Some(Span::from_secs(60)), expires_in: Some(Span::from_secs(120)), ..restart("a") };
    let plan = bench.ask("alice", ask).await.unwrap();
    bench.approve("bob", &plan).await.unwrap();
    bench.later(120);
    assert!(bench.seal(plan.id).await.is_empty());
    assert_eq!(bench.sweep().await.changed, [plan.id]);
    let view = bench.view(plan.id).await;
    assert_eq!((view.state, Bench::states(&view)), (PlanState::Expired, vec![T::Expired]));
}
