//! A named test for each hole that systems of this kind had, against real processes.
//!
//! Those that need a host or a control plane that lies stand beside the part that has to withstand it: the gate's and the worker's suites.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_testkit::process::{Probe, Server, ctl, until};
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_host_is_not_taken_over_by_its_name() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let server = Server::start(dir.path());
    let _first = Probe::start(&server, dir.path(), "web-03");
    let host = server.online("web-03");
    let other = tempfile::tempdir_in("/var/tmp").unwrap();
    let _second = Probe::start(&server, other.path(), "web-03");
    let named = until("both hosts of one name", || {
        let hosts = server.get("/api/v1/hosts");
        let named: Vec<_> =
            hosts["items"].as_array()?.iter().filter(|host| host["name"] == "web-03").cloned().collect();
        (named.len() == 2).then_some(named)
    });
    let same = named.iter().find(|found| found["id"] == host["id"]).expect("the first host is still there");
    assert_eq!(same["hostname"], host["hostname"]);
    assert_ne!(named[0]["id"], named[1]["id"]);
}

#[test]
fn an_approver_is_not_named_by_the_request() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let server = Server::start(dir.path());
    let _probe = Probe::start(&server, dir.path(), "web-03");
    server.online("web-03");
    let ask = json!({"verb": "process.signal", "args": {"pid": 999_999_999, "signal": "TERM"}, "selector": "web-03"});
    let (status, plan) = server.call("POST", "/api/v1/plans", Some(&ask));
    let plan = if status == 201 {
        plan
    } else {
        let ask = json!({"verb": "service.restart", "args": {"name": "legator-none"}, "selector": "web-03"});
        server.post("/api/v1/plans", &ask)
    };
    for field in ["approver", "person", "approved_by", "as"] {
        let mut body = json!({"plan": plan["id"], "digest": plan["digest"], "decision": "approve"});
        body[field] = json!("alice");
        let (status, answer) = server.call("POST", "/api/v1/approvals", Some(&body));
        assert_eq!(status, 422, "{field}: {answer}");
    }
    let plan = server.get(&format!("/api/v1/plans/{}", plan["id"].as_str().unwrap()));
    assert_eq!(plan["state"], "pending");
    // The approval that counts is by whoever asks, and says so.
    let body = json!({"plan": plan["id"], "digest": plan["digest"], "decision": "approve"});
    let decided = server.post("/api/v1/approvals", &body);
    assert_eq!(decided["approvals"][0]["mark"], "self_approved", "{decided}");
}

#[test]
fn an_approval_is_not_lost_by_a_restart_and_the_command_runs_once() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut server = Server::start(dir.path());
    let mut probe = Probe::start(&server, dir.path(), "web-03");
    server.online("web-03");
    probe.process.kill();
    let effects = dir.path().join("effects");
    let script = format!("echo x >> {}", effects.display());
    let ask = json!({"verb": "shell.run", "args": {"argv": ["sh", "-c", script]}, "level": "remediate", "selector": "web-03"});
    let plan = server.post("/api/v1/plans", &ask);
    let body = json!({"plan": plan["id"], "digest": plan["digest"], "decision": "approve"});
    server.post("/api/v1/approvals", &body);
    server.restart();
    probe.restart();
    let ended = server.ended(plan["id"].as_str().unwrap());
    assert_eq!(ended["tasks"][0]["state"], "succeeded", "{ended}");
    assert_eq!(std::fs::read_to_string(&effects).unwrap(), "x\n");
}

#[test]
fn a_stream_is_not_cut_after_30_seconds() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let server = Server::start(dir.path());
    let _probe = Probe::start(&server, dir.path(), "web-03");
    server.online("web-03");
    let script = "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 5; done";
    let mut command = Command::new(legator_testkit::process::binary("legatorctl"));
    command.args(["exec", "web-03", "--timeout", "60s", "--", "sh", "-c", script]);
    command.env("LEGATOR_SERVER", &server.url).env("LEGATOR_CONFIG_DIR", dir.path().join("ctl"));
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(begun.elapsed() > Duration::from_secs(35), "it ran that long");
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!((output.status.code(), lines), (Some(0), 8), "{output:?}");
}

#[test]
fn health_without_data_is_not_perfect() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let server = Server::start(dir.path());
    let _probe = Probe::start(&server, dir.path(), "web-03");
    let host = server.online("web-03");
    let reasons = host["health"]["reasons"].as_array().expect("reasons").len();
    let score = host["health"]["score"].as_u64().expect("a score");
    let recorded = server.get(&format!("/api/v1/hosts/{}", host["id"].as_str().unwrap()));
    assert!(score < 100 || reasons == 0 && recorded["metrics"].is_object(), "{host}");
}

#[test]
fn every_door_takes_the_same_gate() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let server = Server::start(dir.path());
    let _probe = Probe::start(&server, dir.path(), "web-03");
    server.online("web-03");
    let marker = dir.path().join("marker");
    let touch = marker.to_str().unwrap();
    let doors: &[&[&str]] = &[
        &["exec", "web-03", "--level", "remediate", "--", "touch", touch],
        &["do", "shell.run", "web-03", &format!("argv=[\"touch\",\"{touch}\"]"), "--level", "remediate"],
        &["do", "shell.script", "web-03", &format!("script=touch {touch}"), "interpreter=/bin/sh"],
        &["do", "file.write", "web-03", &format!("path={touch}"), "content=x"],
    ];
    for door in doors {
        let done = ctl(&server, dir.path(), door);
        assert_eq!(done.status.code(), Some(5), "{door:?}: {}", String::from_utf8_lossy(&done.stderr));
        assert!(!marker.exists(), "{door:?}");
    }
    let pending = server.get("/api/v1/plans?state=pending");
    assert_eq!(
        pending["items"].as_array().map(Vec::len),
        Some(doors.len()),
        "each door made a plan that waits"
    );
    let events = server.get("/api/v1/events?limit=500");
    let made =
        events["items"].as_array().unwrap().iter().filter(|event| event["kind"] == "plan.made").count();
    assert!(made >= doors.len(), "each is in the audit log");
}
