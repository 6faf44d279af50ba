//! Faults of a grant, one a case, each with the name under which it has to be refused.
//!
//! Owns the half of the table that is about signatures, form and addressee; the other half stands in `cases_plan.rs`. The good twin of a case is the same without its fault; it has to pass, or the case proves nothing.
#![allow(dead_code)]

#[path = "cases_plan.rs"]
mod plan;

use super::scene::{Scene, edit_bytes, edit_json};
use super::wire::dsse::{Envelope, from_b64, to_b64};
use super::wire::keys::{ApproverKey, AuthorityKey, PublicKey, Signer as _};
use super::wire::order::Ack;
use super::wire::refusal::Refusal;
use legator_core::digest::Digest;
use legator_core::ids::HostId;
use legator_core::level::Level;
use serde_json::{Value, json};

/// Where a fault is put in.
pub enum Fault {
    /// Before sealing: the authority signs it.
    Sealed(fn(&mut Scene)),
    /// After sealing, in the frame's JSON: the signature stays as it was.
    Kept(fn(&mut Value)),
    /// In the frame's text.
    Text(fn(String) -> String),
    /// In what the host itself knows.
    Host(fn(&mut Scene)),
}

/// One case.
pub struct Case {
    pub id: &'static str,
    pub reason: Refusal,
    /// What the case and its twin have in common.
    pub setup: fn(&mut Scene),
    pub fault: Fault,
}

fn plain(_: &mut Scene) {}

fn change(scene: &mut Scene) {
    scene.change("/tmp/legator-grant-case");
}

fn demanded(scene: &mut Scene) {
    change(scene);
    scene.demand(2);
    scene.approve(&[1, 2]);
}

fn limited(scene: &mut Scene) {
    change(scene);
    scene.facts.limits = Some(scene.limits(3, Level::Remediate));
    scene.grant.limits_version = 3;
}

fn case(id: &'static str, reason: Refusal, fault: Fault) -> Case {
    Case { id, reason, setup: plain, fault }
}

fn with(id: &'static str, reason: Refusal, setup: fn(&mut Scene), fault: Fault) -> Case {
    Case { id, reason, setup, fault }
}

/// The good twin and the case itself, as frames with their scenes.
pub fn both(good: &Scene, case: &Case) -> [(Scene, String); 2] {
    let mut twin = good.clone();
    (case.setup)(&mut twin);
    let mut scene = twin.clone();
    if let Fault::Sealed(fault) | Fault::Host(fault) = &case.fault {
        fault(&mut scene);
    }
    let mut frame = scene.frame();
    if let Fault::Kept(fault) = &case.fault {
        fault(&mut frame);
    }
    let mut text = frame.to_string();
    if let Fault::Text(fault) = &case.fault {
        text = fault(text);
    }
    let good = twin.frame().to_string();
    [(twin, good), (scene, text)]
}

/// A payload field of the grant changed under the old signature.
fn payload(frame: &mut Value, edit: impl FnOnce(&mut Value)) {
    edit_json(&mut frame["grant"]["payload"], edit);
}

fn signature(frame: &mut Value, edit: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    edit_bytes(&mut frame["grant"]["signatures"][0]["sig"], edit);
}

/// The group's order, little-endian: S + L verifies with a lax verifier.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn plus_order(mut sig: Vec<u8>) -> Vec<u8> {
    let mut carry = 0u16;
    for (index, part) in L.iter().enumerate() {
        let sum = u16::from(sig[32 + index]) + u16::from(*part) + carry;
        sig[32 + index] = sum as u8;
        carry = sum >> 8;
    }
    sig
}

fn other_key() -> AuthorityKey {
    AuthorityKey::from_secret(&[77; 32])
}

fn reseal_bytes(frame: &mut Value, kind: &str, key: &AuthorityKey) {
    let bytes = from_b64(frame["grant"]["payload"].as_str().unwrap()).unwrap();
    frame["grant"] = serde_json::to_value(Envelope::seal_bytes(kind, bytes, key)).unwrap();
}

/// All cases.
pub fn all() -> Vec<Case> {
    let mut all = signature_cases();
    all.extend(type_cases());
    all.extend(forged_cases());
    all.extend(form_cases());
    all.extend(addressee_cases());
    all.extend(plan::plan_cases());
    all.extend(plan::range_cases());
    all.extend(plan::time_cases());
    all.extend(plan::limit_cases());
    all.extend(plan::quorum_cases());
    all
}

