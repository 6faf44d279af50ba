//! Every way to spoil a copy of a log is found, with its position.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use crate::event::{About, Actor, Event};
use crate::ids::{EventId, TraceId};
use crate::merkle::{Frontier, Tree};
use crate::time::Timestamp;
use proptest::prelude::*;

const TENANT: TenantId = TenantId::DEFAULT;

#[derive(Clone)]
enum Item {
    Record(Record),
    Checkpoint(Checkpoint),
}

fn event(number: u64, tenant: TenantId) -> String {
    let event = Event {
        id: EventId::new(number.into()),
        tenant,
        at: Timestamp::from_millis(1_700_000_000_000 + i64::try_from(number).unwrap() * 1000),
        kind: "plan.made".into(),
        actor: Actor::system("test"),
        trace: TraceId::new(1),
        about: About::nothing(),
        data: serde_json::json!({ "n": number }),
    };
    serde_json::to_string(&event).unwrap()
}

fn record(number: u64) -> Record {
    let event = event(number, TENANT);
    Record { number, leaf: leaf(number, TENANT, &event), event }
}

/// A log of so many records with a checkpoint after every seventh and at the end.
fn log(count: u64) -> Vec<Item> {
    let mut frontier = Frontier::new();
    let mut items = Vec::new();
    for number in 1..=count {
        let record = record(number);
        frontier.push(record.leaf);
        items.push(Item::Record(record));
        if number % 7 == 0 || number == count {
            let at = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(number).unwrap() * 1000 + 500);
            items.push(Item::Checkpoint(Checkpoint {
                origin: origin("here", TENANT),
                tree: frontier.tree(),
                at,
            }));
        }
    }
    items
}

fn verify(items: &[Item], since: Option<Checkpoint>) -> Result<Report, Broken> {
    let mut verifier = Verifier::new("here", TENANT);
    if let Some(since) = since {
        verifier.since(since)?;
    }
    for item in items {
        match item {
            Item::Record(record) => verifier.record(record)?,
            Item::Checkpoint(checkpoint) => verifier.checkpoint(checkpoint.clone())?,
        }
    }
    verifier.finish()
}

fn newest(items: &[Item]) -> Checkpoint {
    let found = items.iter().rev().find_map(|item| match item {
        Item::Checkpoint(checkpoint) => Some(checkpoint.clone()),
        Item::Record(_) => None,
    });
    found.unwrap()
}

fn place(items: &[Item], number: u64) -> usize {
    items.iter().position(|item| matches!(item, Item::Record(record) if record.number == number)).unwrap()
}

/// A copy with all hashes and numbers made to fit again: what someone does who can write the export but not sign.
fn renumbered(items: &[Item]) -> Vec<Item> {
    let mut next = 1;
    let again = items.iter().map(|item| match item {
        Item::Record(old) => {
            let number = next;
            next += 1;
            Item::Record(Record { number, leaf: leaf(number, TENANT, &old.event), event: old.event.clone() })
        }
        Item::Checkpoint(checkpoint) => Item::Checkpoint(checkpoint.clone()),
    });
    again.collect()
}

#[test]
fn a_whole_log_verifies_and_its_end_is_proven_only_by_what_is_remembered() {
    let items = log(50);
    let report = verify(&items, None).unwrap();
    assert_eq!((report.records, report.signed, report.end), (50, 50, End::Unproven));
    let report = verify(&items, Some(newest(&items))).unwrap();
    assert_eq!(report.end, End::Proven);
    assert!(report.backdated.is_empty());
    assert_eq!(verify(&log(0), None).unwrap().records, 0);
}

