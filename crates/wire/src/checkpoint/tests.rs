//! Notes and exports: what a trusted key did not sign proves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use legator_core::audit::{End, Record, leaf, origin};
use legator_core::event::{About, Actor, Event};
use legator_core::ids::{EventId, TenantId, TraceId};
use legator_core::merkle::Frontier;
use proptest::prelude::*;

const TENANT: TenantId = TenantId::DEFAULT;

fn keys() -> (AuthorityKey, CheckpointKey) {
    (AuthorityKey::from_secret(&[1; 32]), CheckpointKey::from_secret(&[2; 32]))
}

fn export(count: u64) -> Vec<String> {
    let (authority, key) = keys();
    let origin = origin("here", TENANT);
    let envelope = certify("here", &key.public(), &authority, Timestamp::EPOCH).to_json();
    let mut lines = vec![
        Line::Log { version: 1, origin: origin.clone(), tenant: TENANT },
        Line::Key { authority: authority.public().hex(), envelope },
    ];
    let mut frontier = Frontier::new();
    for number in 1..=count {
        let event = Event {
            id: EventId::new(number.into()),
            tenant: TENANT,
            at: Timestamp::EPOCH,
            kind: "plan.made".into(),
            actor: Actor::system("test"),
            trace: TraceId::new(1),
            about: About::nothing(),
            data: serde_json::json!({}),
        };
        let event = serde_json::to_string(&event).unwrap();
        let leaf = leaf(number, TENANT, &event);
        frontier.push(leaf);
        lines.push(Line::Record(Record { number, event, leaf }));
        let checkpoint = Checkpoint { origin: origin.clone(), tree: frontier.tree(), at: Timestamp::EPOCH };
        lines.push(Line::Checkpoint { note: sign(&checkpoint, &key) });
    }
    lines.iter().map(Line::to_json).collect()
}

fn check(lines: &[String], since: Option<String>) -> Result<Report, Broken> {
    verify(lines.iter().map(String::as_str), keys().0.public().fingerprint(), since)
}

fn newest_note(lines: &[String]) -> String {
    let Line::Checkpoint { note } = serde_json::from_str(lines.last().unwrap()).unwrap() else { panic!() };
    note
}

#[test]
fn an_export_verifies_under_the_pinned_authority_only() {
    let lines = export(20);
    assert_eq!(check(&lines, None).unwrap().end, End::Unproven);
    let report = check(&lines, Some(newest_note(&lines))).unwrap();
    assert_eq!((report.records, report.signed, report.end), (20, 20, End::Proven));
    let other = AuthorityKey::from_secret(&[9; 32]).public().fingerprint();
    let refused = verify(lines.iter().map(String::as_str), other, None);
    assert_eq!(refused, Err(Broken::Key { line: 2 }));
    assert_eq!(
        check(&lines[..10], Some(newest_note(&lines))),
        Err(Broken::Truncated { size: 20, records: 4 })
    );
    assert!(check(&[], None).is_err());
}

#[test]
fn a_key_that_the_authority_did_not_sign_signs_nothing() {
    let mut lines = export(3);
    lines.remove(1);
    assert_eq!(check(&lines, None), Err(Broken::Unsigned { line: 3 }));
    let (authority, _) = keys();
    let own = CheckpointKey::from_secret(&[5; 32]);
    let forged =
        certify("here", &own.public(), &AuthorityKey::from_secret(&[6; 32]), Timestamp::EPOCH).to_json();
    lines.insert(1, Line::Key { authority: authority.public().hex(), envelope: forged }.to_json());
    assert_eq!(check(&lines, None), Err(Broken::Key { line: 2 }));
}

#[test]
fn a_note_has_the_form_of_its_specification() {
    let (_, key) = keys();
    let checkpoint =
        Checkpoint { origin: "legator/here/x".into(), tree: Frontier::new().tree(), at: Timestamp::EPOCH };
    let note = sign(&checkpoint, &key);
    let lines: Vec<&str> = note.split('\n').collect();
    assert_eq!(
        lines[..5],
        [
            "legator/here/x",
            "0",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "at 1970-01-01T00:00:00.000Z",
            ""
        ]
    );
    assert!(lines[5].starts_with("\u{2014} legator/here/x "));
    assert_eq!(open(&note, &[key.public()]).unwrap(), checkpoint);
    assert_eq!(open(&note, &[CheckpointKey::from_secret(&[3; 32]).public()]), Err(BadNote::Signature));
}

proptest! {
    #[test]
    fn any_changed_character_of_an_export_is_found(line in 0usize..1000, place in 0usize..100_000, bit in 0u8..7) {
        let lines = export(6);
        let since = newest_note(&lines);
        let mut spoiled = lines.clone();
        let line = line % spoiled.len();
        let mut bytes = spoiled[line].clone().into_bytes();
        let place = place % bytes.len();
        bytes[place] ^= 1 << bit;
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        spoiled[line] = text;
        let found = check(&spoiled, Some(since));
        // The JSON of a line may be written in another way that means the same.
        let same = serde_json::from_str::<Line>(&spoiled[line]).ok() == serde_json::from_str::<Line>(&lines[line]).ok();
        prop_assert!(same || found.is_err(), "{}", spoiled[line]);
    }
}
