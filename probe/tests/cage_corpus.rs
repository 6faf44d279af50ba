//! Every line of the corpus, really run, as root and as an ordinary user, with the layers on and each off in turn.
//!
//! Proves: no mutating line has an effect at observe, the reads work, and the oracle sees the effects without a cage.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

#[path = "cage/cases.rs"]
mod cases;
#[path = "cage/sandbox.rs"]
mod sandbox;
#[path = "cage/user.rs"]
mod user;

use cases::{Case, Seen, available, cases, complaints, fill, missing_tools};
use futures::StreamExt;
use legator_probe::cage::{Cage, CageError, Confine, Layer, Limits, Order, Secrets, hint};
use sandbox::{Base, Sandbox};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Two commands leave a child behind that writes after two seconds.
const LATE: Duration = Duration::from_secs(3);
/// Commands that run at the same time, and lines that are under way: most of these wait for late writers.
const RUNNING: usize = 3;
const AT_ONCE: usize = 64;

fn mutating() -> Vec<Case> {
    cases(&["commands-mutating.jsonl", "commands-mutating-neighbours.jsonl"])
}

fn reading() -> Vec<Case> {
    cases(&["commands-reading.jsonl", "commands-reading-neighbours.jsonl"])
}

/// Sandboxes that no command has touched so far.
struct Pool<'a> {
    base: &'a Base,
    clean: Mutex<Vec<Sandbox>>,
    made: AtomicUsize,
    /// Commands that run now; more wait for late writers.
    running: Semaphore,
}

impl<'a> Pool<'a> {
    fn new(base: &'a Base) -> Self {
        Self { base, clean: Mutex::default(), made: AtomicUsize::new(0), running: Semaphore::new(RUNNING) }
    }

    fn take(&self) -> Sandbox {
        let clean = self.clean.lock().unwrap().pop();
        clean.unwrap_or_else(|| {
            Sandbox::new(self.base, &format!("s{}", self.made.fetch_add(1, Ordering::Relaxed)))
        })
    }
}

/// One line: run, waited for, looked at.
async fn one(cage: &Cage, pool: &Pool<'_>, confine: &Confine, case: Case) -> (Case, Seen, Vec<String>) {
    let turn = pool.running.acquire().await.unwrap();
    let mut sandbox = pool.take();
    let mut case = case;
    case.must = fill(&case.must, &sandbox);
    let argv: Vec<String> = case.argv.iter().map(|word| fill(word, &sandbox)).collect();
    let seen = seen(cage, order(confine, &argv), &case.id).await;
    drop(turn);
    tokio::time::sleep(LATE).await;
    let mut effects: Vec<_> =
        sandbox.effects().into_iter().map(|(kind, what)| format!("{kind}: {what}")).collect();
    if effects.is_empty() {
        pool.clean.lock().unwrap().push(sandbox);
    }
    if case.effect == "says" && seen.stdout.contains("legator-did-it") {
        effects.push("says".into());
    }
    (case, seen, effects)
}

fn order(confine: &Confine, argv: &[String]) -> Order {
    Order {
        argv: argv.to_vec(),
        cwd: None,
        confine: confine.clone(),
        // Some wait for an answer of the sandbox's socket, when they can reach it.
        timeout: Duration::from_secs(if *confine == Confine::Observe { 20 } else { 5 }),
        secrets: Arc::new(Secrets::new(Path::new("/var/lib/legator-probe"), &[]).unwrap()),
        limits: Limits::default(),
    }
}

async fn seen(cage: &Cage, order: Order, id: &str) -> Seen {
    let argv = order.argv.clone();
    match cage.capture(order).await {
        Ok((exit, out, err)) => {
            let hinted = hint::hint(&argv, &exit).is_some();
            let (stdout, stderr) =
                (String::from_utf8_lossy(&out).into(), String::from_utf8_lossy(&err).into());
            Seen { code: exit.code, stdout, stderr, hinted }
        }
        Err(CageError::Start { detail, .. }) => {
            Seen { code: None, stdout: String::new(), stderr: detail, hinted: false }
        }
        Err(error) => panic!("{id}: {error}"),
    }
}

/// Runs the lines a few at a time and gives each with the effects that were seen after a wait for late writers.
async fn run(
    cage: &Cage,
    pool: &Pool<'_>,
    confine: Confine,
    list: Vec<Case>,
) -> Vec<(Case, Seen, Vec<String>)> {
    let jobs = list.into_iter().map(|case| one(cage, pool, &confine, case));
    futures::stream::iter(jobs).buffer_unordered(AT_ONCE).collect().await
}

fn holds(effects: &[String], kind: &str) -> bool {
    effects.iter().any(|effect| effect.starts_with(kind))
}

async fn nothing_mutates(cage: &Cage, pool: &Pool<'_>, who: &str) {
    let list = mutating();
    let count = list.len();
    let ran = run(cage, pool, Confine::Observe, list).await;
    // A line whose target does not exist has to fail by itself, neither hang nor crash.
    let unclean =
        |case: &Case, seen: &Seen| case.effect == "none" && seen.code.is_none() && seen.stderr.is_empty();
    let bad: Vec<_> =
        ran.iter().filter(|(case, seen, effects)| !effects.is_empty() || unclean(case, seen)).collect();
    for (case, seen, effects) in &bad {
        eprintln!("EFFECT {}: {effects:?}\n{}{}", case.id, seen.stdout, seen.stderr);
    }
    assert!(bad.is_empty(), "{} lines had an effect", bad.len());
    eprintln!("cage as {who}: {count} mutating lines, 0 with an effect");
    assert!(count >= 120);
}