type Case = (&'static str, Broken, Broken);

fn spoiled(change: impl FnOnce(&mut Vec<Item>)) -> Broken {
    let mut items = log(50);
    let remembered = newest(&items);
    change(&mut items);
    verify(&items, Some(remembered)).unwrap_err()
}

fn all_named(what: &str, cases: &[Case]) {
    for (name, found, wanted) in cases {
        assert_eq!(found, wanted, "{name}");
    }
    eprintln!("audit: {} attacks on {what} named with their position", cases.len());
}

#[test]
fn each_attack_on_a_row_is_named_with_its_position() {
    let whole = log(50);
    let at = |number| place(&whole, number);
    let repeated = |expected, found| Broken::Repeated { expected, found };
    let missing = |expected, found| Broken::Missing { expected, found };
    let forged = leaf(30, TENANT, &event(31, TENANT));
    let renumber = |items: &mut Vec<Item>| {
        items.remove(at(20));
        *items = renumbered(items);
    };
    let nothing = |items: &mut Vec<Item>| {
        let text = "{}".to_owned();
        items[at(3)] = Item::Record(Record { number: 3, leaf: leaf(3, TENANT, &text), event: text });
    };
    let why = "missing field `id` at line 1 column 2".to_owned();
    let own = record(30).leaf;
    let cases: Vec<Case> = vec![
        ("delete", spoiled(|items| drop(items.remove(at(20)))), missing(20, 21)),
        ("swap", spoiled(|items| items.swap(at(8), at(9))), missing(8, 9)),
        ("edit", spoiled(|items| items[at(30)] = edited(30, own)), Broken::Changed { number: 30 }),
        (
            "edit with its hash",
            spoiled(|items| items[at(30)] = edited(30, forged)),
            Broken::Root { from: 29, to: 35, size: 35 },
        ),
        ("insert", spoiled(|items| items.insert(at(5), Item::Record(record(4)))), repeated(5, 4)),
        ("duplicate", spoiled(|items| items.insert(at(17), Item::Record(record(17)))), repeated(18, 17)),
        ("delete and number anew", spoiled(renumber), Broken::Root { from: 15, to: 21, size: 21 }),
        (
            "a row of another tenant",
            spoiled(|items| items[at(12)] = foreign(12)),
            Broken::OtherTenant { number: 12, tenant: TenantId::new(2) },
        ),
        ("no event", spoiled(nothing), Broken::NoEvent { number: 3, why }),
    ];
    all_named("rows", &cases);
}

#[test]
fn each_attack_on_the_log_is_named_with_its_position() {
    let whole = log(50);
    let remembered = newest(&whole);
    let at = |number| place(&whole, number);
    let other = Checkpoint { origin: origin("elsewhere", TENANT), ..remembered.clone() };
    let forged = Checkpoint { tree: Tree { size: 14, root: Digest::of(b"forged") }, ..remembered };
    let restored = |items: &mut Vec<Item>| {
        let (before, after) = (log(43), log(60));
        *items = before[..place(&before, 42)].to_vec();
        items.extend(after[place(&after, 43)..].iter().cloned());
    };
    let cases: Vec<Case> = vec![
        (
            "delete the tail and its checkpoints",
            spoiled(|items| items.truncate(at(40))),
            Broken::Truncated { size: 50, records: 39 },
        ),
        ("cut off everything", spoiled(Vec::clear), Broken::Truncated { size: 50, records: 0 }),
        (
            "a checkpoint of another log",
            spoiled(|items| items.insert(3, Item::Checkpoint(other))),
            Broken::OtherLog { found: origin("elsewhere", TENANT), wanted: origin("here", TENANT) },
        ),
        (
            "a second root of one size",
            spoiled(|items| items.insert(at(15), Item::Checkpoint(forged))),
            Broken::Forked { size: 14 },
        ),
        ("fork after a restored backup", spoiled(restored), Broken::Missing { expected: 42, found: 43 }),
    ];
    all_named("logs", &cases);
}

fn edited(number: u64, leaf: Digest) -> Item {
    Item::Record(Record { number, event: event(number + 1, TENANT), leaf })
}

fn foreign(number: u64) -> Item {
    let event = event(number, TenantId::new(2));
    Item::Record(Record { number, leaf: leaf(number, TENANT, &event), event })
}

#[test]
fn a_fork_that_was_signed_anew_is_found_by_what_is_remembered() {
    let remembered = newest(&log(50));
    let mut forked: Vec<Item> = log(40);
    let mut frontier = Frontier::new();
    (1..=40).for_each(|number| frontier.push(record(number).leaf));
    for number in 41..=60u64 {
        let event = event(number + 1000, TENANT);
        let record = Record { number, leaf: leaf(number, TENANT, &event), event };
        frontier.push(record.leaf);
        forked.push(Item::Record(record));
    }
    forked.push(Item::Checkpoint(Checkpoint { tree: frontier.tree(), ..remembered.clone() }));
    assert!(verify(&forked, None).is_ok(), "without a memory nobody can tell");
    assert_eq!(verify(&forked, Some(remembered)), Err(Broken::Root { from: 41, to: 50, size: 50 }));
}

#[test]
fn a_record_that_is_dated_before_a_checkpoint_which_it_follows_is_named() {
    let items = log(200);
    let mut verifier = Verifier::new("here", TENANT);
    let mut frontier = Frontier::new();
    for item in &items {
        match item {
            Item::Record(record) => {
                frontier.push(record.leaf);
                verifier.record(record).unwrap();
            }
            Item::Checkpoint(checkpoint) => verifier.checkpoint(checkpoint.clone()).unwrap(),
        }
    }
    let old = event(3, TENANT);
    let late = Record { number: 201, leaf: leaf(201, TENANT, &old), event: old };
    verifier.record(&late).unwrap();
    assert_eq!(verifier.finish().unwrap().backdated, vec![201]);
}

#[test]
fn a_checkpoint_survives_its_text_and_no_other_text_is_one() {
    let checkpoint = newest(&log(5));
    assert_eq!(Checkpoint::parse(&checkpoint.body()), Ok(checkpoint.clone()));
    let body = checkpoint.body();
    for bad in [
        body.trim_end().to_owned(),
        body.replace("\n5\n", "\n05\n"),
        format!("{body}more\n"),
        body.replacen("legator", "", 1) + "x",
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_flip_drop_swap_insert_or_cut_passes(
        count in 2u64..60, what in 0u8..5, a in 0usize..1000, b in 0usize..1000, bit in 0u8..7, fit: bool,
    ) {
        let items = log(count);
        let remembered = newest(&items);
        let records: Vec<usize> = (1..=count).map(|number| place(&items, number)).collect();
        let (first, second) = (records[a % records.len()], records[b % records.len()]);
        let mut spoiled = items.clone();
        match what {
            0 => {
                let Item::Record(record) = &mut spoiled[first] else { panic!() };
                let mut bytes = record.event.clone().into_bytes();
                let place = b % bytes.len();
                bytes[place] ^= 1 << bit;
                let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
                record.event = text;
            }
            1 => drop(spoiled.remove(first)),
            2 if first != second => spoiled.swap(first, second),
            3 => spoiled.insert(first, items[second].clone()),
            _ => spoiled.truncate(first),
        }
        if fit {
            spoiled = renumbered(&spoiled);
        }
        // What follows the last checkpoint is signed by nobody, and the report says so.
        let passed = verify(&spoiled, Some(remembered)).is_ok_and(|report| report.signed == report.records);
        prop_assert!(!passed);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,300}") {
        let _ = Checkpoint::parse(&text);
        let _ = Note::parse(&text);
        let _ = serde_json::from_str::<Line>(&text);
    }
}
