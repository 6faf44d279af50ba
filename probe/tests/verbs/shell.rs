//! The shell verbs: held by level, ended by time and cancel, with what they may write.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use crate::bench::Bench;
use legator_core::level::Level;
use legator_core::task::Outcome;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::watch;

#[tokio::test]
async fn a_program_reads_at_observe_and_its_writes_fail() {
    let bench = Bench::new();
    let path = bench.write("a", b"content\n");
    let read = bench.run("shell.run", json!({ "argv": ["cat", path] })).await;
    assert_eq!(
        (read.done.outcome, read.stdout.as_slice(), read.done.exit_code),
        (Outcome::Succeeded, b"content\n".as_slice(), Some(0)),
        "{:?}",
        read.done.detail
    );
    let target = bench.path("b");
    let write = bench.run("shell.run", json!({ "argv": ["cp", path, target] })).await;
    assert_eq!(write.done.outcome, Outcome::Failed);
    assert!(!Path::new(&target).exists() && !write.stderr.is_empty());
    let code =
        bench.run("shell.run", json!({ "argv": ["sh", "-c", "echo out; echo err >&2; exit 7"] })).await;
    assert_eq!(
        (code.done.exit_code, code.stdout.as_slice(), code.stderr.as_slice()),
        (Some(7), b"out\n".as_slice(), b"err\n".as_slice())
    );
    let missing = bench.run("shell.run", json!({ "argv": ["no-such-program-here"] })).await;
    assert_eq!(missing.done.outcome, Outcome::Failed);
}

#[tokio::test]
async fn a_change_writes_where_it_was_opened_and_nowhere_else() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("open")).unwrap();
    std::fs::create_dir(bench.path("shut")).unwrap();
    let (inside, outside) = (bench.path("open/x"), bench.path("shut/x"));
    let opened = json!({ "write": [bench.path("open")] });
    for (target, works) in [(&inside, true), (&outside, false)] {
        let args = json!({ "argv": ["touch", target], "effects": opened });
        let did = bench.run_as("shell.run", args, Some(Level::Remediate), None).await;
        assert_eq!(Path::new(target).exists(), works, "{target}: {:?}", did.done.detail);
        assert_eq!(did.done.outcome == Outcome::Succeeded, works);
    }
    let free = json!({ "argv": ["touch", outside] });
    assert_eq!(
        bench.run_as("shell.run", free, Some(Level::Remediate), None).await.done.outcome,
        Outcome::Succeeded
    );
    assert!(Path::new(&outside).exists());
}

#[tokio::test]
async fn a_script_runs_from_a_file_that_is_gone_afterwards() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("open")).unwrap();
    let script = format!("echo \"$0\"\necho done > {}\n", bench.path("open/x"));
    for effects in [json!(null), json!({ "write": [bench.path("open")] })] {
        let mut args = json!({ "script": script, "interpreter": "/bin/sh" });
        if !effects.is_null() {
            args["effects"] = effects.clone();
        }
        let did = bench.run("shell.script", args).await;
        assert_eq!(
            did.done.outcome,
            Outcome::Succeeded,
            "{effects}: {:?} {}",
            did.done.detail,
            String::from_utf8_lossy(&did.stderr)
        );
        assert_eq!(std::fs::read(bench.path("open/x")).unwrap(), b"done\n");
        std::fs::remove_file(bench.path("open/x")).unwrap();
        assert!(!Path::new(did.text().trim()).exists(), "{}", did.text());
    }
}

#[tokio::test]
async fn a_timeout_and_a_cancel_end_it() {
    let bench = Bench::new();
    let began = Instant::now();
    let did = bench.run("shell.run", json!({ "argv": ["sleep", "600"], "timeout": "1s" })).await;
    assert_eq!(did.done.outcome, Outcome::Failed);
    assert!(did.done.detail.unwrap().contains("time was over"));
    let (send, cancel) = watch::channel(false);
    let running = bench.run_until(("shell.run", json!({ "argv": ["sleep", "600"] }), None), None, cancel);
    let stop = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        send.send(true).unwrap();
    };
    let (did, ()) = tokio::join!(running, stop);
    assert!(did.done.detail.unwrap().contains("cancelled"));
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn without_a_whole_cage_nothing_runs_below_remediate() {
    let mut bench = Bench::new();
    bench.host.cage = legator_probe::cage::Cage::with_helper("/bin/false");
    let mark = bench.path("ran");
    for level in [Level::Observe, Level::Diagnose] {
        let did = bench.run_as("shell.run", json!({ "argv": ["touch", mark] }), Some(level), None).await;
        assert_eq!(
            (did.done.outcome, did.refusal()),
            (Outcome::Refused, "cage-not-full"),
            "{level}: {:?}",
            did.done.detail
        );
    }
    let opened = json!({ "argv": ["touch", mark], "effects": { "write": [bench.work_dir] } });
    let did = bench.run_as("shell.run", opened, Some(Level::Remediate), None).await;
    assert_eq!(did.refusal(), "cage-not-full", "a confined change is confined or not run");
    assert!(!Path::new(&mark).exists());
}
