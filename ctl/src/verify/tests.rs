//! An export made with real keys, verified as it is, and after each kind of harm.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use legator_core::audit::{Checkpoint, Record, leaf, origin};
use legator_core::ids::TenantId;
use legator_core::merkle::Frontier;
use legator_core::time::Timestamp;
use legator_wire::checkpoint::{certify, sign};
use legator_wire::keys::{AuthorityKey, CheckpointKey, Signer as _};
use std::path::PathBuf;

const INSTALLATION: &str = "sha256:test";

struct Export {
    lines: Vec<String>,
    pin: Digest,
}

fn event(number: u64) -> String {
    format!(
        r#"{{"id":"event_{number:032x}","tenant":"{}","at":"2026-01-01T00:00:00.000Z","kind":"task.ended","actor":{{"kind":"system","part":"test"}},"trace":"trace_{number:032x}","data":{{}}}}"#,
        TenantId::DEFAULT
    )
}

fn export(records: u64) -> Export {
    let authority = AuthorityKey::from_secret(&[1; 32]);
    let key = CheckpointKey::from_secret(&[2; 32]);
    let now = Timestamp::from_millis(1_767_225_600_000);
    let origin = origin(INSTALLATION, TenantId::DEFAULT);
    let envelope = certify(INSTALLATION, &key.public(), &authority, now).to_json();
    let mut lines = vec![
        Line::Log { version: 1, origin: origin.clone(), tenant: TenantId::DEFAULT }.to_json(),
        Line::Key { authority: authority.public().hex(), envelope }.to_json(),
    ];
    let mut frontier = Frontier::new();
    for number in 1..=records {
        let event = event(number);
        let leaf = leaf(number, TenantId::DEFAULT, &event);
        frontier.push(leaf);
        lines.push(Line::Record(Record { number, event, leaf }).to_json());
    }
    let tree = frontier.tree();
    let checkpoint = Checkpoint { origin, tree, at: now };
    lines.push(Line::Checkpoint { note: sign(&checkpoint, &key) }.to_json());
    Export { lines, pin: authority.public().fingerprint() }
}

fn written(lines: &[String]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(LOG);
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    (dir, path)
}

#[test]
fn an_untouched_export_holds_for_the_pinned_authority_only() {
    let export = export(20);
    let (_dir, path) = written(&export.lines);
    let checked = log(&path, export.pin, None).ok().unwrap();
    assert_eq!((checked.report.records, checked.report.end), (20, End::Unproven));
    let proven = log(&path, export.pin, checked.note).ok().unwrap();
    assert_eq!(proven.report.end, End::Proven);
    assert!(log(&path, Digest::of(b"another authority"), None).is_err());
}

#[test]
fn each_kind_of_harm_is_named() {
    let export = export(20);
    let whole = |lines: Vec<String>| {
        let (_dir, path) = written(&lines);
        log(&path, export.pin, None).err().map(|fault| fault.text)
    };
    let mut cases = 0;
    for place in 2..22 {
        let mut dropped = export.lines.clone();
        dropped.remove(place);
        let mut doubled = export.lines.clone();
        doubled.insert(place, export.lines[place].clone());
        let mut edited = export.lines.clone();
        edited[place] = edited[place].replace("task.ended", "task.endet");
        for harmed in [dropped, doubled, edited] {
            assert!(whole(harmed).is_some(), "record {}", place - 1);
            cases += 1;
        }
    }
    let mut swapped = export.lines.clone();
    swapped.swap(5, 6);
    assert!(whole(swapped).unwrap().contains("record"), "the first broken record is named");
    let cut: Vec<String> = export.lines[..10].to_vec();
    assert!(whole(cut).is_some(), "records without a checkpoint prove nothing");
    eprintln!("verify: {} harmed exports", cases + 2);
}
