//! The path of a plan, stop by stop.

use crate::bench::*;
use legator_core::cage::CageState;
use legator_core::decision::Effect;
use legator_core::level::Level;
use legator_core::plan::PlanState;
use legator_core::rights::{Role, RoleOn};
use legator_core::task::TaskState;
use legator_gate::*;
use legator_wire::approval::Vote;
use serde_json::json;

#[tokio::test]
async fn a_read_is_allowed_sealed_run_and_settled() {
    let mut bench = Bench::with(Auth::On, &["web-01", "web-02"]).await;
    let plan = bench.ask("alice", stat("env=prod")).await.unwrap();
    assert_eq!(
        (plan.state, plan.decision.effect, plan.decision.rule.as_str()),
        (PlanState::Approved, Effect::Allow, "observe")
    );
    assert_eq!(plan.hosts.len(), 2);
    let plan = bench.run(plan.id).await;
    assert_eq!(plan.state, PlanState::Finished);
    assert_eq!(Bench::states(&plan), [TaskState::Succeeded, TaskState::Succeeded]);
    let task = serde_json::to_value(&plan.tasks[0]).unwrap();
    assert_eq!(task["output"]["stdout"]["text"], "done\n");
    assert_eq!(task["exit_code"], 0);
    assert_eq!(task["name"], "web-01");
    assert_eq!(bench.events("task.ended").await.len(), 2);
    assert_eq!(bench.events("plan.sealed").await.len(), 1);
}