fn signature_cases() -> Vec<Case> {
    use Fault::Kept;
    let bad = Refusal::BadSignature;
    vec![
        case("grant-plan-digest-changed", bad, Kept(|f| payload(f, |p| p["plan"] = json!(Digest::of(b"x"))))),
        case(
            "grant-installation-changed",
            bad,
            Kept(|f| payload(f, |p| p["installation"] = json!("elsewhere"))),
        ),
        case(
            "grant-expiry-later",
            bad,
            Kept(|f| payload(f, |p| p["expires_at"] = json!("9999-01-01T00:00:00.000Z"))),
        ),
        case(
            "grant-not-before-earlier",
            bad,
            Kept(|f| payload(f, |p| p["not_before"] = json!("1999-01-01T00:00:00.000Z"))),
        ),
        case("grant-range-wider", bad, Kept(|f| payload(f, |p| p["count"] = json!(4)))),
        case("grant-range-moved", bad, Kept(|f| payload(f, |p| p["first"] = json!(1)))),
        case("grant-limits-version-lower", bad, Kept(|f| payload(f, |p| p["limits_version"] = json!(9)))),
        case(
            "grant-made-at-changed",
            bad,
            Kept(|f| payload(f, |p| p["made_at"] = json!("1999-01-01T00:00:00.000Z"))),
        ),
        case(
            "grant-counted-approval-added",
            bad,
            Kept(|f| {
                payload(f, |p| {
                    let copy = p["counted"][0].clone();
                    p["counted"].as_array_mut().unwrap().push(copy);
                });
            }),
        ),
        case("grant-version-changed", bad, Kept(|f| payload(f, |p| p["v"] = json!(2)))),
        case(
            "grant-same-meaning-other-bytes",
            bad,
            Kept(|f| {
                edit_bytes(&mut f["grant"]["payload"], |bytes| {
                    let value: Value = serde_json::from_slice(&bytes).unwrap();
                    serde_json::to_vec_pretty(&value).unwrap()
                });
            }),
        ),
        case("grant-payload-emptied", bad, Kept(|f| f["grant"]["payload"] = json!(""))),
    ]
}

fn type_cases() -> Vec<Case> {
    use Fault::{Kept, Sealed};
    let bad = Refusal::BadSignature;
    vec![
        case(
            "grant-payload-type-of-a-receipt",
            bad,
            Kept(|f| {
                f["grant"]["payloadType"] = json!("application/vnd.legator.receipt.v1+json");
            }),
        ),
        case(
            "grant-checkpoint-passed-off-as-grant",
            bad,
            Sealed(|s| {
                s.payload_type = "application/vnd.legator.checkpoint.v1".to_owned();
            }),
        ),
        case(
            "grant-ack-passed-off-as-grant",
            bad,
            Sealed(|s| {
                s.payload_type = <Ack as super::wire::dsse::Payload>::TYPE.to_owned();
            }),
        ),
        case("grant-no-signatures", bad, Kept(|f| f["grant"]["signatures"] = json!([]))),
        case(
            "grant-stranger-under-the-authoritys-keyid",
            bad,
            Kept(|f| {
                let keyid = f["grant"]["signatures"][0]["keyid"].clone();
                reseal_bytes(f, "application/vnd.legator.grant.v1+json", &other_key());
                f["grant"]["signatures"][0]["keyid"] = keyid;
            }),
        ),
        case(
            "grant-stranger-under-its-own-keyid",
            bad,
            Kept(|f| {
                reseal_bytes(f, "application/vnd.legator.grant.v1+json", &other_key());
            }),
        ),
        case(
            "grant-key-id-of-another",
            bad,
            Kept(|f| {
                f["grant"]["signatures"][0]["keyid"] = json!(Digest::of(b"another key"));
            }),
        ),
        case(
            "grant-one-signature-counted-twice",
            bad,
            Kept(|f| {
                let copy = f["grant"]["signatures"][0].clone();
                f["grant"]["signatures"].as_array_mut().unwrap().push(copy);
            }),
        ),
        case(
            "grant-good-signature-beside-a-bad-one",
            bad,
            Kept(|f| {
                let mut copy = f["grant"]["signatures"][0].clone();
                copy["sig"] = json!(to_b64(&[0; 64]));
                f["grant"]["signatures"].as_array_mut().unwrap().insert(0, copy);
            }),
        ),
    ]
}

fn forged_cases() -> Vec<Case> {
    use Fault::{Kept, Sealed};
    let bad = Refusal::BadSignature;
    vec![
        case("grant-signature-malleated", bad, Kept(|f| signature(f, plus_order))),
        case("grant-signature-of-zeros", bad, Kept(|f| signature(f, |_| vec![0; 64]))),
        case("grant-signature-cut", bad, Kept(|f| signature(f, |sig| sig[..63].to_vec()))),
        case("grant-signature-longer", bad, Kept(|f| signature(f, |sig| [sig, vec![0]].concat()))),
        case("grant-retired-authority", bad, Sealed(|s| s.sealer = AuthorityKey::from_secret(&[78; 32]))),
        case("grant-authority-of-another-installation", bad, Sealed(|s| s.sealer = other_key())),
        case(
            "grant-signed-without-its-type",
            bad,
            Kept(|f| {
                let bytes = from_b64(f["grant"]["payload"].as_str().unwrap()).unwrap();
                let sig = other_key().sign(&bytes);
                f["grant"]["signatures"][0]["sig"] = json!(to_b64(&sig));
            }),
        ),
    ]
}

