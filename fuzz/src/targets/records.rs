//! What proves the audit log: checkpoint notes, Merkle proofs, whole exports.
//!
//! Promises: a note has one form; a signature of another is none; a leaf is proven at its own place alone; no copy of a log with another
//! record in it passes, and with a remembered checkpoint no shorter one.

use super::text;
use crate::Target;
use crate::dice::Dice;
use legator_core::audit::{self, Checkpoint, Line, Note, Record};
use legator_core::digest::Digest;
use legator_core::event::{About, Actor, Event};
use legator_core::ids::{EventId, TenantId, TraceId};
use legator_core::merkle::{Frontier, Tree, consistency, consistent, included, inclusion, leaf_hash, root};
use legator_core::time::Timestamp;
use legator_wire::checkpoint::{certify, open, sign, verify};
use legator_wire::keys::{AuthorityKey, CheckpointKey, Signer as _};
use std::sync::OnceLock;

const WORDS: &[&str] = &[
    "\n\n\u{2014} ",
    "at 2023-11-14T22:13:20.000Z",
    "legator/here/tenant_",
    "\"kind\":\"checkpoint\"",
    "\"number\":",
];

pub(super) const CHECKPOINT: Target =
    Target { name: "checkpoint", hold: checkpoint, examples: checkpoint_examples, words: WORDS };
pub(super) const MERKLE: Target =
    Target { name: "merkle", hold: merkle, examples: merkle_examples, words: &[] };
pub(super) const EXPORT: Target =
    Target { name: "export", hold: export, examples: export_examples, words: WORDS };

const TENANT: TenantId = TenantId::DEFAULT;
const RECORDS: u64 = 9;

/// An export of nine records with two checkpoints, and what is known of it.
struct Log {
    lines: Vec<String>,
    events: Vec<String>,
    notes: Vec<String>,
    pin: Digest,
}

fn keys() -> (AuthorityKey, CheckpointKey) {
    (AuthorityKey::from_secret(&[1; 32]), CheckpointKey::from_secret(&[2; 32]))
}

fn moment(number: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + i64::try_from(number).unwrap() * 1000)
}

fn event(number: u64) -> String {
    let event = Event {
        id: EventId::new(number.into()),
        tenant: TENANT,
        at: moment(number),
        kind: "plan.made".into(),
        actor: Actor::system("test"),
        trace: TraceId::new(1),
        about: About::nothing(),
        data: serde_json::json!({"n": number}),
    };
    serde_json::to_string(&event).unwrap()
}

fn log() -> &'static Log {
    static MADE: OnceLock<Log> = OnceLock::new();
    MADE.get_or_init(|| {
        let (authority, key) = keys();
        let origin = audit::origin("here", TENANT);
        let envelope = certify("here", &key.public(), &authority, moment(0)).to_json();
        let mut lines = vec![
            Line::Log { version: 1, origin: origin.clone(), tenant: TENANT }.to_json(),
            Line::Key { authority: authority.public().hex(), envelope }.to_json(),
        ];
        let (mut frontier, mut events, mut notes) = (Frontier::new(), Vec::new(), Vec::new());
        for number in 1..=RECORDS {
            let event = event(number);
            let leaf = audit::leaf(number, TENANT, &event);
            frontier.push(leaf);
            lines.push(Line::Record(Record { number, event: event.clone(), leaf }).to_json());
            events.push(event);
            if number == 5 || number == RECORDS {
                let checkpoint =
                    Checkpoint { origin: origin.clone(), tree: frontier.tree(), at: moment(number) };
                notes.push(sign(&checkpoint, &key));
                lines.push(Line::Checkpoint { note: notes.last().unwrap().clone() }.to_json());
            }
        }
        Log { lines, events, notes, pin: authority.public().fingerprint() }
    })
}

fn checkpoint(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(checkpoint) = Checkpoint::parse(&text) {
        assert_eq!(checkpoint.body(), text, "a checkpoint with a second form");
    }
    let Ok(note) = Note::parse(&text) else { return };
    assert_eq!(note.text(), text, "a note with a second form");
    if let Ok(checkpoint) = open(&text, &[keys().1.public()]) {
        let known = log().notes.iter().any(|signed| signed.starts_with(&checkpoint.body()));
        assert!(known, "a checkpoint that nobody signed: {checkpoint:?}");
    }
}

fn checkpoint_examples() -> Vec<Vec<u8>> {
    let log = log();
    let other = CheckpointKey::from_secret(&[3; 32]);
    let small = Checkpoint {
        origin: "x".into(),
        tree: Tree { size: 0, root: Digest::of(b"") },
        at: Timestamp::EPOCH,
    };
    let mut examples: Vec<String> = log.notes.clone();
    examples.extend([small.body(), sign(&small, &other)]);
    examples
        .extend(log.notes.iter().map(|note| note.split("\n\n").next().unwrap_or_default().to_owned() + "\n"));
    examples.push(log.notes[0].replace("\n5\n", "\n05\n"));
    examples.push(log.notes[0].replace("\n\n", "\n"));
    examples.push(log.notes[0].replace('\u{2014}', "-"));
    examples.push(log.notes[0].trim_end().to_owned());
    examples.push(log.notes[0].replace("\n5\n", "\n6\n"));
    examples.push(format!("{}{}", log.notes[0], log.notes[1].split("\n\n").nth(1).unwrap_or_default()));
    examples.into_iter().map(String::into_bytes).collect()
}

