//! The cage on this machine's own kernel: output, ends, kills, secrets, changes, limits and cost.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::print_stderr)]

#[path = "cage/user.rs"]
mod user;

use legator_core::level::Effects;
use legator_probe::cage::{BelowFull, Cage, CageError, Chunk, Confine, Exit, Limits, Order, Secrets, Stream};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

const STATE: &str = "/var/lib/legator-probe-none";

fn cage() -> Cage {
    Cage::with_helper(user::helper())
}

fn order(confine: Confine, argv: &[&str]) -> Order {
    Order {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        cwd: None,
        confine,
        timeout: Duration::from_secs(60),
        secrets: Arc::new(Secrets::new(Path::new(STATE), &[]).unwrap()),
        limits: Limits::default(),
    }
}

fn sh(confine: Confine, script: &str) -> Order {
    order(confine, &["sh", "-c", script])
}

fn change(write: &[&Path]) -> Confine {
    let write = write.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    Confine::Change(Effects { write, ..Effects::none() })
}

async fn text(order: Order) -> (Exit, String, String) {
    let (exit, out, err) = cage().capture(order).await.unwrap();
    (exit, String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned())
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Processes whose command line contains the mark.
fn alive(mark: &str) -> usize {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter(|entry| entry.file_name().to_string_lossy() != own).filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let zombie = stat.rsplit_once(')')?.1.trim_start().starts_with('Z');
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        (!zombie).then(|| String::from_utf8_lossy(&line).into_owned())
    });
    lines.filter(|line| line.contains(mark)).count()
}

#[test]
fn this_kernel_has_every_layer_as_root_and_as_an_ordinary_user() {
    let report = cage().report();
    assert!(report.is_full(), "{report:?}");
    user::became_ordinary("this_kernel_has_every_layer_as_root_and_as_an_ordinary_user");
}

#[tokio::test]
async fn what_a_program_gets() {
    let script = "id -u; ls /proc/self/fd | tr '\\n' ' '; grep NoNewPrivs /proc/self/status; \
                  grep core /proc/self/limits; env | grep -c LEGATOR; tty; readlink /proc/self/fd/0";
    let (exit, out, err) = text(sh(Confine::Observe, script)).await;
    if rustix::process::geteuid().is_root() {
        assert!(out.starts_with("65534\n"), "{out}");
    }
    // The three standard ones, and the one that `ls` opens.
    for wanted in ["\n0 1 2 3 NoNewPrivs:\t1\n", "\n0\nnot a tty\n/dev/null\n"] {
        assert!(out.contains(wanted), "{wanted:?} in {out} {err}");
    }
    let core: Vec<_> =
        out.lines().find(|line| line.starts_with("Max core")).unwrap().split_whitespace().collect();
    assert_eq!((core[4], core[5], exit.code), ("1", "1", Some(0)), "{out}");
}

/// The cage's own filter refuses namespaces, so the inside of one cage is a host that cannot make another.
#[tokio::test]
async fn where_the_kernel_gives_no_namespaces_the_cage_is_partial_and_refuses() {
    const INSIDE: &str = "LEGATOR_TEST_INSIDE";
    let name = "where_the_kernel_gives_no_namespaces_the_cage_is_partial_and_refuses";
    if std::env::var_os(INSIDE).is_none() {
        let program = std::env::current_exe().unwrap();
        let (mark, helper) =
            (format!("{INSIDE}=1"), format!("LEGATOR_TEST_HELPER={}", user::helper().display()));
        let argv = ["env", &mark, &helper, program.to_str().unwrap(), name, "--exact", "--nocapture"];
        let (exit, out, err) = text(order(Confine::Observe, &argv)).await;
        assert!(exit.success() && out.contains("1 passed"), "{exit:?} {out} {err}");
        eprint!("{}", err);
        return;
    }
    let report = tokio::task::spawn_blocking(|| cage().report()).await.unwrap();
    eprintln!("inside a cage: {report:?}");
    assert_eq!(report.state, legator_core::cage::CageState::Partial);
    let named = |layer: &str| report.missing.iter().any(|line| line.starts_with(layer));
    assert!(
        named("isolation") && named("mounts") && named("masks") && !named("landlock") && !named("seccomp")
    );
    let refused = cage().capture(sh(Confine::Observe, "true")).await.unwrap_err();
    assert!(matches!(refused, CageError::Incomplete(_)), "{refused}");
    // A typed verb's own program runs with the layers there are.
    let mut anyway = sh(Confine::Observe, "echo ran; touch /tmp/none");
    anyway.limits.below_full = BelowFull::RunAnyway;
    let (exit, out, _) = text(anyway).await;
    assert!(out == "ran\n" && exit.code != Some(0) && !Path::new("/tmp/none").exists());
}

