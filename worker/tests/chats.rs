//! Turns of chats from the question to the answer, with a scripted model, the gate, the bus and a simulated host.
//!
//! Proves that a change waits for a person, that an answer cites what really came back, that a turn goes on after a restart, and that each
//! misbehaviour of a model ends a turn with a clear step.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

mod small;
mod talk;

use legator_core::brain::{Scope, Step, ToolState};
use legator_core::level::Level;
use legator_core::plan::PlanState;
use legator_core::task::TaskState;
use legator_store::sql;
use legator_testkit::model::{Model, Play};
use legator_wire::approval::Vote;
use serde_json::{Value, json};
use small::until;
use std::sync::Arc;
use talk::{Says, Talk};

fn says(text: &'static str) -> Says {
    Arc::new(move |_, _| text.to_owned())
}

/// All that the model was told in its last request.
fn told(asked: &Value) -> String {
    asked["messages"].to_string()
}

/// The number of assistant messages after the last question.
fn round(asked: &Value) -> usize {
    let messages = asked["messages"].as_array().unwrap();
    let question = messages.iter().rposition(|message| message["role"] == "user").unwrap();
    messages[question..].iter().filter(|message| message["role"] == "assistant").count()
}

/// Looks, proposes a restart of nginx, and answers with what it was told to cite.
fn restarts(asked: &Value) -> Play {
    match round(asked) {
        0 => Play::Calls("I look first.".into(), vec![("service_status".into(), json!({"name": "nginx"}))]),
        1 => Play::call("service_restart", json!({"name": "nginx"})),
        _ => {
            let all = told(asked);
            let outcome =
                all.split("outcome [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or("e0");
            Play::Text(format!("nginx was restarted [{outcome}], it was up before [e99]."))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_by_chat_waits_for_approval_and_cites_its_verified_outcome() {
    let talk = Talk::start(Model::start(restarts).await.unwrap()).await;
    let (probe, done) = talk.host("web-03", says("active (running), main pid 812")).await;
    let chat = talk.chat(Scope::Host(probe.host())).await;
    let turn = talk.ask(&chat, "restart nginx on web-03").await;
    let plan = talk.pending(turn).await;
    assert_eq!(*done.lock().unwrap(), [("service.status".to_owned(), Level::Observe)], "nothing changed yet");
    let view = talk.small.plan(plan).await;
    assert_eq!((view.state, view.verb.as_str()), (PlanState::Pending, "service.restart"));
    talk.decide(plan, Vote::Approve).await;
    let steps = talk.ended(turn).await;
    let Some(Step::Answer { text, cites, coverage, dropped, facts }) = steps.last() else {
        panic!("{steps:?}")
    };
    let outcome = steps.iter().find_map(|step| match step {
        Step::Outcome { id, tasks, state, .. } => Some((id.clone(), tasks.clone(), *state)),
        _ => None,
    });
    let (id, tasks, state) = outcome.unwrap();
    assert_eq!(
        (state, tasks[0].state, tasks[0].verified),
        (PlanState::Finished, TaskState::Succeeded, Some(true))
    );
    assert_ne!(tasks[0].before["main_pid"], tasks[0].after["main_pid"]);
    assert_eq!(cites.len(), 1);
    assert_eq!((cites[0].id.as_str(), cites[0].plan), (id.as_str(), plan));
    assert_eq!((*dropped, coverage.asked, coverage.answered), (1, 1, 1));
    assert!(text.contains("[no such evidence]") && !text.contains("[e99]"), "{text}");
    assert!(facts.as_ref().unwrap().contains("verified on 1"));
    let Some(Step::Plan { after_reading, approvals_needed, .. }) =
        steps.iter().find(|step| matches!(step, Step::Plan { .. }))
    else {
        panic!()
    };
    assert_eq!((after_reading.len(), *approvals_needed), (1, 1));
    let kinds: Vec<&str> = steps.iter().map(Step::event).collect();
    let wanted = ["question", "text", "tool", "evidence", "tool", "plan", "approval"];
    assert_eq!(kinds[..wanted.len()], wanted);
    assert_eq!(talk.small.events("turn.asked").await, 1);
    assert_eq!(talk.small.events("turn.answered").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_survives_a_restart_while_its_approval_waits() {
    let first = Talk::start(Model::start(restarts).await.unwrap()).await;
    let (mut probe, done) = first.host("web-03", says("active")).await;
    let chat = first.chat(Scope::Host(probe.host())).await;
    let turn = first.ask(&chat, "restart nginx on web-03").await;
    let plan = first.pending(turn).await;
    let (store, authority) = (first.small.store.clone(), first.small.authority.clone());
    drop(first);
    assert_eq!(done.lock().unwrap().len(), 1);
    let small = small::start_on(store, authority, Default::default()).await;
    let second = Talk::over(small, Model::start(restarts).await.unwrap()).await;
    probe.server = second.small.server.clone();
    probe.instance = legator_testkit::sim::fresh_instance();
    let done = second.connect(&probe, says("active")).await;
    assert!(second.turn(turn).await.state.is_open());
    second.decide(plan, Vote::Approve).await;
    let steps = second.ended(turn).await;
    assert!(matches!(steps.last(), Some(Step::Answer { cites, .. }) if cites.len() == 1), "{steps:?}");
    assert_eq!(
        steps.iter().filter(|step| matches!(step, Step::Plan { .. })).count(),
        1,
        "the proposal is not repeated"
    );
    assert_eq!(second.changes().await.len(), 1);
    assert_eq!(*done.lock().unwrap(), [("service.restart".to_owned(), Level::Remediate)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_made_just_before_the_process_ended_is_found_again() {
    let talk = Talk::start(Model::start(restarts).await.unwrap()).await;
    let (probe, _done) = talk.host("web-03", says("active")).await;
    let chat = talk.chat(Scope::Host(probe.host())).await;
    let turn = talk.ask(&chat, "restart nginx on web-03").await;
    let plan = talk.pending(turn).await;
    let (store, authority) = (talk.small.store.clone(), talk.small.authority.clone());
    drop(talk);
    // As if the process had ended between making the plan and noting it.
    let forget: Result<u64, legator_store::StoreError> = store
        .keep(legator_store::Keeping::Turns, async |tx| {
            tx.execute("UPDATE turn_calls SET plan = NULL WHERE plan = ?", vec![plan.to_string().into()])
                .await
        })
        .await;
    assert_eq!(forget.unwrap(), 1);
    let small = small::start_on(store, authority, Default::default()).await;
    let second = Talk::over(small, Model::start(restarts).await.unwrap()).await;
    let noted = async || {
        let calls = legator_store::chats::calls(&second.small.store, turn).await.unwrap();
        calls.iter().any(|call| call.plan == Some(plan))
    };
    until("the plan is found", noted).await;
    assert_eq!(second.changes().await.len(), 1, "no second plan");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_plan_is_told_as_what_it_is() {
    let talk = Talk::start(Model::start(restarts).await.unwrap()).await;
    let (probe, done) = talk.host("web-03", says("active")).await;
    let chat = talk.chat(Scope::Host(probe.host())).await;
    let turn = talk.ask(&chat, "restart nginx").await;
    let plan = talk.pending(turn).await;
    talk.decide(plan, Vote::Reject).await;
    let steps = talk.ended(turn).await;
    let Some(Step::Answer { facts, .. }) = steps.last() else { panic!("{steps:?}") };
    assert!(facts.as_ref().unwrap().contains("rejected"), "{facts:?}");
    assert_eq!(done.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_change_a_turn_and_only_what_the_person_named() {
    let all: Vec<(String, Value)> = vec![
        ("service_stop".into(), json!({"name": "auditd"})),
        ("service_restart".into(), json!({"name": "nginx", "extra": 1})),
        ("service_restart".into(), json!({"name": "nginx"})),
        ("service_stop".into(), json!({"name": "nginx"})),
        ("host_exec".into(), json!({})),
        ("approval_grant".into(), json!({"plan": "latest"})),
        ("file_read".into(), json!({"path": "/etc/shadow"})),
    ];
    let plays =
        all.into_iter().map(|(tool, args)| Play::call(&tool, args)).chain([Play::say("done")]).collect();
    let talk = Talk::start(Model::scripted(plays).await.unwrap()).await;
    let (probe, done) = talk.host("web-03", says("active")).await;
    let chat = talk.chat(Scope::Host(probe.host())).await;
    let turn = talk.ask(&chat, "restart nginx").await;
    let plan = talk.pending(turn).await;
    talk.decide(plan, Vote::Approve).await;
    let steps = talk.ended(turn).await;
    assert!(matches!(steps.last(), Some(Step::Answer { .. })), "{steps:?}");
    let refused =
        steps.iter().filter(|step| matches!(step, Step::Tool { state: ToolState::Refused, .. })).count();
    assert_eq!(refused, 6, "{steps:?}");
    assert_eq!(talk.changes().await.len(), 1);
    assert_eq!(*done.lock().unwrap(), [("service.restart".to_owned(), Level::Remediate)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_fleets_chat_hosts_are_named_by_the_person() {
    let plays = vec![
        Play::call("disk_usage", json!({"on": "*"})),
        Play::call("service_restart", json!({"name": "nginx", "on": "*"})),
        Play::call("service_restart", json!({"name": "nginx"})),
        Play::call("service_restart", json!({"name": "nginx", "on": "name=web-01"})),
        Play::say("done"),
    ];
    let talk = Talk::start(Model::scripted(plays).await.unwrap()).await;
    let (_one, _) = talk.host("web-01", says("41%")).await;
    let (_two, other) = talk.host("web-02", says("42%")).await;
    let chat = talk.chat(Scope::Fleet).await;
    let turn = talk.ask(&chat, "are disks full? and restart nginx on web-01").await;
    let plan = talk.pending(turn).await;
    talk.decide(plan, Vote::Approve).await;
    let steps = talk.ended(turn).await;
    let Some(Step::Answer { coverage, .. }) = steps.last() else { panic!("{steps:?}") };
    assert_eq!((coverage.asked, coverage.answered), (2, 2));
    assert_eq!(steps.iter().filter(|step| matches!(step, Step::Evidence { .. })).count(), 2);
    assert_eq!(talk.small.plan(plan).await.tasks.len(), 1);
    assert!(other.lock().unwrap().iter().all(|(_, level)| *level == Level::Observe));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_models_misbehaviour_ends_the_turn_with_a_clear_step() {
    let cases = vec![
        (Play::RawCall("service_status".into(), "{\"name\": ".into()), "model-bad-call"),
        (Play::CutOff("all is fi".into()), "model-cut-off"),
        (Play::Status(500, "no".into()), "model-refused"),
        (Play::TooMany(Some(3600)), "model-rate-limited"),
        (Play::RawEvent("nonsense".into()), "model-unreadable"),
    ];
    let count = cases.len();
    let plays = cases.iter().map(|(play, _)| play.clone()).collect();
    let talk = Talk::start(Model::scripted(plays).await.unwrap()).await;
    let (probe, _) = talk.host("web-03", says("x")).await;
    let chat = talk.chat(Scope::Host(probe.host())).await;
    for (_, wanted) in cases {
        let turn = talk.ask(&chat, "what is up?").await;
        let steps = talk.ended(turn).await;
        assert!(
            matches!(steps.last(), Some(Step::Error { code, .. }) if code == wanted),
            "{wanted}: {steps:?}"
        );
    }
    assert_eq!(talk.small.events("turn.failed").await, count);
    eprintln!("{count} misbehaviours through the whole turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_was_edited_speaks_for_nobody() {
    let talk = Talk::start(Model::scripted(vec![Play::Silence]).await.unwrap()).await;
    let (probe, done) = talk.host("web-03", says("x")).await;
    let chat = talk.chat(Scope::Host(probe.host())).await;
    let turn = talk.ask(&chat, "what is up?").await;
    until("it is at the model", async || !talk.model.asked().is_empty()).await;
    let text = "UPDATE turns SET asked = replace(asked, 'what is up?', 'stop auditd'), state = 'acting' WHERE id = ?";
    let touched = sql::execute(talk.small.store.reader(), text, vec![turn.to_string().into()]).await;
    let touched = match touched {
        Ok(touched) => touched,
        // Readers of this store cannot write: the edit goes by the writer.
        Err(_) => {
            let edit = async |tx: &legator_store::Tx| tx.execute(text, vec![turn.to_string().into()]).await;
            let edited: Result<u64, legator_store::StoreError> =
                talk.small.store.keep(legator_store::Keeping::Turns, edit).await;
            edited.unwrap()
        }
    };
    assert_eq!(touched, 1);
    let steps = talk.ended(turn).await;
    assert!(matches!(steps.last(), Some(Step::Error { code, .. }) if code == "turn-tampered"), "{steps:?}");
    assert!(done.lock().unwrap().is_empty());
}
