//! The corpus of tampered grants, a hostile control plane, and the host's own file, each against the real process.

use super::cases::{Fault, all, both};
use super::edge::Session;
use super::host::Host;
use super::scene::{APPROVERS, Scene, approver};
use legator_core::level::Level;
use legator_core::task::Outcome;
use legator_wire::frame::Up;
use legator_wire::grant::Approver;
use legator_wire::keys::Signer as _;
use legator_wire::refusal::Refusal;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where the table's changes would write.
const TARGET: &str = "/tmp/legator-grant-case";

/// Cases that are about the clock or the pin of the checking side: `grants.rs` has them, a process has only one of each.
const ELSEWHERE: [&str; 3] = [
    "grant-change-with-the-clock-off",
    "grant-expired-and-clock-set-back",
    "grant-at-a-host-with-another-pin",
];

fn config(level: Level, approvers: &[Approver], quorum: u8) -> String {
    let mut text = format!("max_level = \"{level}\"\n");
    if !approvers.is_empty() {
        text.push_str(&format!("quorum = {quorum}\n"));
    }
    for one in approvers {
        let keys: Vec<String> = one.keys.iter().map(|key| format!("\"{key}\"")).collect();
        text.push_str(&format!("[[approver]]\nperson = \"{}\"\nkeys = [{}]\n", one.person, keys.join(", ")));
    }
    text
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct Bench {
    host: Host,
    session: Session,
    version: u64,
}

impl Bench {
    /// Brings the process into the state that a scene's facts describe. Version numbers of limits rise from case to case.
    async fn prepare(&mut self, scene: &mut Scene) {
        let _ = fs::remove_file(TARGET);
        self.host.configure(&config(Level::Remediate, &[], 0));
        let wanted = scene.facts.limits.clone();
        let mut limits = wanted.unwrap_or_else(|| scene.limits(0, Level::Remediate));
        self.version += 10;
        limits.version += self.version;
        if scene.grant.limits_version > 0 {
            scene.grant.limits_version += self.version;
        }
        self.session.limits(&limits).await;
        let (path, version) =
            (self.host.state().join("limits.json"), format!("\"version\":{},", limits.version));
        until("limits are not kept", || fs::read_to_string(&path).unwrap_or_default().contains(&version))
            .await;
        let facts = &scene.facts;
        self.host.configure(&config(facts.max_level, &facts.approvers, facts.quorum));
    }
}

#[tokio::test]
async fn every_tampered_grant_is_refused_by_name_in_a_signed_receipt_and_its_twin_runs() {
    let (host, session) = Host::connected().await;
    let mut bench = Bench { host, session, version: 0 };
    let mut counts = (0, 0);
    for case in all().iter().filter(|case| !ELSEWHERE.contains(&case.id)) {
        let [_, (mut scene, text)] = both(&bench.host.grant(), case);
        bench.prepare(&mut scene).await;
        // Limits' versions moved with the bench, so a scene that names one is sealed again; its fault is in the scene itself.
        let named = scene.grant.limits_version > 0 && matches!(case.fault, Fault::Sealed(_) | Fault::Host(_));
        let text = if named { scene.frame().to_string() } else { text };
        bench.session.send(&text).await;
        let (receipt, _) = bench.session.settled().await;
        let mut wanted = vec![case.reason.name()];
        if case.reason == Refusal::Expired {
            // By now the authority has stated a later time.
            wanted.push(Refusal::HighWater.name());
        }
        let reason = receipt.reason.as_deref().unwrap_or_default();
        assert!(receipt.outcome == Outcome::Refused && wanted.contains(&reason), "{}: {reason}", case.id);
        assert!(receipt.started_at.is_none() && !Path::new(TARGET).exists(), "{} had an effect", case.id);
        counts.0 += 1;
        let [(mut twin, _), _] = both(&bench.host.grant(), case);
        bench.prepare(&mut twin).await;
        bench.session.send(&twin.frame().to_string()).await;
        let (receipt, _) = bench.session.settled().await;
        assert_eq!(
            receipt.outcome,
            Outcome::Succeeded,
            "the twin of {}: {:?} {:?}",
            case.id,
            receipt.reason,
            receipt.detail
        );
        assert_eq!(
            Path::new(TARGET).exists(),
            twin.body.level == Level::Remediate,
            "the twin of {}",
            case.id
        );
        counts.1 += 1;
    }
    let _ = fs::remove_file(TARGET);
    assert!(counts.0 >= 30);
    eprintln!("tampered grants: {} refused by name by the real probe, {} good twins ran", counts.0, counts.1);
}

#[tokio::test]
async fn what_a_verb_does_not_take_is_refused_before_it_runs() {
    let (host, mut session) = Host::connected().await;
    let mut cases: Vec<(Scene, &str)> = Vec::new();
    for verb in
        ["service.obliterate", "Service.Restart", "service.restart ", "", "file.read\0", "../file.read"]
    {
        let mut scene = host.grant();
        scene.body.verb = verb.to_owned();
        cases.push((scene, "unknown-verb"));
    }
    let arguments = [
        json!({ "name": ["nginx"] }),
        json!({ "name": "nginx", "force": true }),
        json!({ "name": "../../etc/shadow" }),
        json!({ "name": "nginx\0" }),
        json!({}),
        json!(null),
        json!([]),
        json!({ "name": "" }),
        json!({ "name": "-x" }),
    ];
    for args in arguments {
        let mut scene = host.grant();
        scene.body.verb = "service.restart".to_owned();
        scene.body.args = args;
        scene.body.level = Level::Remediate;
        cases.push((scene, "bad-arguments"));
    }
    for (level, path) in [
        (Level::Remediate, "/etc/hostname"),
        (Level::Diagnose, "/etc/hostname"),
        (Level::Observe, "relative"),
    ] {
        let mut scene = host.grant();
        (scene.body.level, scene.body.args) = (level, json!({ "path": path }));
        cases.push((scene, "bad-arguments"));
    }
    let mut wider = host.grant_of("shell.run", json!({ "argv": ["true"] }), Level::Observe);
    wider.body.effects.unconfined = true;
    cases.push((wider, "bad-arguments"));
    for (scene, reason) in &cases {
        session.send(&scene.frame().to_string()).await;
        let (receipt, _) = session.settled().await;
        assert_eq!(receipt.reason.as_deref(), Some(*reason), "{:?} {}", scene.body.verb, scene.body.args);
    }
    eprintln!("verbs and arguments: {} refused", cases.len());
}

#[tokio::test]
async fn a_hostile_control_plane_has_no_effect_on_a_host_that_lists_its_approvers() {
    let (host, mut session) = Host::connected().await;
    let listed: Vec<Approver> = (1..=2)
        .map(|n| Approver { person: APPROVERS[n - 1].to_owned(), keys: vec![approver(n as u8).public()] })
        .collect();
    host.configure(&config(Level::Remediate, &listed, 1));
    let target = host.path("effect");
    let mut tries = 0;
    for n in 0..60u32 {
        let mut scene = host.grant();
        scene.change(&target.to_string_lossy());
        super::forge::forge(&mut scene, n);
        let mut frame = scene.frame();
        if n % 3 == 0 {
            // Limits that loosen come along, truly signed.
            let limits = scene.limits(u64::from(n) + 1, Level::Remediate);
            frame["limits"] =
                serde_json::to_value(legator_wire::dsse::Envelope::seal(&limits, &scene.authority)).unwrap();
        }
        session.send(&frame.to_string()).await;
        let (receipt, _) = session.settled().await;
        assert_eq!(receipt.reason.as_deref(), Some("quorum-missing"), "try {n}");
        assert!(!target.exists(), "try {n} had an effect");
        tries += 1;
    }
    let mut good = host.grant();
    good.change(&target.to_string_lossy());
    good.approve(&[2]);
    session.send(&good.frame().to_string()).await;
    let (receipt, _) = session.settled().await;
    assert_eq!(
        (receipt.outcome, receipt.quorum),
        (Outcome::Succeeded, vec!["bob".to_owned()]),
        "{:?}",
        receipt.detail
    );
    assert!(target.exists());
    eprintln!(
        "hostile control plane: {tries} tries through the real process, 0 effects; one true approval ran"
    );
}

#[tokio::test]
async fn a_lowered_level_holds_at_once_and_an_unreadable_file_lets_nothing_run() {
    let (host, mut session) = Host::connected().await;
    let target = host.path("effect");
    let change = || {
        let mut scene = host.grant();
        scene.change(&target.to_string_lossy());
        scene.frame().to_string()
    };
    for level in [Level::Observe, Level::Diagnose] {
        host.configure(&config(level, &[], 0));
        session.send(&change()).await;
        let (receipt, _) = session.settled().await;
        assert_eq!(receipt.reason.as_deref(), Some("level-above-max"));
    }
    for broken in [
        "",
        "max_level = \"\"",
        "max_level = \"remediate\"\nquorum = 1",
        "\u{0}",
        "max_level = [\"remediate\"]",
    ] {
        host.configure(broken);
        session.send(&change()).await;
        let (receipt, _) = session.settled().await;
        assert_eq!(receipt.reason.as_deref(), Some("level-above-max"), "{broken}");
    }
    fs::remove_file(host.path("probe.toml")).unwrap();
    session.send(&change()).await;
    let (receipt, _) = session.settled().await;
    assert_eq!(receipt.reason.as_deref(), Some("level-above-max"), "the file is gone");
    assert!(!target.exists());
    host.configure(&config(Level::Remediate, &[], 0));
    session.send(&change()).await;
    let (receipt, _) = session.settled().await;
    assert_eq!(receipt.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_changed_pre_image_or_a_link_in_its_place_is_refused() {
    let (host, mut session) = Host::connected().await;
    let (path, copy) = (host.path("file"), host.path("copy"));
    fs::write(&path, "as shown\n").unwrap();
    let write = || {
        let mut scene = host.grant();
        scene.change(&path.to_string_lossy());
        scene.leaves[1].shown = Some(legator_core::digest::Digest::of(b"as shown\n"));
        scene.frame().to_string()
    };
    let changed = write();
    fs::write(&path, "changed since\n").unwrap();
    session.send(&changed).await;
    let (receipt, _) = session.settled().await;
    assert_eq!(receipt.reason.as_deref(), Some("changed-pre-image"));
    fs::write(&copy, "as shown\n").unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&copy, &path).unwrap();
    session.send(&write()).await;
    let (receipt, _) = session.settled().await;
    assert_eq!(receipt.outcome, Outcome::Refused, "{:?}", receipt.detail);
    assert_eq!(fs::read_to_string(&copy).unwrap(), "as shown\n");
}

#[tokio::test]
async fn no_frame_brings_the_probe_down() {
    let (mut host, mut session) = Host::connected().await;
    let frames = [
        "",
        "{}",
        "[]",
        "null",
        "\u{0}",
        "{\"kind\":\"grant\"}",
        "{\"kind\":\"sudo\"}",
        "{\"kind\":\"welcome\"}",
        "{\"kind\":\"challenge\",\"edge\":\"instance_0\",\"nonce\":\"\"}",
        "{\"kind\":\"cancel\",\"envelope\":{}}",
        "{\"kind\":\"after\",\"ms\":-1}",
        "{\"kind\":\"after\",\"ms\":1e999}",
        "{\"kind\":\"grant\",\"leaf\":{\"task\":7}}",
    ];
    let deep = "[".repeat(100_000);
    for frame in frames.iter().copied().chain([deep.as_str()]) {
        session.send(frame).await;
        // It hangs up on what is no frame, and comes back by itself.
        session = host.server.session().await;
    }
    session.send(&host.grant().frame().to_string()).await;
    loop {
        if let Up::Receipt(_) = session.next().await {
            break;
        }
    }
    assert_eq!(host.server.enrolments().len(), 1);
    eprintln!("frames: {} bad ones survived by one process", frames.len() + 1);
    host.kill();
}
