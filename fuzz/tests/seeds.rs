//! Every seed again, and the same few thousand mutations of them in every run: no promise of a reader is broken.
//!
//! Reads `fuzz/seeds`; writes nothing. The long runs with coverage are `scripts/fuzz.sh`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use legator_fuzz::Target;
use legator_fuzz::mutate::{Numbers, mutated};
use legator_fuzz::targets::ALL;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Seeds of one target, at least.
const SEEDS_MIN: usize = 10;
/// Mutations of one target.
const MUTATIONS: usize = 300;
/// The longest that one input of at most a few kilobytes may take, in a debug build on a busy machine.
const SLOW: Duration = Duration::from_secs(10);

fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

/// What is wrong when a promise is broken on this input.
fn fault(target: &Target, what: &str, bytes: &[u8]) -> Option<String> {
    let begun = Instant::now();
    let held = catch_unwind(AssertUnwindSafe(|| (target.hold)(bytes)));
    let took = begun.elapsed();
    let broken = held.is_err() || took > SLOW;
    broken.then(|| format!("{} {what}, {} ms: {}", target.name, took.as_millis(), bytes.escape_ascii()))
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "{} inputs break a promise:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_seed_holds() {
    let (mut count, mut faults) = (0, Vec::new());
    for target in ALL {
        let seeds = seeds(target);
        assert!(seeds.len() >= SEEDS_MIN, "{} has {} seeds", target.name, seeds.len());
        faults.extend(seeds.iter().filter_map(|(name, bytes)| fault(target, name, bytes)));
        count += seeds.len();
    }
    eprintln!("fuzz: {count} seeds of {} targets held", ALL.len());
    report(&faults);
}

#[test]
fn mutations_of_the_seeds_hold() {
    let (mut count, mut faults) = (0, Vec::new());
    for target in ALL {
        let seeds = seeds(target);
        // A policy is compiled each time.
        let wanted = if target.name == "policy" { MUTATIONS / 10 } else { MUTATIONS };
        let mut numbers = Numbers::from(target.name.bytes().map(u64::from).sum());
        for _ in 0..wanted {
            let (name, seed) = seeds.get(numbers.below(seeds.len())).unwrap();
            faults.extend(fault(target, name, &mutated(seed, target.words, &mut numbers)));
        }
        count += wanted;
    }
    eprintln!("fuzz: {count} mutations of {} targets held", ALL.len());
    report(&faults);
}

#[test]
fn every_folder_of_seeds_has_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for entry in fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(legator_fuzz::find(&name).is_some(), "seeds of {name}, which is no target");
    }
}
