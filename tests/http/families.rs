//! Families of bad requests, made from the document: every operation with every way in which a body, a query or a path can be broken.

use super::plain;
use super::world::{Who, World};
use serde_json::Value;

/// Bodies that are no body of ours, whatever the operation.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    vec![
        ("an array", b"[]".to_vec()),
        ("null", b"null".to_vec()),
        ("a number", b"1".to_vec()),
        ("a text", b"\"x\"".to_vec()),
        ("cut short", b"{\"a\":".to_vec()),
        ("two documents", b"{}{}".to_vec()),
        ("a comma too many", b"{\"a\":1,}".to_vec()),
        ("a comment", b"{/*x*/}".to_vec()),
        ("not a number", b"{\"a\":NaN}".to_vec()),
        ("single quotes", b"{'a':1}".to_vec()),
        ("a member twice", b"{\"reason\":\"a\",\"reason\":\"b\"}".to_vec()),
        ("a NUL", b"{\"reason\":\"a\\u0000\"}".to_vec()),
        ("half a character", b"{\"reason\":\"\\ud800\"}".to_vec()),
        ("no UTF-8", b"{\"reason\":\"\xff\xfe\"}".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("an unknown member", b"{\"__proto__\":{\"admin\":true}}".to_vec()),
        ("too deep", deep.into_bytes()),
        ("too large a number", b"{\"uses\":99999999999999999999999}".to_vec()),
    ]
}

struct Operation {
    method: String,
    path: String,
    takes_body: bool,
    needs_body: bool,
}

fn operations(world: &World) -> Vec<Operation> {
    let document = serde_json::to_value(legator_api::openapi()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let own = &world.own;
            let id = match path.as_str() {
                path if path.contains("/hosts/") => &own.host,
                path if path.contains("/plans/") || path.contains("/approvals/") => &own.plan,
                path if path.contains("/tasks/") => &own.task,
                path if path.contains("/chats/") => &own.chat,
                path if path.contains("/persons/") => &own.person,
                path if path.contains("/tokens/") => &own.token,
                path if path.contains("/keys/") => &own.key,
                _ => &own.freeze,
            };
            let path = path
                .replace("{id}", id)
                .replace("{plan}", id)
                .replace("{part}", "os")
                .replace("{version}", "0");
            let path = path.replace("{fingerprint}", &own.digest);
            all.push(Operation {
                method: method.to_uppercase(),
                path,
                takes_body: operation.get("requestBody").is_some(),
                needs_body: operation["requestBody"]["required"] == true,
            });
        }
    }
    all
}

struct Tally {
    count: u32,
    wrong: Vec<String>,
}

impl Tally {
    async fn expect(&mut self, world: &World, what: String, bytes: &[u8], wanted: &[u16]) {
        let answer = plain::send(world.at, bytes).await;
        self.count += 1;
        if !answer.status.is_some_and(|status| wanted.contains(&status)) {
            self.wrong.push(format!(
                "{what}: {:?} {}",
                answer.status,
                answer.text.lines().last().unwrap_or_default()
            ));
        }
    }
}

fn headers(world: &World, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let key = format!("Bearer {}", world.keys[&Who::Admin]);
    let own = [("Authorization", key.as_str())];
    own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_refuses_every_kind_of_broken_input() {
    let world = World::new().await;
    let mut tally = Tally { count: 0, wrong: Vec::new() };
    let admin = world.caller(Who::Admin);
    let begun = admin.fence().await;
    let json = headers(&world, &[("Content-Type", "application/json")]);
    for Operation { method, path, takes_body, needs_body } in operations(&world) {
        let line = (method.as_str(), path.as_str());
        if takes_body {
            // Where a body may be left out, null is one that was.
            for (name, body) in bodies().into_iter().filter(|(name, _)| needs_body || *name != "null") {
                let bytes = plain::request(world.at, line, &json, &body);
                tally.expect(&world, format!("{method} {path} with {name}"), &bytes, &[400, 422]).await;
            }
            for (name, value) in [("Content-Type", "text/plain"), ("Content-Encoding", "gzip")] {
                let bytes = plain::request(world.at, line, &headers(&world, &[(name, value)]), b"{\"x\":1}");
                tally.expect(&world, format!("{method} {path} with {name}"), &bytes, &[415]).await;
            }
            let bytes = plain::request(world.at, line, &json, &vec![b' '; (1 << 20) + 1]);
            tally.expect(&world, format!("{method} {path} with a large body"), &bytes, &[413]).await;
        }
        for query in ["?x=1", "?limit=0&limit=1", "?%00=1", "?access_token=x"] {
            let bytes = plain::request(world.at, (&method, &format!("{path}{query}")), &json, b"");
            tally.expect(&world, format!("{method} {path}{query}"), &bytes, &[422]).await;
        }
        for origin in [
            ("Origin", "https://evil.example"),
            ("Origin", "null"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
        ] {
            let bytes = plain::request(world.at, line, &headers(&world, &[origin]), b"");
            tally.expect(&world, format!("{method} {path} {origin:?}"), &bytes, &[403]).await;
        }
        let bytes = plain::request(world.at, line, &headers(&world, &[("Host", "rebind.example")]), b"");
        tally.expect(&world, format!("{method} {path} by another name"), &bytes, &[421]).await;
    }
    let shown: Vec<&String> = tally.wrong.iter().take(60).collect();
    assert!(tally.wrong.is_empty(), "{} of {}:\n{shown:#?}", tally.wrong.len(), tally.count);
    let ended = admin.fence().await;
    let (caused, others) = admin.caused(begun, ended).await;
    assert!(caused.is_empty(), "broken requests left events: {caused:#?}");
    eprintln!(
        "bad requests made from the document: {} cases, no event; meanwhile by hosts: {others:?}",
        tally.count
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_none_name_nothing() {
    let world = World::new().await;
    let bad = [
        "x",
        "..",
        "%2e%2e",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "%00",
        "%c0%ae",
        "host_",
        "host_1",
        "plan_G0000000000000000000000000000000",
        "HOST_00000000000000000000000000000001",
        "host_00000000000000000000000000000001%20",
        "'%20or%20'1'='1",
        "*",
        "%F0%9F%92%A9",
        "-1",
        "99999999999999999999999",
    ];
    let places = [
        "hosts",
        "plans",
        "tasks",
        "chats",
        "persons",
        "policies",
        "hosts/{}/inventory",
        "plans/{}/bytes",
        "plans/{}/why",
        "hosts/{}/metrics",
    ];
    let mut tally = Tally { count: 0, wrong: Vec::new() };
    for place in places {
        for id in bad {
            let path = if place.contains("{}") { place.replace("{}", id) } else { format!("{place}/{id}") };
            let bytes =
                plain::request(world.at, ("GET", &format!("/api/v1/{path}")), &headers(&world, &[]), b"");
            tally.expect(&world, path, &bytes, &[400, 404]).await;
        }
    }
    assert!(tally.wrong.is_empty(), "{:#?}", tally.wrong);
    eprintln!("ids that are none: {} cases", tally.count);
    let (status, problem) = world.caller(Who::Viewer).call("GET", "/api/v1/plans/x", None).await;
    assert_eq!((status, &problem["code"]), (404, &Value::from("not-found")));
    world.end().await;
}
