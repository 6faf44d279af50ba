//! `kill -9` of the server and of the probe at random moments: no plan lost, none run twice, no false success, the log verifies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_testkit::process::{Probe, Server, ctl, until};
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PLANS: usize = 200;
const KILLS: usize = 20;

/// Kills a process after so many milliseconds, from a thread of its own.
fn kill_in(pid: u32, delay_ms: u64) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(delay_ms));
        let status = Command::new("kill").arg("-9").arg(pid.to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "the process was there to be killed");
    })
}

/// Asks for a plan that appends its number to a file, and approves it; the plan's id once it was acknowledged.
fn ask_and_approve(server: &mut Server, effects: &Path, number: usize) -> String {
    let script = format!("echo {number} >> {}", effects.display());
    let ask = json!({"verb": "shell.run", "args": {"argv": ["sh", "-c", script]}, "selector": "web-01", "level": "remediate"});
    let plan = loop {
        let (status, plan) = server.call("POST", "/api/v1/plans", Some(&ask));
        match status {
            201 => break plan,
            0 => revive(server),
            _ => panic!("{status}: {plan}"),
        }
    };
    let yes = json!({"plan": plan["id"], "digest": plan["digest"], "decision": "approve"});
    loop {
        let (status, answer) = server.call("POST", "/api/v1/approvals", Some(&yes));
        match status {
            200 | 201 => break,
            0 => revive(server),
            // The answer to an earlier try was lost, not the approval.
            409 => break,
            _ => panic!("{status}: {answer}"),
        }
    }
    plan["id"].as_str().unwrap().to_owned()
}

fn revive(server: &mut Server) {
    if !server.process.is_running() {
        server.restart();
    }
}

fn effects_of(path: &Path) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        *counts.entry(line.parse().unwrap()).or_insert(0) += 1;
    }
    counts
}

fn all_ended(server: &Server, plans: &[String]) -> Vec<Value> {
    let get = |id: &String| {
        until(&format!("{id} to end"), || {
            let (status, plan) = server.call("GET", &format!("/api/v1/plans/{id}"), None);
            assert_ne!(status, 404, "an acknowledged plan was lost");
            (status == 200 && plan["state"] == "finished").then_some(plan)
        })
    };
    plans.iter().map(get).collect()
}

fn verify(server: &Server, dir: &Path) {
    let log = dir.join("log");
    let log = log.to_str().unwrap();
    assert!(ctl(server, dir, &["audit", "export", log]).status.success());
    let authority = server.get("/version")["fingerprint"].as_str().unwrap().to_owned();
    let done = ctl(server, dir, &["audit", "verify", log, "--key", &authority]);
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(0), "{said}");
    eprintln!("kill: {}", said.trim());
}

#[test]
fn killed_at_random_moments_nothing_is_lost_or_done_twice() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let effects = dir.path().join("effects");
    let mut server = Server::start(dir.path());
    let mut probe = Probe::start(&server, dir.path(), "web-01");
    let host = server.online("web-01")["id"].as_str().unwrap().to_owned();
    assert_eq!(
        server.call("PATCH", &format!("/api/v1/hosts/{host}"), Some(&json!({"level": "remediate"}))).0,
        200
    );
    let seed: u64 = rand::rng().random();
    eprintln!("kill: seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let (mut plans, mut server_kills, mut probe_kills) = (Vec::new(), 0, 0);
    for number in 0..PLANS {
        let mut killer = None;
        if number % (PLANS / KILLS) == 5 {
            let of_server = random.random_bool(0.6);
            let pid = if of_server { server.process.pid() } else { probe.process.pid() };
            *(if of_server { &mut server_kills } else { &mut probe_kills }) += 1;
            killer = Some(kill_in(pid, random.random_range(0..120)));
        }
        plans.push(ask_and_approve(&mut server, &effects, number));
        if let Some(killer) = killer {
            killer.join().unwrap();
            revive(&mut server);
            if !probe.process.is_running() {
                probe.restart();
            }
        }
    }
    assert_eq!(server_kills + probe_kills, KILLS);
    let ended = all_ended(&server, &plans);
    let counts = effects_of(&effects);
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for (number, plan) in ended.iter().enumerate() {
        let task = &plan["tasks"][0];
        let state = task["state"].as_str().unwrap();
        let count = counts.get(&number).copied().unwrap_or(0);
        assert!(count <= 1, "plan {number} ran {count} times");
        assert!(state != "succeeded" || count == 1, "a success without its effect: {plan}");
        assert!(["succeeded", "unknown", "failed"].contains(&state), "{plan}");
        *states.entry(state.to_owned()).or_insert(0) += 1;
    }
    eprintln!(
        "kill: {PLANS} plans, {server_kills} + {probe_kills} kills: {states:?}, {} effects",
        counts.len()
    );
    verify(&server, dir.path());
}