/// Some leaves, a proof that is changed, and a claim about it.
fn merkle(bytes: &[u8]) {
    let mut dice = Dice::new(bytes);
    let count = 1 + dice.of(40);
    let leaves: Vec<Digest> = (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let top = root(&leaves);
    let (index, claimed, leaf) = (dice.of(count), dice.of(count + 2), dice.of(count));
    let mut proof = inclusion(&leaves, index).expect("a leaf is in its tree");
    change(&mut proof, &leaves, &mut dice);
    let size = count as u64;
    if included(&leaves[leaf], claimed as u64, size, &proof, &top) {
        assert_eq!(leaf, claimed, "a leaf is proven at another place");
        assert_eq!(Some(proof), inclusion(&leaves, leaf), "a leaf has two proofs");
    }
    let older = 1 + dice.of(count);
    let mut proof = consistency(&leaves, older).expect("a beginning is in its tree");
    change(&mut proof, &leaves, &mut dice);
    let claimed = 1 + dice.of(count);
    let old = Tree { size: older as u64, root: root(&leaves[..claimed]) };
    if consistent(&old, &Tree { size, root: top }, &proof) {
        assert_eq!(claimed, older, "the root of another beginning is proven");
    }
}

fn change(proof: &mut Vec<Digest>, leaves: &[Digest], dice: &mut Dice<'_>) {
    let place = dice.of(proof.len());
    match dice.of(7) {
        1 if !proof.is_empty() => drop(proof.remove(place)),
        2 => proof.push(leaves[dice.of(leaves.len())]),
        3 if !proof.is_empty() => proof[place] = leaves[dice.of(leaves.len())],
        4 => proof.reverse(),
        5 => proof.insert(place, root(leaves)),
        _ => {}
    }
}

fn merkle_examples() -> Vec<Vec<u8>> {
    (0..30u8).map(|n| vec![n, n / 2, n / 2, n / 2, n % 3, n % 7, n, n / 3, n, n % 5, n / 3]).collect()
}

/// Bytes that begin with a brace are an export; others choose changes of a good one's lines.
fn export(bytes: &[u8]) {
    let good = log();
    let lines: Vec<String> = match bytes.first() {
        Some(b'{') => text(bytes).lines().map(str::to_owned).collect(),
        _ => changed(good.lines.clone(), &mut Dice::new(bytes)),
    };
    let read = |since: Option<String>| verify(lines.iter().map(String::as_str), good.pin, since);
    let events: Vec<String> = lines.iter().filter_map(|line| recorded(line)).collect();
    if let Ok(report) = read(None) {
        assert_eq!(report.records, events.len() as u64);
        let signed = usize::try_from(report.signed).unwrap();
        assert_eq!(events.get(..signed), good.events.get(..signed), "another record passes as signed");
        assert!(report.records == 0 || signed > 0, "records without a checkpoint pass");
    }
    if let Ok(report) = read(good.notes.last().cloned()) {
        assert!(report.signed >= RECORDS, "a shorter log passes, though its end is remembered");
        assert_eq!(events.get(..good.events.len()), Some(good.events.as_slice()));
    }
}

fn recorded(line: &str) -> Option<String> {
    match serde_json::from_str(line).ok()? {
        Line::Record(record) => Some(record.event),
        _ => None,
    }
}

fn changed(mut lines: Vec<String>, dice: &mut Dice<'_>) -> Vec<String> {
    for _ in 0..4 {
        let (from, to) = (dice.of(lines.len()), dice.of(lines.len()));
        match dice.of(8) {
            1 if !lines.is_empty() => drop(lines.remove(from)),
            2 if !lines.is_empty() => lines.swap(from, to),
            3 if !lines.is_empty() => lines.insert(to, lines[from].clone()),
            4 => lines.truncate(from),
            5 | 6 if !lines.is_empty() => {
                let mut chars: Vec<char> = lines[from].chars().collect();
                let at = dice.number() % chars.len().max(1);
                if let Some(found) = chars.get_mut(at) {
                    *found = char::from(dice.byte());
                }
                lines[from] = chars.into_iter().collect();
            }
            7 if !lines.is_empty() => {
                lines[from] = lines[from].replacen(&to.to_string(), &from.to_string(), 1)
            }
            _ => {}
        }
        if dice.is_used_up() {
            break;
        }
    }
    lines
}

fn export_examples() -> Vec<Vec<u8>> {
    let whole = std::iter::once(log().lines.join("\n").into_bytes());
    let shorter = std::iter::once(log().lines[..8].join("\n").into_bytes());
    let changes =
        (0..24u8).map(|n| vec![n % 13, n.wrapping_mul(5) % 13, n % 8, 0, n.wrapping_mul(11), n, n, n % 8]);
    whole.chain(shorter).chain(changes).collect()
}
