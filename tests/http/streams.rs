//! Streams: events as they happen, resumed without gaps; ended when the key is withdrawn.

use super::world::{Caller, Who, World};
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;

/// Reads events of a stream until `enough`, a minute at most; the text so far when it ends.
async fn read(
    caller: &Caller,
    path: &str,
    last: Option<&str>,
    mut enough: impl FnMut(&str) -> bool,
) -> String {
    let request = caller.request("GET", path);
    let request = last.into_iter().fold(request, |request, last| request.header("Last-Event-ID", last));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let mut body = response.bytes_stream();
    let reading = async {
        while let Some(Ok(bytes)) = body.next().await {
            text.push_str(&String::from_utf8_lossy(&bytes));
            if enough(&text) {
                return;
            }
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(60), reading).await.is_ok(),
        "not within a minute: {text}"
    );
    text
}

fn numbers(text: &str) -> Vec<u64> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str::<Value>(data).ok()?["number"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_followed_and_resumed_without_a_gap() {
    let world = World::new().await;
    let admin = world.caller(Who::Admin);
    let first = read(&admin, "/api/v1/events/stream?after=0", None, |text| numbers(text).len() >= 5).await;
    let seen = numbers(&first);
    assert!(seen.iter().copied().eq(1..=seen.len() as u64), "{seen:?}");
    let last = seen.last().unwrap().to_string();
    let auditor = world.caller(Who::Auditor);
    let following =
        read(&auditor, "/api/v1/events/stream", Some(&last), |text| text.contains("marker-person"));
    let making = admin.post("/api/v1/persons", json!({"name": "marker-person", "roles": ["viewer"]}));
    let (text, _) = tokio::join!(following, making);
    let more = numbers(&text);
    assert_eq!(more.first().copied(), seen.last().map(|last| last + 1));
    assert!(more.windows(2).all(|pair| pair[1] == pair[0] + 1), "{more:?}");
    for bad in ["x", "-1", "1;2", "99999999999999999999999"] {
        let response =
            admin.request("GET", "/api/v1/events/stream").header("Last-Event-ID", bad).send().await.unwrap();
        assert_eq!(response.status(), 422, "{bad}");
    }
    eprintln!("events followed: {} and {} after a break, no gap", seen.len(), more.len());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_the_key_and_with_its_plan() {
    let world = World::new().await;
    let admin = world.caller(Who::Admin);
    let person = admin.post("/api/v1/persons", json!({"name": "aud", "roles": ["auditor"]})).await;
    let made = admin.post("/api/v1/keys", json!({"person": person["id"]})).await;
    let auditor = Caller { key: made["key"].as_str().unwrap().to_owned(), ..admin.clone() };
    let following = read(&auditor, "/api/v1/events/stream", None, |_| false);
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    let withdrawing = admin.call("DELETE", &path, None);
    let (_, (status, _)) = tokio::join!(following, withdrawing);
    assert_eq!(status, 204);
    let operator = world.caller(Who::Operator);
    let path = format!("/api/v1/plans/{}/stream", world.own.plan);
    let following = read(&operator, &path, None, |_| false);
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        operator.call("POST", &format!("/api/v1/plans/{}/cancel", world.own.plan), None).await
    };
    let (text, (status, _)) = tokio::join!(following, cancelling);
    assert_eq!(status, 200);
    assert!(text.contains("event: end") && text.contains("cancelled"), "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_woken_and_not_polled() {
    let world = World::new().await;
    let since = std::time::Instant::now();
    let ask = json!({"verb": "service.restart", "args": {"name": "cron"}, "selector": format!("id={}", world.own.host)});
    let plan = world.caller(Who::Operator).post("/api/v1/plans?wait=50s", ask).await;
    assert_eq!(plan["state"], "pending");
    assert!(since.elapsed() < Duration::from_secs(20), "a plan that waits for people is answered at once");
    world.end().await;
}