async fn reads_work(cage: &Cage, pool: &Pool<'_>, who: &str) {
    let (list, skipped): (Vec<_>, Vec<_>) = reading().into_iter().partition(available);
    // Only what this user or kernel has no right to is passed over; it is printed below.
    let rights = ["root", "cap-syslog"];
    for case in &skipped {
        assert!(
            case.needs.iter().any(|need| rights.contains(&need.as_str())),
            "{} cannot be run here",
            case.id
        );
    }
    let skipped: Vec<_> =
        skipped.into_iter().map(|case| format!("{} (needs {})", case.id, case.needs.join(", "))).collect();
    let own_tmp = || {
        std::fs::read_dir("/tmp")
            .unwrap()
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().starts_with("tmp."))
            .count()
    };
    let tmp = own_tmp();
    let ran = run(cage, pool, Confine::Observe, list).await;
    let mut bad = 0;
    for (case, seen, effects) in &ran {
        let wrong = complaints(&case.must, seen);
        if !wrong.is_empty() || !effects.is_empty() {
            bad += 1;
            eprintln!(
                "READ {}: {wrong:?} {effects:?}\ncode {:?}\n{}\n{}",
                case.id, seen.code, seen.stdout, seen.stderr
            );
        }
    }
    assert_eq!(bad, 0, "reads that do not work");
    assert_eq!(own_tmp(), tmp, "the host's own /tmp");
    eprintln!("cage as {who}: {} reads as they must be; not run: {skipped:?}", ran.len());
    assert!(ran.len() >= 40);
}

async fn oracle_sees(cage: &Cage, pool: &Pool<'_>, who: &str) {
    let list: Vec<_> = mutating().into_iter().filter(|case| case.checked && available(case)).collect();
    let count = list.len();
    let ran = run(cage, pool, Confine::Unconfined, list).await;
    let blind: Vec<_> = ran.iter().filter(|(case, _, effects)| !holds(effects, &case.effect)).collect();
    for (case, seen, effects) in &blind {
        eprintln!(
            "control without effect: {} ({}): {effects:?} {} {}",
            case.id,
            case.effect,
            seen.stdout.trim(),
            seen.stderr.trim()
        );
    }
    eprintln!(
        "control as {who}: of {count} lines run without a cage, {} had the effect",
        count - blind.len()
    );
    assert!(count - blind.len() >= 100, "the oracle is blind");
}

async fn each_layer_off(cage: &Cage, pool: &Pool<'_>, who: &str) {
    let lines: Vec<_> = mutating().into_iter().filter(|case| case.effect != "none").collect();
    let pairs = Layer::ALL.into_iter().flat_map(|layer| lines.iter().cloned().map(move |case| (layer, case)));
    let jobs = pairs.map(|(layer, case)| async move {
        let (case, _, effects) = one(&cage.clone().without(layer), pool, &Confine::Observe, case).await;
        (layer, case.id, !effects.is_empty())
    });
    let ran: Vec<(Layer, String, bool)> =
        futures::stream::iter(jobs).buffer_unordered(AT_ONCE).collect().await;
    for layer in Layer::ALL {
        let mut held: Vec<_> = ran
            .iter()
            .filter(|(off, _, effect)| *off == layer && *effect)
            .map(|(_, id, _)| id.as_str())
            .collect();
        held.sort_unstable();
        let (count, all) = (held.len(), lines.len());
        eprintln!("cage as {who} without {layer}: {count} of {all} lines have an effect: {}", held.join(" "));
    }
    let alone = |layer: Layer| ran.iter().any(|(off, _, effect)| *off == layer && *effect);
    assert!(alone(Layer::Seccomp), "switching a layer off changes nothing: is it switched at all?");
}

fn cage_and_base() -> (Cage, Base) {
    let missing = missing_tools();
    assert!(missing.is_empty(), "run scripts/setup.sh; missing: {missing:?}");
    let cage = Cage::with_helper(user::helper());
    let report = cage.report();
    assert!(report.is_full(), "{report:?}");
    (cage, Base::new())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn as_root_no_line_has_an_effect_and_the_reads_work() {
    user::need_root();
    let (cage, base) = cage_and_base();
    runtime().block_on(async {
        let pool = Pool::new(&base);
        nothing_mutates(&cage, &pool, "root").await;
        reads_work(&cage, &pool, "root").await;
    });
}

#[test]
fn as_root_the_oracle_sees_what_happens_without_a_cage() {
    user::need_root();
    let (cage, base) = cage_and_base();
    runtime().block_on(oracle_sees(&cage, &Pool::new(&base), "root"));
}

#[test]
fn as_root_with_each_layer_off_in_turn() {
    user::need_root();
    let (cage, base) = cage_and_base();
    runtime().block_on(each_layer_off(&cage, &Pool::new(&base), "root"));
}

#[test]
fn as_an_ordinary_user_no_line_has_an_effect_and_the_reads_work() {
    if user::became_ordinary("as_an_ordinary_user_no_line_has_an_effect_and_the_reads_work") {
        return;
    }
    let (cage, base) = cage_and_base();
    runtime().block_on(async {
        let pool = Pool::new(&base);
        nothing_mutates(&cage, &pool, "an ordinary user").await;
        reads_work(&cage, &pool, "an ordinary user").await;
    });
}

#[test]
fn as_an_ordinary_user_with_each_layer_off_in_turn() {
    if user::became_ordinary("as_an_ordinary_user_with_each_layer_off_in_turn") {
        return;
    }
    let (cage, base) = cage_and_base();
    runtime().block_on(each_layer_off(&cage, &Pool::new(&base), "an ordinary user"));
}
