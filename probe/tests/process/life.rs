//! Joining, running, answering again, crashing and coming back.

use super::edge::{Server, token_of};
use super::host::{Host, PROGRAM, fresh_task};
use legator_core::digest::Digest;
use legator_core::level::Level;
use legator_core::span::Span;
use legator_core::task::Outcome;
use legator_wire::frame::{Stream, Up};
use legator_wire::receipt::Receipt;
use serde_json::json;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// A change that leaves a line each time it runs.
fn counted(host: &Host) -> (super::scene::Scene, std::path::PathBuf) {
    let path = host.path("count");
    let line = format!("echo ran >> {}", path.display());
    (host.grant_of("shell.run", json!({ "argv": ["sh", "-c", line] }), Level::Remediate), path)
}

fn lines(path: &std::path::Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn task_of(scene: &super::scene::Scene) -> legator_core::ids::TaskId {
    scene.leaves[1].task
}

#[tokio::test]
async fn a_probe_enrols_once_with_its_name_and_labels_and_comes_back_as_the_same_host() {
    let mut host = Host::new().await;
    host.configure("max_level = \"observe\"\nname = \"web-03\"\n[labels]\nenv = \"prod\"\n");
    let session = host.start().await;
    assert_eq!(session.hello.max_level, Level::Observe);
    let again = host.restart().await;
    assert_eq!(again.hello.host, session.hello.host);
    assert_ne!(again.hello.instance, session.hello.instance);
    let enrolments = host.server.enrolments();
    assert_eq!(enrolments.len(), 1, "it enrols once");
    assert_eq!(
        (enrolments[0].name.as_deref(), enrolments[0].labels["env"].as_str()),
        (Some("web-03"), "prod")
    );
}

#[tokio::test]
async fn another_authority_than_the_tokens_and_a_refusal_leave_nothing_behind() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let run = |token: String, name: &str| {
        let state = folder.path().join(name);
        let mut command = Command::new(PROGRAM);
        command.env_clear().args(["run", "--server", &server.address, "--token", &token, "--name", name]);
        command.arg("--state-dir").arg(&state);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        async move { (output.await.unwrap(), state.join("identity.json").exists()) }
    };
    let (output, kept) = run(token_of(&Digest::of(b"another authority")), "mitm").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !kept && said.contains("authority"), "{said}");
    let (output, kept) = run(server.token(), "refused").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && !kept && said.contains("token-used") && said.contains("make another"),
        "{said}"
    );
    let (output, kept) = run("lt_short".to_owned(), "short").await;
    assert!(!output.status.success() && !kept);
}

#[tokio::test]
async fn a_read_runs_and_its_receipt_proves_the_output() {
    let (host, mut session) = Host::connected().await;
    let path = host.path("hello");
    fs::write(&path, "hello from a file\n").unwrap();
    let scene = host.grant_of("file.read", json!({ "path": path }), Level::Observe);
    session.send(&scene.frame().to_string()).await;
    session.started(task_of(&scene)).await;
    let (receipt, sent) = session.settled().await;
    assert_eq!((receipt.outcome, receipt.plan), (Outcome::Succeeded, scene.plan().digest()));
    assert!(String::from_utf8_lossy(&sent.stdout).contains("hello from a file"));
    assert!(receipt.started_at.is_some() && receipt.reason.is_none());
}

#[tokio::test]
async fn the_same_grant_again_is_answered_and_not_run() {
    let (host, mut session) = Host::connected().await;
    let (mut scene, path) = counted(&host);
    session.send(&scene.frame().to_string()).await;
    let (first, _) = session.receipt().await;
    assert_eq!((first.outcome, lines(&path)), (Outcome::Succeeded, 1));
    let mut forms = vec![scene.frame().to_string()];
    let mut url_safe = scene.frame();
    let payload = url_safe["grant"]["payload"].as_str().unwrap().replace('+', "-").replace('/', "_");
    url_safe["grant"]["payload"] = json!(payload);
    forms.push(url_safe.to_string());
    scene.grant.expires_at = scene.grant.expires_at + super::scene::minutes(5);
    forms.push(scene.frame().to_string());
    for form in &forms {
        session.send(form).await;
        let (again, sent) = session.receipt().await;
        assert_eq!(again, first);
        assert!(sent.stdout.is_empty());
    }
    assert_eq!(lines(&path), 1);
    eprintln!("duplicates: {} forms answered, run once", forms.len());
}

#[tokio::test]
async fn an_approved_command_that_runs_twice_does_not_also_after_an_ack_and_a_restart() {
    let (mut host, mut session) = Host::connected().await;
    let (scene, path) = counted(&host);
    session.send(&scene.frame().to_string()).await;
    session.settled().await;
    let mut session = host.restart().await;
    session.send(&scene.frame().to_string()).await;
    // The same id under another plan, properly sealed: refused by name, the first run is untouched.
    let (mut other, _) = counted(&host);
    other.leaves[1].task = task_of(&scene);
    session.send(&other.frame().to_string()).await;
    let (receipt, _) = loop {
        let (receipt, sent) = session.receipt().await;
        if receipt.reason.is_some() {
            break (receipt, sent);
        }
    };
    assert_eq!((receipt.reason.as_deref(), receipt.task), (Some("used-before"), task_of(&scene)));
    assert_eq!(lines(&path), 1);
}

