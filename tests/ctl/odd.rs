//! Servers that cannot be reached, refuse, answer nonsense, or lie.

use crate::fake::{Answer, json, serve};
use crate::runner::{Ctl, Record};
use legator_testkit::process::{Process, Server, binary, free_port, until};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn problem(status: u16, code: &str) -> Answer {
    let body = json!({"type": "urn:x", "title": "No", "status": status, "code": code,
        "detail": format!("the detail of {code}"), "hint": "do something else"});
    (status, "application/problem+json", body.to_string().into_bytes())
}

#[test]
fn every_kind_of_failure_has_its_exit_code_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut record = Record::new(&[]);
    let ctl = Ctl::new("http://127.0.0.1:1", dir.path());
    record.step(&ctl, 7, &["hosts", "list"]);
    let table: &[(u16, &str, i32)] = &[
        (401, "not-signed-in", 4),
        (403, "missing-permission", 3),
        (404, "not-found", 2),
        (409, "other-digest", 1),
        (410, "expired", 1),
        (422, "bad-selector", 2),
        (429, "too-many", 1),
        (500, "internal", 1),
        (503, "unavailable", 7),
    ];
    for (status, code, exit) in table.iter().copied() {
        let url = serve(move |_, _, _| problem(status, code));
        record.step(&Ctl::new(&url, dir.path()), exit, &["plans", "show", "plan_x"]);
    }
    let page = b"<html>\x1b[31mwelcome</html>".to_vec();
    for (status, exit) in [(200, 1), (302, 1), (404, 2), (502, 7)] {
        let page = page.clone();
        let url = serve(move |_, _, _| (status, "text/html", page.clone()));
        let mut own = Record::new(&[(&url, "URL")]);
        let said = own.step(&Ctl::new(&url, dir.path()), exit, &["hosts", "list"]);
        assert!(!said.stderr.contains('\u{1b}'), "{said:?}");
        own.compare(&format!("page-{status}.txt"));
    }
    let huge = vec![b' '; 65 * 1024 * 1024];
    let url = serve(move |_, _, _| (200, "application/json", huge.clone()));
    record.step(&Ctl::new(&url, dir.path()), 1, &["hosts", "list"]);
    let url = serve(|_, path, _| {
        // A list that never ends, without anything in it.
        assert!(path.starts_with("/api/v1/hosts"));
        json(200, &json!({"items": [], "next": "again"}))
    });
    record.step(&Ctl::new(&url, dir.path()), 0, &["hosts", "list"]);
    eprintln!("ctl: {} failures", record.compare("failures.txt"));
}

#[test]
fn what_a_host_is_called_cannot_steer_a_terminal() {
    let hostile = "web\u{1b}[2J\u{9b}31m\u{7}\u{202e}x\n\u{e0041}";
    let url = serve(move |_, _, _| {
        let host = json!({"id": "host_1", "name": hostile, "status": hostile, "labels": {hostile: hostile},
            "health": {"score": hostile}});
        json(200, &json!({"items": [host], "next": null}))
    });
    let dir = tempfile::tempdir().unwrap();
    let ctl = Ctl::new(&url, dir.path());
    let mut count = 0;
    for format in ["table", "wide", "json", "yaml", "name", "jsonl"] {
        let said = ctl.expect(0, &["hosts", "list", "-o", format]);
        let hidden = said.stdout.chars().find(|c| *c != '\n' && legator_core::text::is_hidden(*c));
        assert_eq!(hidden, None, "{format}: {:?}", said.stdout);
        count += 1;
    }
    let url = serve(move |_, _, _| {
        let body = json!({"code": hostile, "detail": hostile, "hint": hostile});
        (409, "application/problem+json", body.to_string().into_bytes())
    });
    let said = Ctl::new(&url, dir.path()).expect(1, &["hosts", "list"]);
    assert!(!said.stderr.chars().any(|c| c != '\n' && legator_core::text::is_hidden(c)), "{said:?}");
    eprintln!("ctl: {} hostile answers", count + 1);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = free_port();
    let mut command = Command::new(binary("legator"));
    command.args(["up", "--data-dir"]).arg(dir.path().join("data"));
    command
        .args(["--listen", &format!("127.0.0.1:{port}"), "--tls-cert"])
        .arg(&cert)
        .arg("--tls-key")
        .arg(&key);
    let _server = Process::start(&mut command, &dir.path().join("log"));
    let ctl = Ctl::new(&format!("https://127.0.0.1:{port}"), dir.path());
    let said = until("a server with TLS", || {
        let said = ctl.run(&["hosts", "list"]);
        (!said.stderr.contains("refused")).then_some(said)
    });
    assert_eq!(said.code, 7, "{said:?}");
    assert!(said.stderr.contains("--ca FILE"), "{said:?}");
    let plain = Ctl::new(&format!("http://127.0.0.1:{port}"), dir.path());
    assert_ne!(plain.run(&["hosts", "list"]).code, 0);
    ctl.expect(0, &["--ca", cert.to_str().unwrap(), "hosts", "list"]);
}

