//! Signals, kernel settings and the reboot that is only announced.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use crate::bench::Bench;
use legator_core::task::Outcome;
use legator_probe::verbs::{proc, reboot};
use serde_json::json;
use std::process::{Child, Command};

/// A child that is reaped by its own thread, so that it is gone once it ended, and killed at the end of the test.
fn sleeper() -> (u32, std::thread::JoinHandle<()>) {
    let mut child: Child = Command::new("sleep").arg("300").spawn().unwrap();
    let pid = child.id();
    (pid, std::thread::spawn(move || drop(child.wait())))
}

#[tokio::test]
async fn a_signal_reaches_the_process_that_was_meant_and_no_other() {
    let bench = Bench::new();
    let (pid, reaped) = sleeper();
    let start = proc::process(pid).unwrap().start;
    let wrong = [
        json!({ "pid": pid, "signal": "KILL", "name": "nginx" }),
        json!({ "pid": pid, "signal": "KILL", "start": start + 1 }),
        json!({ "pid": std::process::id(), "signal": "KILL" }),
        json!({ "pid": 4_194_303, "signal": "KILL" }),
    ];
    for args in &wrong {
        let did = bench.run("process.signal", args.clone()).await;
        assert_eq!((did.done.outcome, did.refusal()), (Outcome::Refused, "not-applicable"), "{args}");
    }
    assert!(proc::process(pid).is_some());
    for (signal, state) in [("STOP", 'T'), ("CONT", 'S')] {
        let did = bench.run("process.signal", json!({ "pid": pid, "signal": signal })).await;
        assert_eq!((did.done.outcome, did.done.verified), (Outcome::Succeeded, Some(true)), "{signal}");
        assert!(signal == "CONT" || proc::process(pid).unwrap().state == state);
    }
    let did = bench
        .run("process.signal", json!({ "pid": pid, "signal": "TERM", "name": "sleep", "start": start }))
        .await;
    assert_eq!((did.done.outcome, did.done.verified), (Outcome::Succeeded, Some(true)));
    assert_eq!(did.done.after.unwrap()["running"], json!(false));
    reaped.join().unwrap();
    eprintln!("verbs: {} wrong processes not signalled", wrong.len());
}

#[tokio::test]
async fn a_process_that_ignores_the_signal_is_no_success() {
    let bench = Bench::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    let did = bench.run("process.signal", json!({ "pid": child.id(), "signal": "TERM" })).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((did.done.outcome, did.done.verified), (Outcome::Failed, Some(false)));
}

/// In a network of its own, so that nothing on the machine changes.
#[tokio::test]
async fn a_setting_is_set_read_back_and_undone() {
    const INSIDE: &str = "LEGATOR_TEST_OWN_NETWORK";
    if std::env::var_os(INSIDE).is_none() {
        let name = "system::a_setting_is_set_read_back_and_undone";
        let mut inside = Command::new("unshare");
        inside.arg("--net").arg(std::env::current_exe().unwrap()).args([name, "--exact"]).env(INSIDE, "1");
        let done = inside.output().unwrap();
        let out = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && out.contains("1 passed"), "{out}");
        return;
    }
    let now = || std::fs::read_to_string("/proc/sys/net/ipv4/conf/lo/forwarding").unwrap().trim().to_owned();
    let (bench, key) = (Bench::new(), "net.ipv4.conf.lo.forwarding");
    let before = now();
    let other = if before == "0" { "1" } else { "0" };
    let did = bench.run("sysctl.set", json!({ "key": key, "value": other })).await;
    let ended = (did.done.outcome, did.done.verified);
    assert_eq!(ended, (Outcome::Succeeded, Some(true)), "{:?}", did.done.detail);
    assert_eq!(now(), other);
    assert_ne!(did.done.before, did.done.after);
    let undo = bench.run("task.undo", json!({ "task": did.task })).await;
    assert_eq!(undo.done.outcome, Outcome::Succeeded, "{:?}", undo.done.detail);
    assert_eq!(now(), before);
    let bad = bench.run("sysctl.set", json!({ "key": key, "value": "not-a-number" })).await;
    assert_eq!((bad.done.outcome, bad.done.verified), (Outcome::Failed, Some(false)));
    assert_eq!(now(), before);
    for key in ["kernel.ostype", "no.such.setting", "kernel.random"] {
        let did = bench.run("sysctl.set", json!({ "key": key, "value": "x" })).await;
        assert_ne!(did.done.outcome, Outcome::Succeeded, "{key}");
    }
}

#[tokio::test]
async fn a_reboot_is_announced_before_it_is_done() {
    let mut bench = Bench::new();
    let mark = bench.path("rebooted");
    bench.host.reboot = vec!["/usr/bin/touch".into(), mark.clone()];
    let did = bench.run("host.reboot", json!({})).await;
    assert_eq!(did.done.pending_boot, reboot::boot_id());
    assert_eq!(did.done.outcome, Outcome::Unknown);
    assert!(!std::path::Path::new(&mark).exists(), "nothing happens before the expectation is on disk");
    reboot::go(&bench.host).await.unwrap();
    assert!(std::path::Path::new(&mark).exists());
    assert_eq!(
        reboot::judge(&did.done.pending_boot.unwrap()).verified,
        Some(false),
        "the same boot is no success"
    );
}