fn form_cases() -> Vec<Case> {
    use Fault::{Kept, Sealed, Text};
    let malformed = Refusal::Malformed;
    vec![
        case(
            "grant-algorithm-downgraded",
            malformed,
            Kept(|f| f["grant"]["signatures"][0]["alg"] = json!("HS256")),
        ),
        case(
            "grant-base64-with-line-breaks",
            malformed,
            Kept(|f| {
                let text = f["grant"]["payload"].as_str().unwrap().to_owned();
                let lines: Vec<&str> =
                    (0..text.len()).step_by(64).map(|i| &text[i..(i + 64).min(text.len())]).collect();
                f["grant"]["payload"] = json!(lines.join("\n"));
            }),
        ),
        case("grant-base64-with-stray-bits", malformed, Sealed(|_| {})).stray_bits(),
        case("grant-base64-of-two-alphabets", malformed, Kept(|f| f["plan"] = json!("-+-+"))),
        case(
            "grant-bytes-after-the-envelope",
            malformed,
            Text(|text| format!("{text}{{\"payload\":\"e30=\"}}")),
        ),
        case(
            "grant-payload-key-twice",
            malformed,
            Sealed(|s| {
                s.bytes = |bytes| [b"{\"first\":0,".as_slice(), &bytes[1..]].concat();
            }),
        ),
        case(
            "grant-payload-with-an-unknown-key",
            malformed,
            Sealed(|s| {
                s.bytes = |bytes| [b"{\"force\":true,".as_slice(), &bytes[1..]].concat();
            }),
        ),
        case(
            "grant-payload-bytes-after",
            malformed,
            Sealed(|s| s.bytes = |bytes| [bytes.as_slice(), b"{}"].concat()),
        ),
        case("grant-of-a-later-version", malformed, Sealed(|s| s.grant.v = 2)),
        case("grant-frame-with-an-unknown-key", malformed, Kept(|f| f["sudo"] = json!(true))),
        case("grant-leaf-with-an-unknown-key", malformed, Kept(|f| f["leaf"]["sudo"] = json!(true))),
        case(
            "grant-without-a-plan",
            malformed,
            Kept(|f| {
                f.as_object_mut().unwrap().remove("plan");
            }),
        ),
        case(
            "grant-leaf-key-twice",
            malformed,
            Text(|text| text.replacen("\"leaf\":{", "\"leaf\":{\"index\":1,", 1)),
        ),
    ]
}

impl Case {
    /// The same bytes with the unused last bits of the base64 set.
    fn stray_bits(mut self) -> Self {
        self.fault = Fault::Kept(|f| {
            let text = f["grant"]["signatures"][0]["sig"].as_str().unwrap().to_owned();
            // 64 bytes end in two digits and "==": the last digit has four unused bits.
            let (head, tail) = text.split_at(text.len() - 3);
            let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let place = digits.iter().position(|digit| *digit == tail.as_bytes()[0]).unwrap();
            f["grant"]["signatures"][0]["sig"] = json!(format!("{head}{}==", char::from(digits[place | 1])));
        });
        self
    }
}

fn addressee_cases() -> Vec<Case> {
    use Fault::{Host, Kept, Sealed};
    vec![
        case("grant-for-another-host", Refusal::OtherHost, Sealed(|s| s.mine = 0)),
        case("grant-host-swapped", Refusal::OtherHost, Kept(|f| f["leaf"]["host"] = json!(HostId::new(70)))),
        case(
            "grant-host-key-swapped",
            Refusal::OtherHost,
            Kept(|f| f["leaf"]["key"] = json!("ab".repeat(32))),
        ),
        case(
            "grant-for-an-older-key-of-this-host",
            Refusal::OtherHost,
            Sealed(|s| {
                s.leaves[1].key = ApproverKey::from_secret(&[55; 32]).public().hex();
            }),
        ),
        case(
            "grant-of-another-installation",
            Refusal::OtherInstallation,
            Sealed(|s| {
                s.grant.installation = "elsewhere".to_owned();
            }),
        ),
        case(
            "grant-over-a-plan-of-another-installation",
            Refusal::OtherInstallation,
            Sealed(|s| {
                s.body.installation = "elsewhere".to_owned();
            }),
        ),
        case("grant-at-a-host-with-another-pin", Refusal::BadSignature, Host(|s| s.authority = other_key())),
    ]
}

/// A key that nobody knows, for tests that need one.
pub fn stranger() -> PublicKey {
    other_key().public()
}