/// A server that answers as the real one, but for what `lie` changes.
fn liar(real: &Server, lie: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> String {
    let url = real.url.clone();
    serve(move |method, path, body| {
        let mut command = Command::new("curl");
        command.args(["-s", "-X", method, "-w", "\n%{http_code}", &format!("{url}{path}")]);
        let body = String::from_utf8_lossy(body).into_owned();
        if !body.is_empty() {
            command.args(["-H", "content-type: application/json", "--data-binary", &body]);
        }
        let output = String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned();
        let (text, status) = output.rsplit_once('\n').unwrap();
        let mut value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        lie(path, &mut value);
        json(status.parse().unwrap(), &value)
    })
}

/// Asks for a plan and does not approve it; its id.
fn pending(server: &Server, verb: &str, args: &Value) -> String {
    let ask = json!({"verb": verb, "args": args, "selector": "web-01", "reason": "test"});
    let plan = server.post("/api/v1/plans?wait=20s", &ask);
    assert_eq!(plan["state"], "pending", "{plan}");
    plan["id"].as_str().unwrap().to_owned()
}

type Lie = Box<dyn Fn(&str, &mut Value) + Send + Sync>;

/// Puts this into every view of a plan.
fn in_view(field: &'static str, value: Value) -> Lie {
    Box::new(move |path, answer| {
        if !path.contains("/bytes") && path.contains("/plans/") {
            answer[field] = value.clone();
        }
    })
}

/// Puts this into the bytes of every plan that has a difference, or that has none.
fn in_bytes(different: bool, field: &'static str, value: Value) -> Lie {
    Box::new(move |path, answer| {
        if path.contains("/bytes") && answer["difference"].is_string() == different {
            answer[field] = value.clone();
        }
    })
}

/// Answers this instead of the bytes of a plan, or instead of its view.
fn instead_of(bytes: bool, value: Value) -> Lie {
    Box::new(move |path, answer| {
        if path.contains("/bytes") == bytes {
            *answer = value.clone();
        }
    })
}

pub fn a_server_that_lies_gets_no_approval(server: &Server, dir: &Path) {
    let target = dir.join("target");
    std::fs::write(&target, "a\nb\n").unwrap();
    let write = pending(server, "file.write", &json!({"path": target, "content": "a\nc\n"}));
    let (mild, grave) = (
        pending(server, "service.restart", &json!({"name": "cron"})),
        pending(server, "shell.script", &json!({"script": "rm -rf /", "interpreter": "/bin/sh"})),
    );
    let plan = |id: &str| server.get(&format!("/api/v1/plans/{id}"));
    let bytes = |id: &str| server.get(&format!("/api/v1/plans/{id}/bytes"));
    let other_leaves = bytes(&mild)["leaves"].clone();
    let lies: Vec<(&str, &str, Lie)> = vec![
        ("another plan's bytes", &mild, instead_of(true, bytes(&grave))),
        ("another plan's view", &grave, instead_of(false, plan(&mild))),
        ("other words", &grave, in_view("verb", json!("file.stat"))),
        ("other arguments", &grave, in_view("args", json!({"script": "true"}))),
        ("other hosts", &grave, in_view("hosts", json!([]))),
        ("another reason", &grave, in_view("reason", json!("routine"))),
        ("leaves of another plan", &grave, in_bytes(false, "leaves", other_leaves)),
        ("no proof of a difference", &write, in_view("reading", Value::Null)),
        ("receipts left out", &write, in_bytes(false, "receipts", json!([]))),
    ];
    let count = lies.len() + 1;
    for (what, id, lie) in lies {
        let ctl = Ctl::new(&liar(server, lie), dir);
        for word in ["approve", "reject"] {
            let said = ctl.run(&["approvals", word, id, "--yes"]);
            assert_ne!(said.code, 0, "{what}: {said:?}");
        }
        assert_ne!(ctl.run(&["approvals", "show", id]).code, 0, "{what} is not even shown");
        assert_eq!(plan(id)["state"], "pending", "{what}");
    }
    // A difference that the server made up is not shown: it is computed here.
    let ctl = Ctl::new(&liar(server, in_bytes(true, "difference", json!("nothing changes\n"))), dir);
    let shown = ctl.expect(0, &["approvals", "show", &write]).stdout;
    let computed = shown.contains("-b\n") && shown.contains("+c\n") && !shown.contains("nothing changes");
    assert!(computed, "{shown}");
    let honest = Ctl::new(&server.url, dir);
    for id in [&write, &mild, &grave] {
        honest.expect(0, &["approvals", "reject", id, "--yes"]);
    }
    eprintln!("ctl: {count} lies, no approval");
}