#[tokio::test]
async fn ends_are_told_apart() {
    let exit = text(sh(Confine::Observe, "exit 7")).await.0;
    assert_eq!((exit.code, exit.signal, exit.timed_out), (Some(7), None, false));
    let exit = text(sh(Confine::Observe, "kill -TERM $$")).await.0;
    assert_eq!((exit.code, exit.signal), (None, Some(15)));
    for confine in [Confine::Observe, Confine::Unconfined] {
        let error = cage().capture(order(confine.clone(), &["legator-none"])).await.unwrap_err();
        assert!(matches!(error, CageError::NotFound(_)), "{error}");
        let error = cage().capture(order(confine.clone(), &["/etc/passwd"])).await.unwrap_err();
        assert!(matches!(error, CageError::Start { .. }), "{error}");
        let mut elsewhere = order(confine, &["true"]);
        elsewhere.cwd = Some(PathBuf::from("/not/there"));
        let error = cage().capture(elsewhere).await.unwrap_err();
        assert!(matches!(error, CageError::Start { ref what, .. } if what == "/not/there"), "{error}");
    }
}

#[tokio::test]
async fn orders_that_cannot_be_meant_are_refused() {
    let long = "x".repeat(200_000);
    let many = vec!["x"; 5000];
    let table: [&[&str]; 5] = [&[], &[""], &["echo", "a\0b"], &["echo", &long], &many];
    for argv in table {
        let error = cage().capture(order(Confine::Observe, argv)).await.unwrap_err();
        assert!(matches!(error, CageError::BadOrder(_)), "{error}");
    }
    let gone = Cage::with_helper("/not/there").capture(order(Confine::Observe, &["true"])).await.unwrap_err();
    assert!(matches!(gone, CageError::Incomplete(_)), "without a helper nothing runs: {gone}");
    // Something that is no helper of ours says nothing that counts.
    let mut anyway = order(Confine::Observe, &["true"]);
    anyway.limits.below_full = BelowFull::RunAnyway;
    let silent = Cage::with_helper("/bin/true").capture(anyway).await.unwrap_err();
    assert!(matches!(silent, CageError::Helper(_) | CageError::Setup { .. }), "{silent}");
}

#[tokio::test]
async fn output_comes_in_order_with_offsets_and_keeps_every_byte() {
    let script = "for i in 1 2 3; do printf '\\377\\376\\000o%d' $i; printf 'e%d' $i >&2; sleep 0.05; done";
    let (send, mut chunks) = mpsc::channel::<Chunk>(2);
    let (_never, cancel) = watch::channel(false);
    let keep = tokio::spawn(async move {
        let mut list = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            list.push(chunk);
        }
        list
    });
    cage().run(sh(Confine::Observe, script), send, cancel).await.unwrap();
    let list = keep.await.unwrap();
    for (stream, wanted) in
        [(Stream::Stdout, b"\xff\xfe\0o1\xff\xfe\0o2\xff\xfe\0o3".as_slice()), (Stream::Stderr, b"e1e2e3")]
    {
        let mut whole: Vec<u8> = Vec::new();
        for chunk in list.iter().filter(|chunk| chunk.stream == stream) {
            assert_eq!(chunk.offset, whole.len() as u64);
            whole.extend(&chunk.bytes);
        }
        assert_eq!(whole, wanted, "{stream:?}");
    }
}

#[tokio::test]
async fn a_gigabyte_of_output_costs_no_memory_and_a_slow_reader_slows_the_program() {
    let before = resident();
    let (send, mut chunks) = mpsc::channel::<Chunk>(2);
    let (_never, cancel) = watch::channel(false);
    let count = tokio::spawn(async move {
        let (mut bytes, mut most) = (0_u64, 0);
        while let Some(chunk) = chunks.recv().await {
            assert_eq!(chunk.offset, bytes);
            bytes += chunk.bytes.len() as u64;
            most = most.max(resident());
        }
        (bytes, most)
    });
    let exit = cage().run(sh(Confine::Observe, "head -c 1073741824 /dev/zero"), send, cancel).await.unwrap();
    let (bytes, most) = count.await.unwrap();
    assert_eq!((bytes, exit.code), (1 << 30, Some(0)));
    assert!(most < before + (16 << 20), "{before} -> {most}");
    eprintln!(
        "1 GiB of output in {:?}, at most {} KiB more resident",
        exit.duration,
        most.saturating_sub(before) >> 10
    );
}

fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn a_reader_that_is_gone_and_a_cap_lose_output_only() {
    let (send, chunks) = mpsc::channel::<Chunk>(1);
    drop(chunks);
    let (_never, cancel) = watch::channel(false);
    let exit = cage().run(sh(Confine::Observe, "seq 100000; exit 3"), send, cancel).await.unwrap();
    assert_eq!(exit.code, Some(3));
    let mut capped = order(Confine::Observe, &["yes"]);
    capped.limits.output_bytes = 1 << 20;
    let (exit, out, _) = text(capped).await;
    assert!(out.len() <= 1 << 20 && exit.signal == Some(13), "{exit:?}");
}

/// Starts a child that starts another one, in a session of its own, which sleeps.
fn daemon(mark: &str) -> String {
    format!(
        "perl -MPOSIX=setsid -e 'exit if fork; setsid; exit if fork; exec \"sleep\", \"{mark}\"'; \
         setsid sleep {mark} & sleep {mark} & trap '' TERM HUP; sleep {mark}"
    )
}

#[tokio::test]
async fn a_timeout_kills_everything_also_double_forked() {
    for (confine, mark) in [
        (Confine::Observe, "8601.030113"),
        (change(&[]), "8602.030213"),
        (Confine::Unconfined, "8603.030313"),
    ] {
        let mut job = sh(confine, &daemon(mark));
        job.timeout = Duration::from_secs(2);
        let began = Instant::now();
        let running = tokio::spawn(async move { text(job).await.0 });
        until("the four sleep", || alive(&format!("sleep\0{mark}")) >= 4).await;
        let exit = running.await.unwrap();
        assert!(exit.timed_out && !exit.cancelled && exit.signal == Some(9), "{exit:?}");
        assert_eq!(alive(mark), 0, "after {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_cancel_and_a_dropped_future_kill_everything() {
    for (confine, mark) in [(Confine::Observe, "8611.031113"), (Confine::Unconfined, "8612.031213")] {
        let (stop, cancel) = watch::channel(false);
        let (send, _chunks) = mpsc::channel::<Chunk>(1);
        let job = sh(confine, &daemon(mark));
        let running = tokio::spawn(async move { cage().run(job, send, cancel).await.unwrap() });
        until("they sleep", || alive(&format!("sleep\0{mark}")) >= 4).await;
        stop.send_replace(true);
        let exit = running.await.unwrap();
        assert!(exit.cancelled && !exit.timed_out, "{exit:?}");
        assert_eq!(alive(mark), 0);
    }
    for (confine, mark) in [(Confine::Observe, "8613.031313"), (Confine::Unconfined, "8614.031413")] {
        let job = sh(confine, &daemon(mark));
        let running = tokio::spawn(async move { text(job).await });
        until("they sleep", || alive(&format!("sleep\0{mark}")) >= 4).await;
        running.abort();
        until("all are gone", || alive(mark) == 0).await;
    }
}

#[tokio::test]
async fn what_an_unconfined_program_leaves_behind_lives_on() {
    let script = "setsid sleep 8621.032113 & echo started";
    let (exit, out, _) = text(sh(Confine::Unconfined, script)).await;
    assert_eq!((exit.code, out.as_str()), (Some(0), "started\n"));
    assert_eq!(alive("8621.032113"), 1, "a daemon that a command started is no part of it");
    let found = std::process::Command::new("pgrep").args(["-f", "sleep 8621.032113"]).output().unwrap();
    let pid: i32 = String::from_utf8(found.stdout).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    // Inside the cage nothing lives on.
    text(sh(Confine::Observe, "setsid sleep 8622.032213 & echo started")).await;
    assert_eq!(alive("8622.032213"), 0);
}

/// A probe that is killed takes its caged programs along.
#[tokio::test]
async fn a_killed_probe_leaves_no_caged_program_behind() {
    const INSIDE: &str = "LEGATOR_TEST_PROBE_THAT_DIES";
    let mark = "8631.033113";
    if std::env::var_os(INSIDE).is_some() {
        text(sh(Confine::Observe, &daemon(mark))).await;
        return;
    }
    let mut probe = std::process::Command::new(std::env::current_exe().unwrap());
    probe.args(["a_killed_probe_leaves_no_caged_program_behind", "--exact"]).env(INSIDE, "1");
    let mut probe = probe.stdout(std::process::Stdio::null()).spawn().unwrap();
    until("they sleep", || alive(&format!("sleep\0{mark}")) >= 4).await;
    probe.kill().unwrap();
    probe.wait().unwrap();
    until("all are gone", || alive(mark) == 0).await;
}
