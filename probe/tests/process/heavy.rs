//! A flood of output, hundreds of tasks, hours without a server, and a user whom the kernel gives no cage.

use super::edge::{Session, WAIT};
use super::host::{Host, PROGRAM};
use legator_core::cage::CageState;
use legator_core::level::Level;
use legator_core::task::Outcome;
use legator_wire::frame::Up;
use legator_wire::receipt::Receipt;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::{Child, Command, Stdio};

/// Memory of a process's own, in bytes, at this moment.
fn own_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

const MEMORY_MAX: u64 = 20 << 20;

#[tokio::test]
async fn a_flood_of_output_leaves_the_probe_small_and_says_what_was_cut() {
    const BYTES: u64 = 256 << 20;
    let (host, mut session) = Host::connected().await;
    let flood = format!("head -c {BYTES} /dev/zero; printf end");
    let mut scene = host.grant_of("shell.run", json!({ "argv": ["sh", "-c", flood] }), Level::Observe);
    scene.body.timeout = super::scene::minutes(4);
    scene.body.output_bytes_max = 100_000;
    session.send(&scene.frame().to_string()).await;
    let mut most = 0;
    let (receipt, sent) = loop {
        let Some(frame) = session.soon(WAIT).await else { panic!("it fell silent") };
        most = most.max(own_memory(host.pid()));
        if let Up::Receipt(sent) = frame {
            break (sent.receipt.open::<Receipt>(&host.server.key()).unwrap(), sent);
        }
    };
    assert_eq!(receipt.outcome, Outcome::Succeeded, "{:?}", receipt.detail);
    assert!(receipt.stdout.truncated && receipt.stdout.bytes == BYTES + 3, "{:?}", receipt.stdout);
    assert!(sent.stdout.len() <= 100_000 && sent.stdout.ends_with(b"\0end") && sent.is_proven_by(&receipt));
    assert!(most > 0 && most < MEMORY_MAX, "{most} bytes");
    eprintln!("flood: {BYTES} bytes of output, at most {most} bytes of memory, {} kept", sent.stdout.len());
}

#[tokio::test]
async fn two_hundred_tasks_at_once_are_bounded_and_each_ends_once() {
    let (host, mut session) = Host::connected().await;
    let scene = |n: usize| match n % 5 {
        0 => host.grant_of("shell.run", json!({ "argv": ["true"] }), Level::Remediate),
        _ => host.grant_of("file.stat", json!({ "path": "/etc/hostname" }), Level::Observe),
    };
    let frames: BTreeMap<_, String> = (0..200)
        .map(|n| {
            let scene = scene(n);
            (scene.leaves[1].task, scene.frame().to_string())
        })
        .collect();
    for frame in frames.values() {
        session.send(frame).await;
    }
    let (mut ended, mut busy, mut most) = (BTreeSet::new(), 0, 0);
    while ended.len() < frames.len() {
        match session.next().await {
            Up::Receipt(sent) => {
                let receipt: Receipt = sent.receipt.open(&host.server.key()).unwrap();
                assert_eq!(receipt.outcome, Outcome::Succeeded, "{:?}", receipt.detail);
                session.ack(&receipt, &sent).await;
                ended.insert(receipt.task);
            }
            Up::Busy { task } => {
                busy += 1;
                session.send(&frames[&task]).await;
            }
            _ => {}
        }
        most = most.max(own_memory(host.pid()));
    }
    assert!(most < MEMORY_MAX, "given back {busy} times, {most} bytes");
    eprintln!("tasks: {} at once, given back {busy} times, at most {most} bytes of memory", ended.len());
}

#[tokio::test]
async fn receipts_made_while_the_server_was_away_all_come_when_it_is_back() {
    const TASKS: usize = 6;
    let (mut host, mut session) = Host::connected().await;
    let mut asked = BTreeSet::new();
    for n in 0..TASKS {
        let argv = json!(["sh", "-c", format!("sleep 1; head -c 40000 /dev/zero; echo {n}")]);
        let scene = host.grant_of("shell.run", json!({ "argv": argv }), Level::Remediate);
        asked.insert(scene.leaves[1].task);
        session.send(&scene.frame().to_string()).await;
    }
    for _ in 0..TASKS {
        while !matches!(session.next().await, Up::Started { .. }) {}
    }
    // The server is gone while they run; the probe goes on, and comes back by itself.
    drop(session);
    let mut session = host.server.session().await;
    let mut got: BTreeMap<_, Receipt> = BTreeMap::new();
    while got.len() < TASKS {
        let (receipt, sent) = session.receipt().await;
        assert!(asked.contains(&receipt.task) && sent.stdout.len() > 40_000);
        got.insert(receipt.task, receipt);
    }
    // Nothing was acknowledged: all of them come again after a restart, and then no more.
    let mut session = host.restart().await;
    let mut again: BTreeSet<_> = BTreeSet::new();
    while again.len() < TASKS {
        let (receipt, _) = session.settled().await;
        assert_eq!(got.get(&receipt.task), Some(&receipt));
        again.insert(receipt.task);
    }
    eprintln!("away: {TASKS} receipts delivered, again after a restart, and acknowledged");
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The probe of a user whom the kernel gives no namespaces.
async fn without_namespaces(host: &mut Host) -> (Ended, Session) {
    const NONE: &str = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all \"$@\"";
    let open =
        |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::copy(PROGRAM, host.path("legator-probe")).unwrap();
    fs::create_dir(host.state()).unwrap();
    chown(host.state(), Some(65534), Some(65534)).unwrap();
    open(host.folder.path(), 0o755);
    open(&host.path("probe.toml"), 0o644);
    let log = fs::File::create(host.path("log")).unwrap();
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "unshare",
        "--user",
        "--map-current-user",
        "--keep-caps",
    ]);
    command.args(["sh", "-c", NONE, "none"]).arg(host.path("legator-probe")).args(["run", "--config"]);
    command.arg(host.path("probe.toml")).arg("--state-dir").arg(host.state());
    command.args(["--server", &host.server.address, "--token", &host.server.token()]);
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/").stdout(Stdio::null()).stderr(log);
    let child = Ended(command.spawn().unwrap());
    let session = host.server.session().await;
    (child, session)
}

#[tokio::test]
async fn a_user_without_namespaces_reports_a_partial_cage_and_runs_no_command_below_remediate() {
    let mut host = Host::new().await;
    let (_child, mut session) = without_namespaces(&mut host).await;
    assert_eq!(session.hello.cage.state, CageState::Partial, "{:?}", session.hello.cage);
    assert!(!session.hello.cage.missing.is_empty());
    for (level, args) in [
        (Level::Observe, json!({ "argv": ["true"] })),
        (Level::Diagnose, json!({ "argv": ["true"] })),
        (Level::Remediate, json!({ "argv": ["true"], "effects": { "write": ["/var/tmp"] } })),
    ] {
        let scene = host.grant_of("shell.run", args, level);
        session.send(&scene.frame().to_string()).await;
        let (receipt, _) = session.settled().await;
        assert_eq!(
            (receipt.outcome, receipt.reason.as_deref()),
            (Outcome::Refused, Some("cage-not-full")),
            "{level}"
        );
    }
    // Its typed reads go on.
    session.send(&host.grant().frame().to_string()).await;
    assert_eq!(session.settled().await.0.outcome, Outcome::Succeeded);
    eprintln!("without namespaces: missing {:?}", session.hello.cage.missing);
}
