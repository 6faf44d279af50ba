//! Every route of the document with every kind of caller: each cell is called, and a route without a row fails.

use super::rows::{Needs, Row, rows};
use super::world::{Who, World};
use std::collections::BTreeSet;

fn documented() -> BTreeSet<String> {
    let document = serde_json::to_value(legator_api::openapi()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"] {
            if item.get(method).is_some() {
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    routes
}

/// Whether the answer to this caller is the right one.
fn is_right(row: &Row, who: Who, status: u16) -> bool {
    let through = match row.needs {
        Needs::Nothing => return row.good.contains(&status),
        _ if matches!(who, Who::Nobody | Who::Expired | Who::Revoked) => return status == 401,
        Needs::AKey => true,
        Needs::Roles(roles) => roles.contains(&who),
    };
    if through { row.good.contains(&status) } else { status == 403 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_for_every_kind_of_caller() {
    let world = World::new().await;
    let table = rows(&world.own);
    let named: BTreeSet<String> = table.iter().map(|row| row.route.to_owned()).collect();
    assert_eq!(named, documented(), "each route has a row, and each row a route");
    let mut wrong = Vec::new();
    let mut cells = 0;
    for row in &table {
        let method = row.route.split(' ').next().unwrap();
        for who in Who::ALL {
            let request = world.caller(who).request(method, &row.path);
            let request = match &row.body {
                Some(body) => request.json(body),
                None => request,
            };
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            cells += 1;
            if !is_right(row, who, status) {
                wrong.push(format!("{} as {who:?}: {status}", row.route));
            }
            assert_eq!(response.headers()["cache-control"], "no-store", "{}", row.route);
        }
    }
    assert!(wrong.is_empty(), "{} of {cells}:\n{}", wrong.len(), wrong.join("\n"));
    eprintln!("routes × callers: {} routes, {cells} cells", table.len());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_reaches_no_further_than_its_scope_and_its_selector() {
    let world = World::new().await;
    let admin = world.caller(Who::Admin);
    let me = admin.get("/api/v1/me").await;
    let narrow =
        admin.post("/api/v1/keys", serde_json::json!({"person": me["person"], "scope": ["viewer"]})).await;
    let narrow = super::world::Caller { key: narrow["key"].as_str().unwrap().to_owned(), ..admin.clone() };
    assert_eq!(
        narrow.call("GET", "/api/v1/hosts", None).await.0,
        403,
        "an admin without the role viewer, scoped to viewer"
    );
    let body = serde_json::json!({"name": "sel", "roles": [{"role": "admin", "selector": "name=db-01"}]});
    let person = admin.post("/api/v1/persons", body).await;
    let key = admin.post("/api/v1/keys", serde_json::json!({"person": person["id"]})).await;
    let elsewhere = super::world::Caller { key: key["key"].as_str().unwrap().to_owned(), ..admin.clone() };
    assert_eq!(elsewhere.get("/api/v1/hosts").await["items"].as_array().unwrap().len(), 0);
    let host = format!("/api/v1/hosts/{}", world.own.host);
    for (method, tail) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/revoke"),
        ("GET", "/inventory"),
        ("GET", "/activity"),
        ("GET", "/metrics"),
    ] {
        assert_eq!(elsewhere.call(method, &format!("{host}{tail}"), None).await.0, 404, "{method} {tail}");
    }
    assert_eq!(admin.call("GET", &host, None).await.0, 200);
    world.end().await;
}
