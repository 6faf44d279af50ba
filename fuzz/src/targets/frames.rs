//! Frames of a probe's connection, the envelopes in them, and the first proof of who is there.
//!
//! Promises: what parses is written and read again as the same; an envelope opens only as what was sealed, for its type and its key;
//! nobody is admitted but the host of the credential, on this very connection.

use super::text;
use crate::dice::Dice;
use crate::{Target, edits};
use legator_core::cage::CageReport;
use legator_core::digest::Digest;
use legator_core::ids::{HostId, InstanceId, TaskId, TenantId};
use legator_core::level::Level;
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_edge::Trust;
use legator_wire::approval::{Approval, Vote};
use legator_wire::checkpoint::CheckpointKeyStatement;
use legator_wire::credential::{Enrolment, Renewal};
use legator_wire::dsse::{Envelope, Payload};
use legator_wire::frame::{Down, Up};
use legator_wire::grant::Grant;
use legator_wire::hello::Hello;
use legator_wire::inventory::Inventory;
use legator_wire::keys::{AuthorityKey, ProbeKey, PublicKey, Signer as _};
use legator_wire::order::{Ack, Cancel, Limits};
use legator_wire::receipt::Receipt;
use std::collections::{BTreeMap, HashSet};
use std::sync::OnceLock;

const WORDS: &[&str] = &[
    "\"kind\":\"",
    "hello",
    "receipt",
    "grant",
    "\"payloadType\":\"",
    "\"signatures\":[",
    "\"sig\":\"",
    "\"keyid\":\"sha256:",
    "challenge",
    "welcome",
    "output",
    "started",
    "null",
    "\"leaf\":{",
    "task_",
    "plan_",
    "1970-10-28T00:00:00.000Z",
    "1e308",
    "-0.0",
];

pub(super) const UP: Target = Target { name: "up", hold: up, examples: up_examples, words: WORDS };
pub(super) const DOWN: Target = Target { name: "down", hold: down, examples: down_examples, words: WORDS };
pub(super) const ENVELOPE: Target =
    Target { name: "envelope", hold: envelope, examples: envelope_examples, words: WORDS };
pub(super) const HELLO: Target =
    Target { name: "hello", hold: hello, examples: hello_examples, words: WORDS };

fn up(bytes: &[u8]) {
    let Ok(frame) = Up::parse(&text(bytes)) else { return };
    let written = legator_wire::frame::text(&frame);
    let again = Up::parse(&written).expect("a frame that was read can be written and read");
    let figures = matches!(frame, Up::Beat(_));
    assert!(
        figures || legator_wire::frame::text(&again) == written,
        "{written} changes when it is read again"
    );
}

fn down(bytes: &[u8]) {
    let text = text(bytes);
    let Ok(frame) = Down::parse(&text) else {
        // Refused by name where it still says whose it is; either way it is read without harm.
        legator_probe::desk::claims_to_be_grant(&text);
        return;
    };
    let written = legator_wire::frame::text(&frame);
    let again = Down::parse(&written).expect("a frame that was read can be written and read");
    assert_eq!(legator_wire::frame::text(&again), written, "a frame changes when it is read again");
}

/// Frames as they were once written, and the corpus of bad ones.
fn frame_files(direction: &str) -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/wire/tests/frames/v1");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(direction));
    let mut files: Vec<Vec<u8>> = names.filter_map(|entry| std::fs::read(entry.path()).ok()).collect();
    files.sort();
    files.into_iter().map(|file| file.trim_ascii().to_vec()).collect()
}

fn up_examples() -> Vec<Vec<u8>> {
    let mut files = frame_files("up");
    let more = [
        r#"{"kind":"busy","task":"task_00000000000000000000000000000009"}"#,
        r#"{"kind":"busy","task":"task_00000000000000000000000000000009","task":"x"}"#,
        r#"{"kind":"started","plan":"plan_00000000000000000000000000000003","task":"task_00000000000000000000000000000009"}"#,
        r#"{"kind":"hello","credential":"a.b.c","envelope":{"payloadType":"x","payload":"","signatures":[]}}"#,
        r#"{"kind":"output","plan":"plan_00000000000000000000000000000003","task":"task_00000000000000000000000000000009","stream":"stderr","offset":18446744073709551615,"bytes":"AA=="}"#,
        r#"{"kind":"welcome","epoch":1,"beat_ms":1,"now":"2026-01-01T00:00:00Z"}"#,
        "{}",
        "",
    ];
    files.extend(more.iter().map(|frame| frame.as_bytes().to_vec()));
    files
}