#[tokio::test]
async fn a_crash_after_started_is_unknown_and_the_same_grant_does_not_run_again() {
    let (mut host, mut session) = Host::connected().await;
    let scene = host.grant_of("shell.run", json!({ "argv": ["sleep", "300"] }), Level::Remediate);
    session.send(&scene.frame().to_string()).await;
    session.started(task_of(&scene)).await;
    let mut session = host.restart().await;
    let (receipt, _) = session.receipt().await;
    assert_eq!((receipt.task, receipt.outcome), (task_of(&scene), Outcome::Unknown));
    let detail = receipt.detail.clone().unwrap();
    assert!(detail.contains("running"), "{detail}");
    session.send(&scene.frame().to_string()).await;
    let (again, _) = session.settled().await;
    assert_eq!(again, receipt);
    eprintln!("crash: {detail}");
}

#[tokio::test]
async fn a_receipt_is_delivered_until_it_is_acknowledged() {
    let (mut host, mut session) = Host::connected().await;
    let (scene, path) = counted(&host);
    session.send(&scene.frame().to_string()).await;
    let (first, _) = session.receipt().await;
    for round in 0..3 {
        session = host.restart().await;
        let (again, sent) = session.receipt().await;
        assert_eq!(again, first, "round {round}");
        if round == 1 {
            // An acknowledgement of another receipt forgets nothing.
            let elsewhere = Receipt { task: fresh_task(), ..again.clone() };
            session.ack(&elsewhere, &sent).await;
        }
        if round == 2 {
            session.ack(&again, &sent).await;
        }
    }
    let read = host.grant();
    session.send(&read.frame().to_string()).await;
    session.settled().await;
    let mut session = host.restart().await;
    let (late, path_again) = (host.grant(), lines(&path));
    session.send(&late.frame().to_string()).await;
    loop {
        let (receipt, _) = session.receipt().await;
        assert_ne!(receipt.task, task_of(&scene), "what was acknowledged does not come again");
        if receipt.task == task_of(&late) {
            break;
        }
    }
    assert_eq!(path_again, 1);
}

