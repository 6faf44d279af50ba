//! The corpus of bad requests, sent byte for byte: each gets a status of its list, none a 5xx, and nothing changes.

use super::plain;
use super::world::{Who, World};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CORPUS: &str = include_str!("../corpus/http.jsonl");

/// What placeholders stand for.
async fn places(world: &World) -> BTreeMap<&'static str, String> {
    let admin = world.caller(Who::Admin);
    let operator = world.caller(Who::Operator);
    let ask = json!({"verb": "service.restart", "args": {"name": "cron"}, "selector": format!("id={}", world.own.host)});
    let used = operator
        .request("POST", "/api/v1/plans")
        .header("Idempotency-Key", "used-key-1")
        .json(&ask)
        .send()
        .await
        .unwrap();
    assert_eq!(used.status(), 201);
    let runs = admin.get("/api/v1/tokens?limit=1").await["next"].as_str().unwrap_or_default().to_owned();
    let events = admin.get("/api/v1/events?limit=1").await;
    BTreeMap::from([
        ("VIEWER_TOKEN", world.keys[&Who::Viewer].clone()),
        ("OPERATOR_TOKEN", world.keys[&Who::Operator].clone()),
        ("APPROVER_TOKEN", world.keys[&Who::Approver].clone()),
        ("ADMIN_TOKEN", world.keys[&Who::Admin].clone()),
        ("EXPIRED_TOKEN", world.keys[&Who::Expired].clone()),
        ("REVOKED_TOKEN", world.keys[&Who::Revoked].clone()),
        ("REGISTRATION_TOKEN", world.registration.clone()),
        ("SESSION_COOKIE", "session=abc".to_owned()),
        ("HOST_ID", world.own.host.clone()),
        ("PLAN_ID", world.own.plan.clone()),
        ("PLAN_DIGEST", world.own.digest.clone()),
        ("TASK_ID", world.own.task.clone()),
        ("CHAT_ID", world.own.chat.clone()),
        ("PERSON_ID", world.own.person.clone()),
        ("EVENT_ID", events["items"][0]["id"].as_str().unwrap().to_owned()),
        ("OTHER_HOST_ID", world.other.host.clone()),
        ("OTHER_PLAN_ID", world.other.plan.clone()),
        ("OTHER_PLAN_DIGEST", world.other.digest.clone()),
        ("OTHER_CURSOR", world.other.cursor.clone()),
        ("RUNS_CURSOR", runs),
        ("USED_KEY", "used-key-1".to_owned()),
    ])
}

fn fill(text: &str, places: &BTreeMap<&'static str, String>) -> String {
    let mut text = text.to_owned();
    for (name, value) in places {
        let place = format!("${{{name}}}");
        if text.contains(&place) {
            assert!(!value.is_empty(), "{name} stands for nothing");
            text = text.replace(&place, value);
        }
    }
    assert!(!text.contains("${"), "a placeholder is left over: {text}");
    text
}

fn bytes(case: &Value, world: &World, places: &BTreeMap<&'static str, String>) -> Vec<u8> {
    let text = |value: &Value| fill(value.as_str().unwrap(), places);
    let headers: Vec<(String, String)> =
        case["headers"].as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
    let body = match (case.get("body"), case.get("body_b64")) {
        (Some(body), _) => text(body).into_bytes(),
        (None, Some(body)) => STANDARD.decode(body.as_str().unwrap()).unwrap(),
        (None, None) => Vec::new(),
    };
    plain::request(world.at, (case["method"].as_str().unwrap(), &text(&case["path"])), &headers, &body)
}

/// What must not change: everything but tries that were denied.
async fn state(world: &World) -> Value {
    let admin = world.caller(Who::Admin);
    let mut state = json!({});
    for list in ["hosts", "plans", "tokens", "persons", "keys", "policies", "freezes", "tenants"] {
        let mut items = admin.get(&format!("/api/v1/{list}?limit=500")).await["items"].clone();
        for item in items.as_array_mut().unwrap() {
            let item = item.as_object_mut().unwrap();
            for moving in ["last_seen", "status", "health", "risk", "connected"] {
                item.remove(moving);
            }
        }
        state[list] = items;
    }
    let turns = world.caller(Who::Operator).get(&format!("/api/v1/chats/{}", world.own.chat)).await;
    state["turns"] = turns["turns"].clone();
    state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_refused_each_for_its_reason() {
    let world = World::new().await;
    let places = places(&world).await;
    let before = state(&world).await;
    let (mut count, mut wrong) = (0, Vec::new());
    for line in CORPUS.lines().filter(|line| !line.trim().is_empty()) {
        let case: Value = serde_json::from_str(line).unwrap();
        let answer = plain::send(world.at, &bytes(&case, &world, &places)).await;
        let wanted: Vec<u64> = case["status"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        count += 1;
        if !answer.status.is_some_and(|status| wanted.contains(&u64::from(status))) {
            wrong.push(format!(
                "{}: {:?}, wanted {wanted:?}: {}",
                case["id"],
                answer.status,
                answer.text.chars().take(200).collect::<String>()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(state(&world).await, before, "a bad request changed something");
    // The good twin of most of them: the same without its fault.
    let good = json!({"verb": "service.restart", "args": {"name": "nginx.service"}, "selector": "name=web-03", "expires_in": "30m"});
    assert_eq!(world.caller(Who::Operator).call("POST", "/api/v1/plans", Some(good)).await.0, 201);
    eprintln!("bad requests by hand: {count} cases");
    world.end().await;
}
