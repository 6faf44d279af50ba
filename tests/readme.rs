//! README's steps, typed as they are written, against real processes: output and exit codes are what README says.
//!
//! Owns the list of README's blocks: a block that nobody types fails. Everything runs in a network of its own, so that port 8080 is free.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

#[path = "readme/links.rs"]
mod links;
#[path = "readme/nginx.rs"]
mod nginx;
#[path = "readme/terminal.rs"]
mod terminal;

use legator_wire::keys::{ApproverKey, Signer as _};
use std::time::{Duration, Instant};
use terminal::{Machine, Typed};

const README: &str = include_str!("../README.md");

/// How soon a host is to be seen after its probe's start.
const ONLINE_MAX: Duration = Duration::from_secs(5);

/// The blocks of a language, each as its lines.
fn blocks(text: &str, language: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut open: Option<Vec<String>> = None;
    for line in text.lines() {
        match &mut open {
            Some(block) if line == "```" => {
                found.push(std::mem::take(block));
                open = None;
            }
            Some(block) => block.push(line.to_owned()),
            None if line == format!("```{language}") => open = Some(Vec::new()),
            None => {}
        }
    }
    found
}

/// The block that begins like this; exactly one does.
fn block(begin: &str) -> Vec<String> {
    let mut found: Vec<_> =
        blocks(README, "sh").into_iter().filter(|block| block[0].starts_with(begin)).collect();
    assert_eq!(found.len(), 1, "README has one block that begins with {begin:?}");
    found.remove(0)
}

/// The exit code that the comment of a line promises.
fn promised(line: &str) -> i32 {
    let comment = line.rsplit_once(" # ").map_or("", |(_, comment)| comment);
    comment.rsplit_once("exit code ").map_or(0, |(_, code)| code.trim().parse().unwrap())
}

