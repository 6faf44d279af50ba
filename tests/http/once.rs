//! `Idempotency-Key`: the same request twice acts once; pages: each item once, links that lead on.

use super::world::{Who, World};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_acts_once() {
    let world = World::new().await;
    let operator = world.caller(Who::Operator);
    let ask = json!({"verb": "service.restart", "args": {"name": "cron"}, "selector": format!("id={}", world.own.host)});
    let send = async |key: &str, body: &serde_json::Value| {
        let request = operator.request("POST", "/api/v1/plans").header("Idempotency-Key", key).json(body);
        let response = request.send().await.unwrap();
        let replayed = response.headers().contains_key("idempotency-replayed");
        (response.status().as_u16(), replayed, response.json::<serde_json::Value>().await.unwrap())
    };
    let (status, replayed, first) = send("a", &ask).await;
    assert_eq!((status, replayed), (201, false));
    let (status, replayed, second) = send("a", &ask).await;
    assert_eq!((status, replayed), (201, true));
    assert_eq!(first, second, "the same plan");
    let mut other = ask.clone();
    other["args"]["name"] = json!("sshd");
    assert_eq!(send("a", &other).await.0, 422, "the same key for another request");
    assert_ne!(send("b", &ask).await.2["id"], first["id"], "another key makes another plan");
    other["selector"] = json!("");
    assert_eq!(send("c", &other).await.0, 422);
    assert_eq!(send("c", &ask).await.0, 201, "a failure leaves the key free");
    // An answer with a secret is not kept.
    let admin = world.caller(Who::Admin);
    let token =
        async || admin.request("POST", "/api/v1/tokens").header("Idempotency-Key", "t").send().await.unwrap();
    assert_eq!(token().await.status(), 201);
    let again = token().await;
    assert_eq!(again.status(), 409);
    assert_eq!(again.json::<serde_json::Value>().await.unwrap()["code"], "answered-once");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_each_item_once_and_lead_on() {
    let world = World::new().await;
    let admin = world.caller(Who::Admin);
    let mut lists = 0;
    for list in ["persons", "keys", "tokens", "plans", "events", "policies", "tenants"] {
        let whole = admin.get(&format!("/api/v1/{list}?limit=500")).await["items"].clone();
        let (mut items, mut path) = (Vec::new(), format!("/api/v1/{list}?limit=2"));
        loop {
            let response = admin.request("GET", &path).send().await.unwrap();
            let link = response.headers().get("link").map(|value| value.to_str().unwrap().to_owned());
            let page: serde_json::Value = response.json().await.unwrap();
            items.extend(page["items"].as_array().unwrap().clone());
            assert_eq!(link.is_some(), page["next"].is_string(), "{list}");
            let Some(link) = link else { break };
            path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
        }
        assert_eq!(serde_json::Value::from(items), whole, "{list}");
        lists += 1;
    }
    eprintln!("lists walked page by page: {lists}");
    world.end().await;
}