#[tokio::test]
async fn what_is_beyond_the_most_at_work_is_given_back_and_a_cancel_ends_what_runs() {
    let (host, mut session) = Host::connected().await;
    let most = legator_probe::probe::ACTIVE_MAX;
    let scenes: Vec<_> = (0..=most)
        .map(|_| host.grant_of("shell.run", json!({ "argv": ["sleep", "300"] }), Level::Remediate))
        .collect();
    for scene in &scenes {
        session.send(&scene.frame().to_string()).await;
    }
    let (mut started, mut busy) = (0, None);
    while started < most || busy.is_none() {
        match session.next().await {
            Up::Started { .. } => started += 1,
            Up::Busy { task } => busy = Some(task),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(busy, Some(task_of(&scenes[most])));
    for scene in &scenes[..most] {
        session.cancel(host.server.host(), task_of(scene)).await;
    }
    for _ in 0..most {
        let (receipt, _) = session.settled().await;
        assert_eq!(receipt.outcome, Outcome::Cancelled);
    }
    // What was given back may come again, and what is cancelled before it comes does not run.
    let (scene, path) = counted(&host);
    session.cancel(host.server.host(), task_of(&scene)).await;
    session.send(&scene.frame().to_string()).await;
    let (receipt, _) = session.settled().await;
    assert_eq!((receipt.outcome, lines(&path)), (Outcome::Cancelled, 0));
    eprintln!("{most} at work, one given back, all cancelled");
}

#[tokio::test]
async fn output_streams_live_and_head_and_tail_are_kept() {
    let (host, mut session) = Host::connected().await;
    let argv = json!(["sh", "-c", "seq 1 200000; echo err >&2"]);
    let mut scene = host.grant_of("shell.run", json!({ "argv": argv }), Level::Observe);
    scene.body.output_bytes_max = 20_000;
    session.send(&scene.frame().to_string()).await;
    let mut live = 0u64;
    let (receipt, sent) = loop {
        match session.next().await {
            Up::Output(output) => {
                live += u64::from(output.stream == Stream::Stdout) * output.bytes.len() as u64
            }
            Up::Receipt(sent) => break (sent.receipt.open::<Receipt>(&host.server.key()).unwrap(), sent),
            _ => {}
        }
    };
    assert_eq!(receipt.outcome, Outcome::Succeeded, "{:?} {:?}", receipt.detail, receipt.reason);
    assert!(sent.is_proven_by(&receipt) && sent.stdout.len() + sent.stderr.len() <= 20_000);
    assert!(receipt.stdout.truncated && receipt.stdout.bytes == 1_288_895, "{:?}", receipt.stdout);
    assert!(sent.stdout.starts_with(b"1\n2\n") && sent.stdout.ends_with(b"199999\n200000\n"));
    assert_eq!(sent.stderr, b"err\n");
    assert!(live > 0);
    eprintln!("output: {live} of {} bytes seen live", receipt.stdout.bytes);
}

#[tokio::test]
async fn a_clock_that_is_off_reads_and_does_not_change() {
    let mut host = Host::new().await;
    host.server.set_ahead(Span::from_secs(600));
    let mut session = host.start().await;
    let (change, path) = counted(&host);
    session.send(&change.frame().to_string()).await;
    let (receipt, _) = session.settled().await;
    assert_eq!((receipt.reason.as_deref(), lines(&path)), (Some("clock-off"), 0));
    session.send(&host.grant().frame().to_string()).await;
    let (receipt, _) = session.settled().await;
    assert_eq!(receipt.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn inventory_comes_whole_when_the_probe_joins() {
    let (host, mut session) = Host::connected().await;
    let mut parts = std::collections::BTreeMap::new();
    let mut sequence = 0;
    while !(parts.contains_key("packages") && parts.contains_key("users") && parts.contains_key("services")) {
        let frame = session.soon(super::edge::WAIT).await.expect("no inventory");
        let Up::Inventory { envelope } = frame else { continue };
        let inventory: legator_wire::inventory::Inventory = envelope.open(&host.server.key()).unwrap();
        assert!(inventory.sequence > sequence);
        assert!(!inventory.whole || sequence == 0, "only the first can be whole");
        sequence = inventory.sequence;
        parts.extend(inventory.parts);
    }
    let unknown: Vec<&String> =
        parts.keys().filter(|name| !legator_core::inventory::PARTS.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(parts["packages"]["total"].as_u64().unwrap() > 50);
    assert!(
        parts
            .values()
            .all(|part| serde_json::to_vec(part).unwrap().len() <= legator_core::inventory::PART_BYTES_MAX)
    );
    eprintln!("inventory: {} parts, {} packages", parts.len(), parts["packages"]["total"]);
}

#[tokio::test]
async fn a_damaged_state_or_file_is_a_refusal_to_start() {
    let (mut host, _session) = Host::connected().await;
    host.kill();
    let mut cases = 0;
    let good = ["identity.json", "key", "limits.json", "journal.log"]
        .map(|name| (name, fs::read(host.state().join(name)).ok()));
    for (name, content) in &good {
        for bad in ["", "{}", "hello"] {
            if bad.is_empty() && (*name == "journal.log" || content.is_none()) {
                continue;
            }
            fs::write(host.state().join(name), format!("{bad}\n")).unwrap();
            refuses_to_start(&host, name).await;
            cases += 1;
        }
        match content {
            Some(content) => fs::write(host.state().join(name), content).unwrap(),
            None => fs::remove_file(host.state().join(name)).unwrap(),
        }
    }
    for bad in [
        "",
        "max_level = 3",
        "max_level = \"remediate\"\nquorum = 1",
        "max_level = \"remediate\"\nunknown = 1",
    ] {
        host.configure(bad);
        refuses_to_start(&host, bad).await;
        cases += 1;
    }
    host.configure("max_level = \"remediate\"\n");
    host.start().await;
    eprintln!("trust settings: {cases} damaged ones refused at the start");
}

async fn refuses_to_start(host: &Host, what: &str) {
    let mut process = host.command().spawn().unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        let begun = std::time::Instant::now();
        loop {
            if let Some(status) = process.try_wait().unwrap() {
                return Some(status);
            }
            if begun.elapsed() > Duration::from_secs(30) {
                let _ = process.kill();
                let _ = process.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let status = ended.await.unwrap().unwrap_or_else(|| panic!("it runs with a damaged {what}"));
    assert!(!status.success(), "{what}");
}

/// A small file system of its own over a folder; taken away when dropped.
struct Small(std::path::PathBuf);

impl Small {
    fn over(path: std::path::PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1200k", "none"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(
            status.success(),
            "mounting a small file system takes root, as the other tests of the cage do"
        );
        Self(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn without_room_for_its_receipt_a_command_is_refused_before_it_runs() {
    let mut host = Host::new().await;
    let _small = Small::over(host.state());
    let mut session = host.start().await;
    let (scene, path) = counted(&host);
    session.send(&scene.frame().to_string()).await;
    let (receipt, _) = session.settled().await;
    assert_eq!((receipt.outcome, receipt.reason.as_deref()), (Outcome::Refused, Some("no-room")));
    assert_eq!(lines(&path), 0);
    host.kill();
}