fn down_examples() -> Vec<Vec<u8>> {
    let mut files = frame_files("down");
    files.push(br#"{"kind":"grant","leaf":{"task":"task_00000000000000000000000000000009"}}"#.to_vec());
    files
}

pub(super) const INSTALLATION: &str = "here";

pub(super) fn now() -> Timestamp {
    Timestamp::EPOCH + Span::from_secs(86_400 * 300)
}

pub(super) fn authority() -> AuthorityKey {
    AuthorityKey::from_secret(&[1; 32])
}

pub(super) fn probe_key() -> ProbeKey {
    ProbeKey::from_secret(&[4; 32])
}

pub(super) const HOST: HostId = HostId::new(71);
const EDGE: InstanceId = InstanceId::new(5);
const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn good_hello() -> Hello {
    Hello {
        installation: INSTALLATION.into(),
        host: HOST,
        edge: EDGE,
        nonce: NONCE.into(),
        instance: InstanceId::new(6),
        hostname: "web-03".into(),
        version: "0.1.0".into(),
        cage: CageReport::full(),
        max_level: Level::Remediate,
        limits_version: 3,
        running: vec![TaskId::new(9)],
        made_at: now(),
    }
}

/// Good envelopes, one of each of these kinds.
fn envelopes() -> &'static [Envelope] {
    static SEALED: OnceLock<Vec<Envelope>> = OnceLock::new();
    SEALED.get_or_init(|| {
        let (authority, probe) = (authority(), probe_key());
        let (task, made_at) = (TaskId::new(9), now());
        let installation = || INSTALLATION.to_owned();
        let approver = legator_wire::keys::ApproverKey::from_secret(&[101; 32]);
        let approval = Approval {
            installation: installation(),
            plan: Digest::of(b"plan"),
            decision: Vote::Approve,
            person: legator_core::ids::PersonId::new(6),
            key: approver.public().fingerprint(),
            made_at,
            expires_at: made_at + Span::from_secs(600),
        };
        let limits = Limits {
            installation: installation(),
            host: HOST,
            version: 4,
            ceiling: Level::Diagnose,
            freezes: vec![],
            made_at,
        };
        let enrolment = Enrolment {
            token: "lt_x".into(),
            key: probe.public(),
            name: None,
            hostname: "web-03".into(),
            labels: BTreeMap::new(),
            made_at,
        };
        let parts = BTreeMap::from([("cpu".to_owned(), serde_json::json!({"cores": 2}))]);
        let inventory =
            Inventory { installation: installation(), host: HOST, sequence: 1, whole: true, parts, made_at };
        let ack =
            Ack { installation: installation(), host: HOST, task, receipt: Digest::of(b"receipt"), made_at };
        vec![
            Envelope::seal(&Cancel { installation: installation(), host: HOST, task, made_at }, &authority),
            Envelope::seal(&limits, &authority),
            Envelope::seal(&ack, &authority),
            Envelope::seal(&approval, &approver),
            Envelope::seal(&enrolment, &probe),
            Envelope::seal(&Renewal { installation: installation(), host: HOST, made_at }, &probe),
            Envelope::seal(&inventory, &probe),
            Envelope::seal(&good_hello(), &probe),
            legator_wire::checkpoint::certify(INSTALLATION, &approver.public(), &authority, made_at),
        ]
    })
}

fn opened<P: Payload>(envelope: &Envelope, keys: &[PublicKey]) -> bool {
    keys.iter().any(|key| envelope.open::<P>(key).is_ok())
}

