//! Every field, the signature, the addressee and the approvals of a grant, tampered with: refused by name; each good twin passes.
//!
//! Runs the table of `grants/cases.rs`, the corpus, and every single flipped bit of a sample.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_wire as wire;

#[path = "grants/cases.rs"]
mod cases;
#[path = "grants/scene.rs"]
mod scene;

use cases::{Fault, all, both};
use legator_core::ids::{HostId, TaskId};
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_wire::frame::Down;
use legator_wire::keys::{AuthorityKey, ProbeKey, Signer as _};
use legator_wire::refusal::Refusal;
use proptest::prelude::*;
use scene::Scene;
use serde::Deserialize;
use std::collections::BTreeMap;

fn good() -> Scene {
    let now = Timestamp::EPOCH + Span::from_secs(86_400 * 300);
    let key = ProbeKey::from_secret(&[4; 32]).public();
    Scene::good(
        (&AuthorityKey::from_secret(&[1; 32]), "here", HostId::new(71), key),
        now,
        TaskId::new(1 << 70),
    )
}

/// What the host says to a frame's text.
fn answer(scene: &Scene, text: &str) -> Result<(), Refusal> {
    match Down::parse(text) {
        Ok(Down::Grant(delivery)) => scene.check(&delivery).map(|_| ()),
        _ => Err(Refusal::Malformed),
    }
}

#[test]
fn every_fault_is_refused_by_its_name_and_its_twin_passes() {
    let cases = all();
    for case in &cases {
        let [(twin, fine), (scene, text)] = both(&good(), case);
        assert_eq!(answer(&twin, &fine), Ok(()), "the twin of {}", case.id);
        assert_eq!(answer(&scene, &text), Err(case.reason), "{}", case.id);
        if !matches!(case.fault, Fault::Host(_)) {
            assert_ne!(fine, text, "{} changes nothing", case.id);
        }
    }
    let reasons: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.reason.name()).collect();
    eprintln!("grants: {} faults refused by {} names, each with a good twin", cases.len(), reasons.len());
    assert!(cases.len() >= 30);
}

#[derive(Deserialize)]
struct Line {
    id: String,
    must: String,
    reason: Option<String>,
    /// Where the case runs: here (`check`) or with a real probe process (`probe`).
    at: String,
}

#[test]
fn the_corpus_and_the_table_name_the_same_cases() {
    let text = include_str!("corpus/grants.jsonl");
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let corpus: BTreeMap<&str, &Line> = lines.iter().map(|line| (line.id.as_str(), line)).collect();
    assert_eq!(corpus.len(), lines.len(), "an id stands twice");
    let cases = all();
    for case in &cases {
        let line = corpus.get(case.id).unwrap_or_else(|| panic!("{} is not in the corpus", case.id));
        assert_eq!(
            (line.must.as_str(), line.reason.as_deref()),
            ("refused", Some(case.reason.name())),
            "{}",
            case.id
        );
        assert_eq!(line.at, "check", "{}", case.id);
    }
    let here = lines.iter().filter(|line| line.at == "check").count();
    assert_eq!(here, cases.len(), "a line of the corpus has no case");
    eprintln!("corpus: {} lines, {here} of them checked here", lines.len());
}

#[test]
fn every_single_flipped_bit_of_a_delivery_is_refused() {
    let mut scene = good();
    scene.change("/tmp/x");
    scene.demand(2);
    scene.approve(&[1, 2]);
    let text = scene.frame().to_string();
    assert_eq!(answer(&scene, &text), Ok(()));
    // A flipped signature of one approver leaves the quorum short, so all of the frame counts.
    let mut flips = 0;
    for place in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            flips += 1;
            let Ok(flipped) = String::from_utf8(bytes) else { continue };
            assert!(answer(&scene, &flipped).is_err(), "bit {bit} of byte {place}: {flipped}");
        }
    }
    eprintln!("grants: {flips} single flipped bits refused");
}

#[test]
fn a_hostile_control_plane_with_the_true_authority_key_forges_a_thousand_times_and_gains_nothing() {
    let mut tries = 0;
    for n in 0..1_000u32 {
        let mut scene = good();
        scene.change("/tmp/x");
        scene.body.nonce = n.to_string();
        scene.demand(if n % 2 == 0 { 1 } else { 2 });
        forge(&mut scene, n);
        let text = scene.frame().to_string();
        assert_eq!(answer(&scene, &text), Err(Refusal::QuorumMissing), "try {n}");
        tries += 1;
    }
    eprintln!("hostile control plane: {tries} tries, 0 passed");
}

/// Approvals as someone would forge them who has every key of the server and none of the approvers'.
fn forge(scene: &mut Scene, n: u32) {
    use legator_wire::approval::{Approval, Vote};
    use legator_wire::dsse::Envelope;
    use legator_wire::keys::ApproverKey;
    let known = [scene::approver(1), scene::approver(2)];
    let own = ApproverKey::from_secret(&[u8::try_from(n % 70).unwrap() + 20; 32]);
    scene.approvals = known
        .iter()
        .map(|key| {
            let approval = scene.approval(key);
            match n % 7 {
                0 => Envelope::seal(&approval, &scene.authority.clone()),
                1 => Envelope::seal(&Approval { key: own.public().fingerprint(), ..approval }, &own),
                2 => {
                    let mut envelope = Envelope::seal(&approval, &own);
                    envelope.signatures[0].keyid = key.public().fingerprint();
                    envelope
                }
                3 => Envelope::seal(
                    &Approval { plan: legator_core::digest::Digest::of(&n.to_be_bytes()), ..approval },
                    key,
                ),
                4 => Envelope::seal(&Approval { decision: Vote::Reject, ..approval }, key),
                5 => Envelope::seal(&Approval { expires_at: scene.facts.now, ..approval }, key),
                _ => {
                    let mut envelope = Envelope::seal(&approval, key);
                    let place = n as usize % envelope.payload.len();
                    envelope.payload[place] ^= 1;
                    envelope
                }
            }
        })
        .collect();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_panic_a_parser_of_frames(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = Down::parse(&text);
        let _ = legator_wire::frame::Up::parse(&text);
    }

    #[test]
    fn no_mangled_frame_panics(place in 0usize..4_000, cut in 0usize..40, put in "\\PC{0,20}") {
        let text = good().frame().to_string();
        let start = (0..=place.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap();
        let end = (start..=(start + cut).min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap();
        let mangled = format!("{}{put}{}", &text[..start], &text[end..]);
        if mangled != text {
            let same = Down::parse(&mangled).ok() == Down::parse(&text).ok();
            prop_assert!(same || answer(&good(), &mangled).is_err());
        }
    }
}
