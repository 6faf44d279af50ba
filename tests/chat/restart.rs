//! The main job by chat: looked at with evidence, proposed, asked, approved, followed, and cited; also over the end of the server.

use super::stage::{Event, HOST, Stage, in_order, restarts};
use legator_testkit::nginx::Nginx;
use legator_testkit::process::until;
use serde_json::{Value, json};

fn kinds(steps: &[Event]) -> Vec<&str> {
    steps.iter().map(|step| step.kind.as_str()).collect()
}

fn approve(stage: &Stage, plan: &str, digest: &str) {
    let body = json!({"plan": plan, "digest": digest, "decision": "approve"});
    stage.server.post("/api/v1/approvals", &body);
}

/// The answer cites the outcome, whose states before and after are those of the real process.
fn is_proven(answer: &Event, steps: &[Event], [before, after]: [u64; 2]) {
    assert_eq!(answer.kind, "answer", "{answer:?}");
    let outcome = &steps.iter().find(|step| step.kind == "outcome").unwrap().data;
    let task = &outcome["tasks"][0];
    assert_eq!((task["state"].as_str(), &task["verified"]), (Some("succeeded"), &json!(true)), "{task}");
    assert_eq!(
        (task["before"]["main_pid"].as_u64(), task["after"]["main_pid"].as_u64()),
        (Some(before), Some(after))
    );
    assert_eq!(
        answer.data["cites"],
        json!([{"id": outcome["id"], "plan": outcome["plan"]}]),
        "{}",
        answer.data
    );
    let text = answer.data["text"].as_str().unwrap();
    assert!(text.contains(&format!("{before} → {after}")), "{text}");
    assert!(text.contains("[no such evidence]") && answer.data["dropped"] == 1, "{text}");
    let facts = answer.data["facts"].as_str().unwrap();
    assert!(
        facts.contains("verified on 1") && facts.contains(&format!("main_pid {before} → {after}")),
        "{facts}"
    );
}

fn in_audit(stage: &Stage, plan: &str, turn: &str) {
    let kinds = until("the audit to have all of it", || {
        let (_, page) = stage.server.call("GET", "/api/v1/events?limit=500", None);
        let events = page["items"].as_array()?.clone();
        let about = |event: &&Value| {
            let text = event.to_string();
            text.contains(plan) || text.contains(turn)
        };
        let kinds: Vec<String> = events
            .iter()
            .filter(about)
            .filter_map(|event| event["kind"].as_str().map(str::to_owned))
            .collect();
        kinds.iter().any(|kind| kind == "turn.answered").then_some(kinds)
    });
    for wanted in ["turn.asked", "plan.made", "approval.", "task.", "turn.answered"] {
        assert!(kinds.iter().any(|kind| kind.starts_with(wanted)), "{wanted} in {kinds:?}");
    }
}

#[test]
fn nginx_is_restarted_by_chat_also_when_the_server_is_killed_while_the_approval_waits() {
    let _nginx = Nginx::start();
    let mut stage = Stage::with_host(restarts);
    let chat = stage.chat(Some(HOST));
    let first = stage.follow(&chat, None, None);
    let before = Nginx::pid();
    let turn = stage.ask(&chat, "restart nginx on web-03");
    let (plan, digest) = first.asked(&turn);
    let seen = first.steps();
    assert_eq!(kinds(&seen), ["question", "text", "tool", "evidence", "tool", "plan", "approval"]);
    in_order(&seen, 1);
    let evidence = &seen[3].data;
    assert!(evidence["text"].as_str().unwrap().contains(&before.to_string()), "{evidence}");
    let shown = &seen[5].data;
    assert_eq!(
        (shown["plan"].as_str(), shown["digest"].as_str()),
        (Some(plan.as_str()), Some(digest.as_str()))
    );
    assert_eq!(
        (&shown["after_reading"], shown["approvals_needed"].as_u64()),
        (&json!([evidence["id"]]), Some(1))
    );

    stage.server.restart();
    assert_eq!(Nginx::pid(), before, "nothing ran before its gate decided");
    stage.server.online(HOST);
    let last = seen.last().unwrap().id;
    let second = stage.follow(&chat, last, None);
    approve(&stage, &plan, &digest);
    let answer = second.ended(&turn);
    let after = Nginx::pid();
    assert_ne!(before, after, "the main process is another one");
    let rest = second.steps();
    in_order(&rest, last.unwrap() + 1);
    assert!(!rest.iter().any(|step| step.kind == "plan" || step.kind == "question"), "{:?}", kinds(&rest));
    is_proven(&answer, &rest, [before, after]);
    in_audit(&stage, &plan, &turn);

    // The whole chat again, by another stream and by its page: the same steps, each once.
    let whole = stage.follow(&chat, None, None);
    whole.ended(&turn);
    let whole = whole.steps();
    in_order(&whole, 1);
    assert_eq!(whole.len(), seen.len() + rest.len());
    let page = stage.server.get(&format!("/api/v1/chats/{chat}"));
    assert_eq!(page["turns"][0]["steps"].as_array().unwrap().len(), whole.len());
    assert_eq!(page["last_event"], whole.last().unwrap().id.unwrap().to_string());
    eprintln!("chat: nginx {before} -> {after}, {} steps over two servers", whole.len());
}
