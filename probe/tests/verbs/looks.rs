//! Typed reads of this very machine: each gives what is really there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use crate::bench::Bench;
use legator_core::task::Outcome;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

async fn look(bench: &Bench, verb: &str, args: Value) -> Value {
    let did = bench.run(verb, args).await;
    assert_eq!(did.done.outcome, Outcome::Succeeded, "{verb}: {:?}", did.done.detail);
    let result = did.done.result.clone().unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&did.stdout).unwrap(),
        result,
        "people see what the program sees"
    );
    result
}

fn some(list: &Value, wanted: impl Fn(&Value) -> bool) -> bool {
    list.as_array().unwrap().iter().any(wanted)
}

#[tokio::test]
async fn facts_of_the_machine() {
    let bench = Bench::new();
    let facts = look(&bench, "host.facts", json!({})).await;
    assert!(
        facts["memory"]["total_bytes"].as_u64().unwrap() > 0 && facts["processors"].as_u64().unwrap() > 0
    );
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(facts["kernel"], json!(kernel.trim()));
    let disks = look(&bench, "disk.usage", json!({})).await;
    assert!(
        some(&disks["disks"], |disk| disk["mount"] == json!("/") || disk["total_bytes"].as_u64() > Some(0))
    );
    let users = look(&bench, "user.list", json!({})).await;
    assert!(some(&users["users"], |user| user["name"] == json!("root") && user["uid"] == json!(0)));
    let interfaces = look(&bench, "network.interfaces", json!({})).await;
    assert!(some(&interfaces["interfaces"], |each| each["name"] == json!("lo")));
    look(&bench, "container.list", json!({})).await;
    look(&bench, "service.list", json!({})).await;
}

#[tokio::test]
async fn processes_and_their_sockets() {
    let bench = Bench::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = json!(listener.local_addr().unwrap().to_string());
    let sockets = look(&bench, "network.sockets", json!({})).await;
    let own = json!(std::process::id());
    assert!(some(&sockets["sockets"], |each| each["address"] == address && each["pid"] == own));
    let mut child = Command::new("sleep").arg("301").spawn().unwrap();
    let list = look(&bench, "process.list", json!({ "name": "sleep 301", "limit": 10_000 })).await;
    assert!(some(&list["processes"], |each| each["pid"] == json!(child.id())));
    child.kill().unwrap();
    child.wait().unwrap();
    let one = look(&bench, "process.list", json!({ "limit": 1 })).await;
    assert!(one["processes"].as_array().unwrap().len() == 1 && one["left_out"].as_u64() > Some(0));
}

#[tokio::test]
async fn the_end_of_a_log_and_what_is_added() {
    let bench = Bench::new();
    let text: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    let path = bench.write("log", text.as_bytes());
    let read = look(&bench, "log.read", json!({ "path": path, "lines": 2 })).await;
    assert_eq!(read["lines"], json!(["line 998", "line 999"]));
    let some_lines =
        look(&bench, "log.read", json!({ "path": path, "contains": "line 99", "lines": 100 })).await;
    assert_eq!(some_lines["lines"].as_array().unwrap().len(), 11);
    let add = async {
        for number in 0..3 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
            writeln!(file, "added {number}").unwrap();
        }
    };
    let (did, ()) = tokio::join!(bench.run("log.follow", json!({ "path": path, "timeout": "4s" })), add);
    assert_eq!(did.done.outcome, Outcome::Succeeded);
    assert_eq!(did.text(), "added 0\nadded 1\nadded 2\n");
}

#[tokio::test]
async fn certificates_with_their_end() {
    let bench = Bench::new();
    look(&bench, "cert.list", json!({})).await;
}