#[tokio::test]
async fn a_change_waits_for_another_person_and_then_runs_once() {
    let mut bench = Bench::with(Auth::On, &["web-03"]).await;
    let plan = bench.ask("alice", restart("web-03")).await.unwrap();
    assert_eq!((plan.state, plan.decision.approvals_needed), (PlanState::Pending, 1));
    assert!(bench.seal(plan.id).await.is_empty());
    assert_eq!(code(bench.approve("alice", &plan).await), "own-plan");
    assert_eq!(bench.approve("bob", &plan).await.unwrap().state, PlanState::Approved);
    let done = bench.run(plan.id).await;
    assert_eq!(Bench::states(&done), [TaskState::Succeeded]);
    assert_eq!(done.tasks[0].verified, Some(true));
    assert!(bench.seal(plan.id).await.is_empty());
    assert_eq!(bench.host("web-03").runs.values().sum::<u32>(), 1);
    let parts = plan_parts(&bench.gate, TENANT, plan.id).await.unwrap().unwrap();
    assert_eq!(parts["grants"].as_array().unwrap().len(), 1);
    assert_eq!(parts["receipts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn without_authentication_one_explicit_approval_is_every_quorum_and_is_marked() {
    let mut bench = Bench::with(Auth::Off, &["web-03"]).await;
    let plan = bench.ask("local", reboot("web-03")).await.unwrap();
    assert_eq!((plan.state, plan.decision.approvals_needed), (PlanState::Pending, 1));
    assert!(bench.seal(plan.id).await.is_empty());
    let plan = bench.approve("local", &plan).await.unwrap();
    assert_eq!(plan.state, PlanState::Approved);
    assert_eq!(plan.approvals[0].mark.as_deref(), Some("self_approved"));
    assert_eq!(Bench::states(&bench.run(plan.id).await), [TaskState::Succeeded]);
}

#[tokio::test]
async fn a_vote_of_the_only_person_counts_no_more_once_there_is_authentication() {
    let mut bench = Bench::with(Auth::Off, &["web-03"]).await;
    let plan = bench.ask("local", restart("web-03")).await.unwrap();
    bench.approve("local", &plan).await.unwrap();
    bench.auth = Auth::On;
    bench.restart().await;
    assert!(bench.seal(plan.id).await.is_empty());
    assert_eq!(bench.view(plan.id).await.state, PlanState::Pending);
}

#[tokio::test]
async fn a_write_is_prepared_shown_approved_and_taken_back() {
    let mut bench = Bench::with(Auth::On, &["web-01", "web-02"]).await;
    bench.disconnect("web-02").await;
    let write = asked("file.write", json!({"path": "/etc/motd", "content": "new\n"}), "env=prod");
    let plan = bench.ask("alice", write).await.unwrap();
    assert_eq!((plan.state, plan.digest), (PlanState::Preparing, None));
    assert_eq!(code(bench.approve("bob", &plan).await), "plan-preparing");
    let reading = plan.reading.unwrap();
    let handed = bench.seal(reading).await;
    assert_eq!(handed.len(), 1);
    assert!(matches!(prepared(&bench.gate, plan.id).await, Err(GateError::Nothing)));
    let sent = bench.probe(&handed[0]);
    let settled = bench.settle(handed[0].host, sent).await.unwrap();
    assert_eq!((settled.prepares, settled.plan_final), (Some(plan.id), true));
    assert_eq!(prepared(&bench.gate, plan.id).await.unwrap(), PlanState::Pending);
    let plan = bench.view(plan.id).await;
    assert_eq!(plan.left_out, ["web-02"]);
    assert_eq!(plan.hosts_total, 1);
    assert!(plan.diff.as_ref().unwrap().contains("-old") && plan.diff.as_ref().unwrap().contains("+new"));
    bench.approve("bob", &plan).await.unwrap();
    let done = bench.run(plan.id).await;
    assert_eq!(Bench::states(&done), [TaskState::Succeeded, TaskState::Unreachable]);
    assert_eq!(bench.host("web-01").content, "new\n");

    let undo = asked("task.undo", json!({"task": done.tasks[0].id}), "");
    let undo = bench.ask("alice", undo).await.unwrap();
    assert_eq!((undo.state, undo.decision.approvals_needed), (PlanState::Pending, 1));
    let parts = plan_parts(&bench.gate, TENANT, undo.id).await.unwrap().unwrap();
    let after = done.tasks[0].after.as_ref().unwrap();
    assert_eq!(parts["leaves"][0]["shown"], after["digest"]);
    let stat_task = bench.ask("alice", stat("web-01")).await.unwrap();
    let stat_task = bench.run(stat_task.id).await.tasks[0].id;
    assert_eq!(code(bench.ask("alice", asked("task.undo", json!({"task": stat_task}), "")).await), "no-undo");
}

#[tokio::test]
async fn a_plan_whose_hosts_show_nothing_is_refused() {
    let bench = Bench::with(Auth::On, &["web-01"]).await;
    bench.disconnect("web-01").await;
    let plan =
        bench.ask("alice", asked("file.delete", json!({"path": "/etc/motd"}), "web-01")).await.unwrap();
    assert!(bench.seal(plan.reading.unwrap()).await.is_empty());
    assert_eq!(bench.sweep().await.prepare, [plan.id]);
    assert_eq!(prepared(&bench.gate, plan.id).await.unwrap(), PlanState::Refused);
    let plan = bench.view(plan.id).await;
    assert_eq!(
        (plan.decision.rule.as_str(), Bench::states(&plan)),
        ("state-not-read", vec![TaskState::Unreachable])
    );
}

#[tokio::test]
async fn a_host_below_the_level_is_named_and_one_lowered_later_is_refused_at_the_seal() {
    let mut bench = Bench::with(Auth::On, &["web-01"]).await;
    bench.enrol("db-01", &[("env", "prod")], Level::Observe).await;
    let failure = bench.ask("alice", restart("env=prod")).await.unwrap_err();
    assert_eq!((failure.code, failure.rule.as_deref()), ("level-above-ceiling", Some("host-level")));
    assert!(failure.detail.contains("db-01") && !failure.detail.contains("web-01"));
    assert_eq!(bench.events("plan.denied").await.len(), 1);
    let plan = bench.ask("alice", restart("web-01")).await.unwrap();
    bench.approve("bob", &plan).await.unwrap();
    let host = bench.host("web-01").id;
    let op = legator_store::Op::system(TENANT, "test", legator_core::ids::TraceId::new(1));
    let lower = bench.store().write(&op, async |tx| {
        Ok::<_, legator_store::StoreError>(
            legator_store::hosts::set_level(tx, host, Level::Observe).await?.unwrap(),
        )
    });
    lower.await.unwrap();
    assert!(bench.seal(plan.id).await.is_empty());
    let plan = bench.view(plan.id).await;
    assert_eq!(
        (plan.state, plan.tasks[0].reason.as_deref()),
        (PlanState::Finished, Some("level-above-ceiling"))
    );
    assert_eq!(Bench::states(&plan), [TaskState::Refused]);
}

#[tokio::test]
async fn a_program_on_a_host_without_a_full_cage_is_refused_by_name() {
    let mut bench = Bench::new(Auth::On).await;
    bench.enrol("old-01", &[], Level::Remediate).await;
    bench.connect("old-01", CageState::Partial).await;
    let plan = bench.ask("alice", asked("shell.run", json!({"argv": ["id"]}), "old-01")).await.unwrap();
    assert_eq!((plan.state, plan.decision.rule.as_str()), (PlanState::Refused, "observe-needs-full-cage"));
    assert_eq!(Bench::states(&plan), [TaskState::Refused]);
    assert!(bench.seal(plan.id).await.is_empty());
    let why = why(&bench.gate, &bench.caller("alice").await, plan.id).await.unwrap();
    assert_eq!(why.policy.decision.rule, "observe-needs-full-cage");
}

#[tokio::test]
async fn roles_narrow_the_hosts_that_a_plan_is_for() {
    let mut bench = Bench::with(Auth::On, &["web-01"]).await;
    bench.enrol("stage-01", &[("env", "stage")], Level::Remediate).await;
    bench.set_roles("alice", vec![RoleOn { role: Role::Operator, selector: Some("env=prod".into()) }]).await;
    let plan = bench.ask("alice", stat("*")).await.unwrap();
    assert_eq!(plan.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["web-01"]);
    let failure = bench.ask("alice", stat("stage-01")).await.unwrap_err();
    assert_eq!(
        (failure.code, failure.kind),
        ("outside-your-hosts", legator_core::error::ErrorKind::Forbidden)
    );
}

#[tokio::test]
async fn what_was_handed_over_is_not_called_cancelled() {
    let mut bench = Bench::with(Auth::On, &["a", "b"]).await;
    let rollout = Some(AskRollout { batch: Some(1), ..AskRollout::default() });
    let plan = bench.ask("alice", Ask { rollout, ..restart("env=prod") }).await.unwrap();
    bench.approve("bob", &plan).await.unwrap();
    let handed = bench.seal(plan.id).await;
    assert_eq!(handed.len(), 1);
    let (view, tell) = cancel(&bench.gate, &bench.caller("alice").await, plan.id).await.unwrap();
    assert_eq!(tell, [(handed[0].host, handed[0].task)]);
    assert_eq!(
        (view.state, Bench::states(&view)),
        (PlanState::Running, vec![TaskState::Sent, TaskState::Cancelled])
    );
    let sent = bench.probe(&handed[0]);
    assert!(bench.settle(handed[0].host, sent).await.unwrap().plan_final);
    assert_eq!(bench.view(plan.id).await.state, PlanState::Cancelled, "one of its hosts was never started");
    assert_eq!(code(cancel(&bench.gate, &bench.caller("alice").await, plan.id).await), "plan-over");
    let other = bench.ask("alice", restart("a")).await.unwrap();
    assert_eq!(code(cancel(&bench.gate, &bench.caller("dave").await, other.id).await), "not-your-plan");
    assert_eq!(
        cancel(&bench.gate, &bench.caller("bob").await, other.id).await.unwrap().0.state,
        PlanState::Cancelled
    );
}

#[tokio::test]
async fn a_silent_task_is_unknown_until_a_receipt_comes_after_all_once() {
    let mut bench = Bench::with(Auth::On, &["a"]).await;
    let plan = bench.ask("alice", stat("a")).await.unwrap();
    let handed = bench.seal(plan.id).await;
    let sent = bench.probe(&handed[0]);
    bench.later(3600);
    bench.sweep().await;
    let view = bench.view(plan.id).await;
    assert_eq!((view.state, Bench::states(&view)), (PlanState::Finished, vec![TaskState::Unknown]));
    let first = bench.settle(handed[0].host, sent.clone()).await.unwrap();
    assert_eq!(first.state, TaskState::Succeeded);
    let view = bench.view(plan.id).await;
    assert!(view.tasks[0].was_unknown);
    let again = bench.settle(handed[0].host, sent).await.unwrap();
    assert_eq!((again.ack, again.state), (first.ack, TaskState::Succeeded));
    assert_eq!(
        bench.events("task.ended").await.len(),
        2,
        "unknown, then succeeded; the duplicate is no event"
    );
}

#[tokio::test]
async fn a_policy_is_checked_activated_and_asked_again_at_the_seal() {
    let mut bench = Bench::with(Auth::On, &["web-01"]).await;
    let admin = bench.caller("admin").await;
    let plan = bench.ask("alice", restart("web-01")).await.unwrap();
    bench.approve("bob", &plan).await.unwrap();
    assert_eq!(
        code(propose_policy(&bench.gate, &admin, "permit(principal,action,resource);".into(), None).await),
        "bad-policy"
    );
    assert_eq!(
        code(propose_policy(&bench.gate, &bench.caller("bob").await, "x".into(), None).await),
        "missing-permission"
    );
    let text = "@id(\"never\") forbid (principal, action, resource) when { context.verb == \"service.restart\" };\n@id(\"reads\") @approvals(\"0\") permit (principal, action, resource) when { context.level == \"observe\" };";
    let written = propose_policy(&bench.gate, &admin, text.into(), Some("no restarts".into())).await.unwrap();
    assert_eq!(written.version, 1);
    activate_policy(&bench.gate, &admin, 1).await.unwrap();
    assert!(bench.seal(plan.id).await.is_empty());
    let plan = bench.view(plan.id).await;
    assert_eq!((plan.state, plan.tasks[0].reason.as_deref()), (PlanState::Refused, Some("never")));
    let simulated =
        simulate(&bench.gate, &bench.caller("alice").await, None, &restart("web-01")).await.unwrap();
    assert_eq!(simulated.why.decision.rule, "never");
    let simulated =
        simulate(&bench.gate, &bench.caller("alice").await, Some(legator_policy_text()), &restart("web-01"))
            .await
            .unwrap();
    assert_eq!(simulated.why.decision.rule, "remediate-one");
    bench.restart().await;
    assert_eq!(bench.ask("alice", restart("web-01")).await.unwrap().decision.policy_version, 1);
    activate_policy(&bench.gate, &bench.caller("admin").await, 0).await.unwrap();
    assert_eq!(bench.ask("alice", restart("web-01")).await.unwrap().decision.rule, "remediate-one");
}

fn legator_policy_text() -> &'static str {
    "@id(\"remediate-one\") @approvals(\"1\") permit (principal, action, resource);"
}

#[tokio::test]
async fn who_approved_also_signs_with_their_own_key_and_nobody_elses() {
    use legator_wire::approval::Approval;
    use legator_wire::dsse::Envelope;
    use legator_wire::keys::{ApproverKey, Signer};
    let bench = Bench::with(Auth::On, &["web-01"]).await;
    let (own, other) = (ApproverKey::from_secret(&[5; 32]), ApproverKey::from_secret(&[6; 32]));
    let row = legator_store::keys::ApproverKey {
        person: person("bob"),
        name: "laptop".into(),
        key: own.public().hex(),
        made_at: bench.now(),
        revoked_at: None,
    };
    bench
        .act(async |tx| legator_store::keys::put_approver(tx, &own.public().fingerprint(), &row).await)
        .await;
    let plan = bench.ask("alice", restart("web-01")).await.unwrap();
    let digest = plan.digest.unwrap();
    let sign = |key: &ApproverKey, change: &dyn Fn(&mut Approval)| {
        let mut approval = Approval {
            installation: INSTALLATION.into(),
            plan: digest,
            decision: Vote::Approve,
            person: person("bob"),
            key: key.public().fingerprint(),
            made_at: bench.now(),
            expires_at: plan.expires_at,
        };
        change(&mut approval);
        Envelope::seal(&approval, key)
    };
    let vote = |by: &'static str, signature: Envelope| {
        let bench = &bench;
        async move {
            let caller = bench.caller(by).await;
            let vote = Decide {
                plan: plan.id,
                digest,
                vote: Vote::Approve,
                reason: None,
                signature: Some(signature),
                break_glass: BreakGlass::No,
            };
            decide(&bench.gate, &caller, vote).await
        }
    };
    assert_eq!(code(vote("bob", sign(&other, &|_| {})).await), "bad-signature");
    assert_eq!(code(vote("carol", sign(&own, &|_| {})).await), "bad-signature");
    assert_eq!(code(vote("bob", sign(&own, &|a| a.decision = Vote::Reject)).await), "bad-signature");
    assert_eq!(code(vote("bob", sign(&own, &|a| a.person = person("carol"))).await), "bad-signature");
    assert_eq!(
        code(vote("bob", sign(&own, &|a| a.plan = legator_core::digest::Digest::of(b"x"))).await),
        "bad-signature"
    );
    assert_eq!(code(vote("bob", sign(&own, &|a| a.installation = "other".into())).await), "bad-signature");
    assert_eq!(code(vote("bob", sign(&own, &|a| a.expires_at = a.made_at)).await), "bad-signature");
    let signed = vote("bob", sign(&own, &|_| {})).await.unwrap();
    assert_eq!(signed.approvals[0].signed_by, Some(own.public().fingerprint()));
    let handed = bench.seal(plan.id).await;
    assert_eq!(handed[0].delivery.approvals.len(), 1, "the probe is given the approver's own signature");
}
