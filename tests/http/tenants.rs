//! Two tenants: what belongs to one does not exist for the other, whatever is done with its ids.

use super::world::{Caller, Own, Who, World};
use serde_json::{Value, json};

/// Every way to use an id of `theirs`.
fn tries(theirs: &Own) -> Vec<(&'static str, String, Option<Value>)> {
    let api = |path: String| format!("/api/v1/{path}");
    let Own { host, plan, task, chat, token, person, key, freeze, digest, .. } = theirs;
    let mut tries = vec![
        ("PATCH", api(format!("hosts/{host}")), Some(json!({"labels": {"a": "b"}}))),
        ("DELETE", api(format!("hosts/{host}")), None),
        ("POST", api(format!("hosts/{host}/revoke")), None),
        ("POST", api(format!("hosts/{host}/clear-clone")), None),
        ("POST", api(format!("plans/{plan}/cancel")), None),
        ("POST", api(format!("plans/{plan}/undo")), None),
        (
            "POST",
            api("approvals".into()),
            Some(json!({"plan": plan, "digest": digest, "decision": "approve"})),
        ),
        (
            "POST",
            api("approvals".into()),
            Some(json!({"plan": plan, "digest": digest, "decision": "reject"})),
        ),
        ("DELETE", api(format!("approvals/{plan}")), None),
        ("DELETE", api(format!("tokens/{token}")), None),
        ("DELETE", api(format!("keys/{key}")), None),
        ("POST", api("keys".into()), Some(json!({"person": person}))),
        ("PATCH", api(format!("persons/{person}")), Some(json!({"name": "x"}))),
        ("DELETE", api(format!("persons/{person}")), None),
        (
            "POST",
            api(format!("persons/{person}/approver-keys")),
            Some(json!({"key": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"})),
        ),
        ("DELETE", api(format!("freezes/{freeze}")), None),
        ("POST", api(format!("chats/{chat}/turns")), Some(json!({"text": "hello"}))),
        ("POST", api("chats".into()), Some(json!({"host": host}))),
    ];
    let reads = [
        format!("hosts/{host}"),
        format!("hosts/{host}/inventory"),
        format!("hosts/{host}/inventory/os"),
        format!("hosts/{host}/activity"),
        format!("hosts/{host}/metrics"),
        format!("plans/{plan}"),
        format!("plans/{plan}/bytes"),
        format!("plans/{plan}/why"),
        format!("plans/{plan}/stream"),
        format!("tasks/{task}"),
        format!("chats/{chat}"),
        format!("chats/{chat}/stream"),
        format!("persons/{person}"),
    ];
    tries.extend(reads.into_iter().map(|path| ("GET", api(path), None)));
    tries
}

async fn everything(of: &Caller) -> Value {
    let mut all = json!({});
    for list in ["plans", "tokens", "persons", "keys", "freezes", "chats", "policies"] {
        all[list] = of.get(&format!("/api/v1/{list}?limit=500")).await["items"].clone();
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_one_tenant_does_not_exist_for_another() {
    let world = World::new().await;
    let admin = world.caller(Who::Admin);
    let other = Caller { key: world.other.admin.clone(), ..admin.clone() };
    let mut count = 0;
    for (caller, theirs, owner) in [(&admin, &world.other, &other), (&other, &world.own, &admin)] {
        let (begun, before) = (owner.fence().await, everything(owner).await);
        for (method, path, body) in tries(theirs) {
            let (status, answer) = caller.call(method, &path, body).await;
            assert_eq!(status, 404, "{method} {path}: {answer}");
            count += 1;
        }
        assert_eq!(everything(owner).await, before, "something was written");
        let (caused, _) = owner.caused(begun, owner.fence().await).await;
        assert!(caused.is_empty(), "tries of another tenant left events: {caused:#?}");
        let ask = json!({"verb": "service.restart", "args": {"name": "x"}, "selector": format!("id={}", theirs.host)});
        let (status, _) = caller.call("POST", "/api/v1/plans", Some(ask)).await;
        assert_eq!(status, 422, "a selector that names another tenant's host selects nothing");
        for list in ["hosts", "persons", "tokens", "keys"] {
            let (status, _) =
                caller.call("GET", &format!("/api/v1/{list}?cursor={}", theirs.cursor), None).await;
            assert_eq!(status, 422, "{list} with another tenant's cursor");
        }
        for list in ["hosts", "plans", "persons", "tokens", "keys", "chats", "freezes", "events"] {
            let text = caller.get(&format!("/api/v1/{list}?limit=500")).await.to_string();
            for id in [&theirs.host, &theirs.plan, &theirs.chat, &theirs.person, &theirs.token, &theirs.key] {
                assert!(!text.contains(id.as_str()), "{list} tells of another tenant's {id}");
            }
            count += 1;
        }
    }
    assert_eq!(
        other.call("GET", "/api/v1/tenants", None).await.0,
        403,
        "only the default tenant knows of others"
    );
    assert_eq!(other.call("POST", "/api/v1/tenants", Some(json!({"name": "third"}))).await.0, 403);
    eprintln!("two tenants: {count} cases");
    world.end().await;
}