/// The host of this machine, once it is seen as online; how long that took after `since`.
fn online(machine: &Machine, ctl: &str, since: Instant) -> Duration {
    loop {
        let seen = machine.run(&format!("{ctl} hosts list -o jsonl"));
        if seen.stdout.contains("\"status\":\"online\"") {
            return since.elapsed();
        }
        assert!(since.elapsed() < Duration::from_secs(60), "no host: {seen:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Types a line as a person would: PLAN is the plan that was told last, and what asks for a word gets it at a terminal.
fn step(machine: &Machine, line: &str, plan: &mut String) -> Typed {
    let line = line.trim();
    assert!(
        !line.contains("PLAN") || !plan.is_empty() || line.contains("PLAN="),
        "no plan was told before {line}"
    );
    let typed = match line.contains("approvals approve") {
        true => machine.at_terminal(&line.replace("PLAN", plan), "approve\n"),
        false if line.contains("$PLAN") || line.contains("PLAN=") => machine.run(line),
        false => machine.run(&line.replace("PLAN", plan)),
    };
    assert_eq!(typed.code, promised(line), "{line}\n{}\n{}", typed.stdout, typed.stderr);
    if let Some(told) = typed.stderr.split_whitespace().find(|word| word.starts_with("plan_")) {
        told.clone_into(plan);
    }
    typed
}

/// What each step has to show, by what it begins with.
const SHOWS: &[(&str, &[&str])] = &[
    ("hosts list", &["NAME", "online", "full"]),
    ("-- uname -a", &["Linux"]),
    ("-- touch", &["Read-only file system"]),
    ("-o json -- cat", &["\"state\":\"succeeded\"", "\"exit_code\":0"]),
    ("do service.restart", &["waits for approval", "approvals approve plan_"]),
    ("approvals list", &["restart service nginx"]),
    ("why ", &["remediate-one of the built-in policy", "needs 1 approval"]),
    ("approvals approve", &["restart service nginx", "digest", "is approved"]),
    ("plans watch", &["succeeded", "verified"]),
    ("plans show", &["before", "after", "self approved"]),
    ("audit export", &["log.jsonl"]),
    ("audit verify", &["intact"]),
];

fn shows_what_it_says(line: &str, typed: &Typed) {
    let Some((_, words)) = SHOWS.iter().find(|(begin, _)| line.contains(begin)) else { return };
    let all = format!("{}{}", typed.stdout, typed.stderr);
    for word in *words {
        assert!(all.contains(word), "{line} does not show {word:?}:\n{all}");
    }
}

#[test]
fn every_step_of_the_readme_does_what_it_says() {
    let machine = Machine::new();
    let nginx = nginx::Nginx::start(&machine);
    let start = block("cargo build");
    assert_eq!(start[0], "cargo build --release --workspace --bins");
    let _server = machine.start(&start[1], "server.log");
    machine.until("curl -sf http://localhost:8080/readyz");

    let join = block("TOKEN=");
    let begun = Instant::now();
    let _probe = machine.start(&join.join("\n"), "probe.log");
    let took = online(&machine, "target/release/legatorctl", begun);
    assert!(took <= ONLINE_MAX, "online after {took:?}");

    let (mut steps, mut plan) = (join.len() + 1, String::new());
    let mut settings = String::new();
    let before = nginx.pid();
    for first in ["export PATH", "legatorctl do", "legatorctl audit", "API="] {
        for line in block(first) {
            steps += 1;
            if line.starts_with("export ") || line.starts_with("API=") {
                settings.push_str(&format!("{line}\n"));
                machine.prelude(&settings);
                continue;
            }
            let typed = step(&machine, &line, &mut plan);
            shows_what_it_says(&line, &typed);
            if let Some(kept) = line.strip_prefix("PLAN=") {
                settings.push_str(&format!("PLAN={kept}\n"));
                machine.prelude(&settings);
            }
            if line.contains("jq -r .state") {
                assert!(["finished", "approved"].contains(&typed.stdout.trim()), "{line}: {typed:?}");
            }
        }
    }
    assert_ne!(nginx.pid(), before, "nginx was restarted");
    assert!(!std::path::Path::new("/etc/legator-was-here").exists());
    eprintln!(
        "readme: {steps} lines typed; the host was online {} ms after its probe began",
        took.as_millis()
    );
}

#[test]
fn what_make_run_prints_works_when_it_is_typed() {
    let machine = Machine::new();
    let nginx = nginx::Nginx::start(&machine);
    let root = env!("CARGO_MANIFEST_DIR");
    let run = format!("BIN_DIR=$PWD/target/release RUN_DIR=$PWD/run {root}/scripts/run.sh");
    let mut running = machine.start(&run, "run.log");
    let printed = machine.until_log("run.log", "Ctrl-C ends it.");
    let lines: Vec<&str> = printed.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
    let took = printed.split(" online ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(took.parse::<u128>().unwrap() <= ONLINE_MAX.as_millis(), "online after {took} ms");
    let before = nginx.pid();
    let mut plan = String::new();
    for line in &lines {
        let typed = step(&machine, line, &mut plan);
        shows_what_it_says(line, &typed);
    }
    assert!(lines.len() >= 10, "{printed}");
    assert_ne!(nginx.pid(), before, "nginx was restarted");
    running.signal("TERM");
    assert_eq!(running.wait(), Some(0), "Ctrl-C ends both: {}", running.log());
    assert!(!machine.succeeds("curl -sf http://localhost:8080/healthz"), "nothing of it is left");
    eprintln!("make run: {} printed lines typed, online after {took} ms", lines.len());
}

#[test]
fn nobody_reads_a_block_that_nobody_types() {
    // `make` itself is what CI runs; production needs certificates, chat a model: their commands are checked word by word below.
    let typed = ["cargo build", "TOKEN=", "export PATH", "legatorctl do", "legatorctl audit", "API="];
    let read = ["make run", "LEGATOR_LLM_PROVIDER=openai", "LEGATOR_DATA_DIR="];
    let all = blocks(README, "sh");
    for block in &all {
        let known = typed.iter().chain(&read).filter(|begin| block[0].starts_with(**begin)).count();
        assert_eq!(known, 1, "{block:?}");
    }
    assert_eq!(all.len(), typed.len() + read.len());
    let text = all.concat().join("\n");
    for (program, word) in [("legator", "--listen"), ("legator", "--tls-cert"), ("legator", "--tls-key")] {
        assert!(text.contains(word));
        let mut help = std::process::Command::new(legator_testkit::process::binary(program));
        let help = help.args(["up", "--help"]).output().unwrap();
        assert!(String::from_utf8_lossy(&help.stdout).contains(word), "{program} up has {word}");
    }
}

#[test]
fn the_hosts_own_file_in_the_readme_is_one_that_the_probe_takes() {
    let file = blocks(README, "toml").remove(0).join("\n");
    let key = |secret: u8| ApproverKey::from_secret(&[secret; 32]).public().hex();
    let file = file.replace("…64 hex digits, from `legatorctl keys show`…", &key(1)).replace('…', &key(2));
    let settings = legator_probe::config::Settings::parse(&file);
    assert!(settings.is_ok(), "{file}\n{:?}", settings.err());
}