/// Bytes that begin with a brace are an envelope; others are choices of changes to a good one.
fn envelope(bytes: &[u8]) {
    let mut value = match bytes.first() {
        Some(b'{') => serde_json::from_slice(bytes).unwrap_or_default(),
        _ => {
            let mut dice = Dice::new(bytes);
            let good = envelopes();
            let mut value = serde_json::to_value(&good[dice.of(good.len())]).unwrap();
            edits::edit(&mut value, &mut dice);
            value
        }
    };
    let Ok(envelope) = serde_json::from_value::<Envelope>(value.take()) else { return };
    let again: Envelope = serde_json::from_str(&envelope.to_json()).expect("an envelope is read again");
    assert_eq!(again, envelope);
    let approver = legator_wire::keys::ApproverKey::from_secret(&[101; 32]).public();
    let keys = [authority().public(), probe_key().public(), approver];
    let opens = [
        opened::<Grant>(&envelope, &keys),
        opened::<Receipt>(&envelope, &keys),
        opened::<Hello>(&envelope, &keys),
        opened::<Inventory>(&envelope, &keys),
        opened::<Cancel>(&envelope, &keys),
        opened::<Limits>(&envelope, &keys),
        opened::<Ack>(&envelope, &keys),
        opened::<Approval>(&envelope, &keys),
        opened::<Enrolment>(&envelope, &keys),
        opened::<Renewal>(&envelope, &keys),
        opened::<CheckpointKeyStatement>(&envelope, &keys),
    ];
    let count = opens.iter().filter(|opens| **opens).count();
    let sealed = envelopes().contains(&envelope);
    assert!(count == usize::from(sealed), "opens as {count} payloads; sealed by us: {sealed}");
}

fn envelope_examples() -> Vec<Vec<u8>> {
    let whole = envelopes().iter().map(|envelope| envelope.to_json().into_bytes());
    let changes = (0..12u8).map(|n| vec![n, n.wrapping_mul(37), 2, n, 7, n.wrapping_mul(11), 1, n]);
    whole.chain(changes).collect()
}

fn credential() -> &'static str {
    static MADE: OnceLock<String> = OnceLock::new();
    MADE.get_or_init(|| {
        let bearer = legator_worker::credential::Bearer {
            host: HOST,
            tenant: TenantId::DEFAULT,
            key: probe_key().public(),
        };
        legator_worker::credential::issue(&authority(), INSTALLATION, &bearer, now()).unwrap().0
    })
}

/// The first frame of a connection: as it is when it begins with a brace, else changes of a good one.
fn hello(bytes: &[u8]) {
    let mut value = serde_json::json!({"credential": credential(), "envelope": Envelope::seal(&good_hello(), &probe_key())});
    match bytes.first() {
        Some(b'{') => value = serde_json::from_slice(bytes).unwrap_or_default(),
        _ => edits::edit(&mut value, &mut Dice::new(bytes)),
    }
    let Some(credential) = value["credential"].as_str().map(str::to_owned) else { return };
    let Ok(envelope) = serde_json::from_value::<Envelope>(value["envelope"].take()) else { return };
    let trust = Trust {
        installation: INSTALLATION.into(),
        authorities: vec![authority().public()],
        revoked: HashSet::new(),
        version: 1,
    };
    let demand = legator_edge::Demand { edge: EDGE, nonce: NONCE, now: now() };
    if let Ok(admitted) = legator_edge::check(&trust, &demand, &credential, &envelope) {
        assert_eq!((admitted.host, admitted.tenant), (HOST, TenantId::DEFAULT));
        assert_eq!(admitted.key, probe_key().public());
        assert_eq!(admitted.hello, good_hello(), "another hello than the one that the probe signed");
    }
}

fn hello_examples() -> Vec<Vec<u8>> {
    let envelope = Envelope::seal(&good_hello(), &probe_key());
    let good = serde_json::json!({"credential": credential(), "envelope": envelope}).to_string();
    let changes = (1..20u8).map(|n| vec![n, n.wrapping_mul(29), n, 5, n.wrapping_mul(13), 3, n]);
    std::iter::once(good.into_bytes()).chain(changes).collect()
}
