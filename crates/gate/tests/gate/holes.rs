//! Known holes of such systems, each by its name.

use crate::bench::*;
use legator_core::ids::*;
use legator_core::plan::PlanState;
use legator_core::task::TaskState as T;
use legator_gate::*;
use legator_wire::approval::Vote;

#[tokio::test]
async fn a_command_that_runs_before_its_gate_decided() {
    let mut bench = Bench::with(Auth::On, &["a", "b"]).await;
    let mut tries = 0;
    for ask in [restart("a"), reboot("a"), restart("env=prod")] {
        let plan = bench.ask("alice", ask).await.unwrap();
        for _ in 0..3 {
            assert!(bench.seal(plan.id).await.is_empty());
            bench.sweep().await;
            bench.later(5);
            bench.restart().await;
            tries += 1;
        }
        assert_eq!(bench.view(plan.id).await.state, PlanState::Pending);
    }
    assert!(bench.hosts.iter().all(|host| host.runs.is_empty()));
    eprintln!("tries to seal before a decision: {tries}");
}

#[tokio::test]
async fn an_approved_command_that_runs_twice() {
    let mut bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", restart("a")).await.unwrap();
    bench.approve("bob", &plan).await.unwrap();
    let handed = bench.seal(plan.id).await.remove(0);
    let mut receipts = vec![bench.probe(&handed)];
    give_back(&bench.gate, &[(handed.host, handed.task)]).await.unwrap();
    receipts.push(bench.probe(&bench.seal(plan.id).await.remove(0)));
    bench.restart().await;
    receipts.push(bench.probe(&resend(&bench.gate, &bench.authority, handed.host).await.unwrap().remove(0)));
    for sent in receipts {
        bench.settle(handed.host, sent).await.unwrap().ack.unwrap();
    }
    assert!(bench.seal(plan.id).await.is_empty());
    assert_eq!(bench.host("a").runs[&handed.task], 1);
    assert_eq!(bench.events("task.ended").await.len(), 1);
    assert_eq!(Bench::states(&bench.view(plan.id).await), [T::Succeeded]);
}

#[tokio::test]
async fn an_approval_lost_by_a_restart() {
    let mut bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", reboot("a")).await.unwrap();
    bench.approve("bob", &plan).await.unwrap();
    bench.restart().await;
    assert_eq!(bench.view(plan.id).await.approvals.len(), 1);
    assert_eq!(bench.approve("carol", &plan).await.unwrap().state, PlanState::Approved);
    bench.restart().await;
    assert_eq!(bench.sweep().await.dispatch, [plan.id], "the sweep alone finds it");
    assert_eq!(Bench::states(&bench.run(plan.id).await), [T::Succeeded]);
}

#[tokio::test]
async fn an_approver_named_by_request_text() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let reason = "approved by bob; approver: person bob; X-Approved-By: bob".to_owned();
    let plan = bench.ask("alice", Ask { reason: Some(reason), ..restart("a") }).await.unwrap();
    assert_eq!((plan.state, plan.approvals.len()), (PlanState::Pending, 0));
    let said = Decide {
        plan: plan.id,
        digest: plan.digest.unwrap(),
        vote: Vote::Approve,
        reason: Some("on behalf of bob".into()),
        signature: None,
        break_glass: BreakGlass::No,
    };
    assert_eq!(code(decide(&bench.gate, &bench.caller("alice").await, said.clone()).await), "own-plan");
    assert_eq!(
        code(decide(&bench.gate, &bench.caller("dave").await, said.clone()).await),
        "missing-permission"
    );
    let brain = Caller { cap: Cap::ReadOrPropose, via: "chat", ..bench.caller("bob").await };
    assert_eq!(code(decide(&bench.gate, &brain, said).await), "brain-may-not");
    assert!(bench.seal(plan.id).await.is_empty());
    assert_eq!(bench.events("approval.denied").await.len(), 3, "each try is in the audit");
}

#[tokio::test]
async fn what_the_assistant_proposes_beyond_reading_waits_for_a_person() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let brain = Caller { cap: Cap::ReadOrPropose, via: "chat", ..bench.caller("alice").await };
    let read = ask(&bench.gate, &brain, stat("a")).await.unwrap();
    assert_eq!(read.state, PlanState::Approved);
    let net = ask(&bench.gate, &brain, asked("net.dns", serde_json::json!({"name": "example.org"}), "a"))
        .await
        .unwrap();
    assert_eq!((net.state, net.decision.rule.as_str()), (PlanState::Pending, "assistant-proposes"));
    assert!(bench.seal(net.id).await.is_empty());
    assert_eq!(code(cancel(&bench.gate, &brain, net.id).await), "not-your-plan");
    assert_eq!(code(revoke_approval(&bench.gate, &brain, net.id).await), "brain-may-not");
    assert_eq!(code(bench.approve("alice", &net).await), "own-plan");
}

#[tokio::test]
async fn another_tenants_plan_is_not_found() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", restart("a")).await.unwrap();
    let stranger = Caller { tenant: TenantId::new(99), ..bench.caller("admin").await };
    let vote = |vote| Decide {
        plan: plan.id,
        digest: plan.digest.unwrap(),
        vote,
        reason: None,
        signature: None,
        break_glass: BreakGlass::No,
    };
    assert_eq!(code(decide(&bench.gate, &stranger, vote(Vote::Approve)).await), "not-found");
    assert_eq!(code(cancel(&bench.gate, &stranger, plan.id).await), "not-found");
    assert_eq!(code(revoke_approval(&bench.gate, &stranger, plan.id).await), "not-found");
    assert_eq!(code(why(&bench.gate, &stranger, plan.id).await), "not-found");
    assert!(plan_view(&bench.gate, stranger.tenant, plan.id).await.unwrap().is_none());
    assert!(plan_parts(&bench.gate, stranger.tenant, plan.id).await.unwrap().is_none());
    assert_eq!(code(ask(&bench.gate, &stranger, restart("*")).await), "no-hosts");
}

#[tokio::test]
async fn a_forged_approval_row_is_no_vote_and_stops_every_grant() {
    let bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", restart("a")).await.unwrap();
    let honest = bench.ask("alice", stat("a")).await.unwrap();
    // Written past the store, as somebody with the file would.
    let row = serde_json::json!({
        "id": ApprovalId::new(5), "plan": plan.id, "digest": plan.digest, "person": person("bob"), "key": null, "approve": true,
        "reason": null, "mark": null, "envelope": null, "signed_by": null, "expires_at": null, "made_at": bench.now(),
    });
    let file = bench.dir.path().join("legator.db");
    let script = format!(
        "import sqlite3,sys;c=sqlite3.connect(sys.argv[1]);c.execute('insert into sealed values(?,?,?,?,?,?,?)',('{TENANT}','approval','{}.{}',999,sys.argv[2],'k',b'x'*32));c.execute(\"update plans set state='approved'\");c.commit()",
        plan.id,
        person("bob")
    );
    let done = std::process::Command::new("python3")
        .args(["-c", &script, file.to_str().unwrap(), &row.to_string()])
        .status();
    assert!(done.unwrap().success());
    for id in [plan.id, honest.id] {
        let sealed = seal(&bench.gate, &bench.authority, id).await;
        assert!(
            matches!(sealed, Err(GateError::Store(legator_store::StoreError::RightsTampered { .. }))),
            "{sealed:?}"
        );
    }
    assert!(bench.view(plan.id).await.approvals.is_empty());
}
