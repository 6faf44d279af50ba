//! The main job on a real host, with real processes: seen, read freely, changed only after an approval, proven afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_testkit::process::{Probe, Server, ctl};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// Debian's nginx, driven by its init script, on a port of its own; ended on drop.
struct Nginx;

const CONFIG: &str = "/etc/nginx/conf.d/legator-test.conf";
const DEFAULT_SITE: &str = "/etc/nginx/sites-enabled/default";

impl Nginx {
    fn start() -> Self {
        let port = legator_testkit::process::free_port();
        let _ = std::fs::remove_file(DEFAULT_SITE);
        std::fs::write(CONFIG, format!("server {{ listen 127.0.0.1:{port}; return 200 ok; }}\n")).unwrap();
        assert!(service("stop"));
        assert!(service("start"), "Debian's nginx starts");
        Self
    }

    fn pid() -> String {
        legator_testkit::process::until("nginx to have a pid", || {
            std::fs::read_to_string("/run/nginx.pid").ok().filter(|pid| !pid.trim().is_empty())
        })
        .trim()
        .to_owned()
    }
}

fn service(word: &str) -> bool {
    std::process::Command::new("/etc/init.d/nginx")
        .arg(word)
        .output()
        .is_ok_and(|output| output.status.success())
}

impl Drop for Nginx {
    fn drop(&mut self) {
        service("stop");
        let _ = std::fs::remove_file(CONFIG);
        let _ = std::os::unix::fs::symlink("/etc/nginx/sites-available/default", DEFAULT_SITE);
    }
}

fn restart_is_proven(plan: &Value, before: &str) {
    assert_eq!(plan["state"], "finished", "{plan}");
    let task = &plan["tasks"][0];
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(task["verified"], true, "{task}");
    assert_ne!(task["before"], task["after"], "{task}");
    assert_ne!(Nginx::pid(), before, "the main process is another one");
}

fn approve(server: &Server, plan: &Value) -> Value {
    let body = json!({"plan": plan["id"], "digest": plan["digest"], "decision": "approve"});
    server.post("/api/v1/approvals", &body);
    server.ended(plan["id"].as_str().unwrap())
}

fn verify(server: &Server, dir: &Path) {
    let log = dir.join("log");
    let log = log.to_str().unwrap();
    let done = ctl(server, dir, &["audit", "export", log]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let authority = server.get("/version")["fingerprint"].as_str().unwrap().to_owned();
    let done = ctl(server, dir, &["audit", "verify", log, "--key", &authority]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let unpinned = ctl(server, dir, &["audit", "verify", log]);
    assert_eq!(unpinned.status.code(), Some(1), "without a pin nothing is proven");
}

#[test]
fn nginx_is_restarted_by_api_and_by_legatorctl_after_an_approval_and_the_log_proves_it() {
    let dir = tempfile::tempdir().unwrap();
    let _nginx = Nginx::start();
    let server = Server::start(dir.path());
    let begun = Instant::now();
    let _probe = Probe::start(&server, dir.path(), "web-03");
    let host = server.online("web-03");
    eprintln!("main job: online {} ms after the probe's start", begun.elapsed().as_millis());
    assert_eq!(host["cage"], "full", "{host}");

    let read = ctl(&server, dir.path(), &["exec", "web-03", "-o", "json", "--", "uname", "-s"]);
    let record: Value = serde_json::from_slice(&read.stdout).expect("one JSON object a host");
    assert_eq!(
        (record["state"].as_str(), record["stdout"].as_str()),
        (Some("succeeded"), Some("Linux\n")),
        "{record}"
    );
    assert_eq!(read.status.code(), Some(0));

    let before = Nginx::pid();
    let ask =
        json!({"verb": "service.restart", "args": {"name": "nginx"}, "selector": "web-03", "reason": "test"});
    let plan = server.post("/api/v1/plans?wait=2s", &ask);
    assert_eq!(plan["state"], "pending", "{plan}");
    assert_eq!(Nginx::pid(), before, "nothing ran before its gate decided");
    restart_is_proven(&approve(&server, &plan), &before);

    let before = Nginx::pid();
    let waits = ctl(&server, dir.path(), &["do", "service.restart", "web-03", "name=nginx", "-o", "json"]);
    assert_eq!(waits.status.code(), Some(5), "{}", String::from_utf8_lossy(&waits.stderr));
    let plan: Value = serde_json::from_slice(&waits.stdout).expect("the plan");
    let id = plan["id"].as_str().unwrap();
    let yes = ctl(&server, dir.path(), &["approvals", "approve", id, "--yes"]);
    assert_eq!(yes.status.code(), Some(0), "{}", String::from_utf8_lossy(&yes.stderr));
    restart_is_proven(&server.ended(id), &before);

    verify(&server, dir.path());
}

#[test]
fn a_write_disguised_as_a_read_changes_nothing() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let server = Server::start(dir.path());
    let _probe = Probe::start(&server, dir.path(), "web-04");
    server.online("web-04");
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "alpha").unwrap();
    let path = victim.to_str().unwrap();
    let python = format!("open({path:?}, 'w').write('x')");
    let disguises: &[&[&str]] = &[
        &["env", "rm", "-rf", path],
        &["sh", "-c", &format!("echo x > {path}")],
        &["python3", "-c", &python],
        &["find", path, "-delete"],
        &["xargs", "-a", "/dev/null", "rm", "-f", path],
        &["dd", "if=/dev/zero", &format!("of={path}"), "count=1"],
    ];
    for argv in disguises {
        let ask = json!({"verb": "shell.run", "args": {"argv": argv}, "selector": "web-04"});
        let plan = server.post("/api/v1/plans?wait=30s", &ask);
        assert_eq!(plan["state"], "finished", "{argv:?}: it runs, and the kernel refuses: {plan}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "alpha", "{argv:?}");
    }
    eprintln!("main job: {} disguised writes, no effect", disguises.len());
}
