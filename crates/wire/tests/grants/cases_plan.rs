//! The other half of the table: the plan under a grant, its times, the limits and the approvals.
//!
//! Owns these cases only. Each is refused by the name that stands beside it.

use super::super::scene::{Scene, approver, edit_bytes, edit_json, minutes};
use super::super::wire::approval::{Approval, Vote};
use super::super::wire::dsse::{Envelope, from_b64};
use super::super::wire::keys::{ApproverKey, AuthorityKey, Signer as _};
use super::super::wire::order::Limits;
use super::super::wire::refusal::Refusal;
use super::{Case, Fault, case, change, demanded, limited, other_key, reseal_bytes, with};
use legator_core::digest::Digest;
use legator_core::ids::{PersonId, PlanId, TaskId};
use legator_core::level::Level;
use legator_core::span::Span;
use serde_json::{Value, json};

fn replace_approvals(scene: &mut Scene, make: impl Fn(&Scene, Approval, &ApproverKey) -> Envelope) {
    let keys = [approver(1), approver(2)];
    scene.approvals = keys.iter().map(|key| make(scene, scene.approval(key), key)).collect();
}

pub fn plan_cases() -> Vec<Case> {
    use Fault::Kept;
    let (other, leaf) = (Refusal::OtherPlan, Refusal::BadLeaf);
    vec![
        case(
            "grant-arguments-beside-an-approved-digest",
            other,
            Kept(|f| {
                edit_json(&mut f["plan"], |p| p["args"]["path"] = json!("/etc/shadow"));
            }),
        ),
        case(
            "grant-verb-changed",
            other,
            Kept(|f| edit_json(&mut f["plan"], |p| p["verb"] = json!("file.delete"))),
        ),
        case(
            "grant-level-higher",
            other,
            Kept(|f| edit_json(&mut f["plan"], |p| p["level"] = json!("remediate"))),
        ),
        case(
            "grant-effects-wider",
            other,
            Kept(|f| edit_json(&mut f["plan"], |p| p["effects"] = json!({"unconfined":true}))),
        ),
        case(
            "grant-plan-expiry-later",
            other,
            Kept(|f| {
                edit_json(&mut f["plan"], |p| p["expires_at"] = json!("9999-01-01T00:00:00.000Z"));
            }),
        ),
        case(
            "grant-requester-changed",
            other,
            Kept(|f| {
                edit_json(&mut f["plan"], |p| p["requester"] = json!(PersonId::new(99)));
            }),
        ),
        case(
            "grant-plan-reserialised",
            other,
            Kept(|f| {
                edit_bytes(&mut f["plan"], |bytes| [b" ".as_slice(), &bytes].concat());
            }),
        ),
        case(
            "grant-plan-root-changed",
            other,
            Kept(|f| edit_json(&mut f["plan"], |p| p["root"] = json!(Digest::of(b"r")))),
        ),
        case("grant-id-fresh", leaf, Kept(|f| f["leaf"]["task"] = json!(TaskId::new(424_242)))),
        case("grant-host-name-changed", leaf, Kept(|f| f["leaf"]["name"] = json!("another"))),
        with(
            "grant-pre-image-dropped",
            leaf,
            change,
            Kept(|f| {
                f["leaf"].as_object_mut().unwrap().remove("shown");
            }),
        ),
        with(
            "grant-pre-image-replaced",
            leaf,
            change,
            Kept(|f| f["leaf"]["shown"] = json!(Digest::of(b"other state"))),
        ),
    ]
}

pub fn range_cases() -> Vec<Case> {
    use Fault::{Kept, Sealed};
    let leaf = Refusal::BadLeaf;
    vec![
        case("grant-leaf-index-changed", leaf, Kept(|f| f["leaf"]["index"] = json!(0))),
        case(
            "grant-proof-cut",
            leaf,
            Kept(|f| {
                f["proof"].as_array_mut().unwrap().pop();
            }),
        ),
        case(
            "grant-proof-longer",
            leaf,
            Kept(|f| {
                let copy = f["proof"][0].clone();
                f["proof"].as_array_mut().unwrap().push(copy);
            }),
        ),
        case("grant-proof-reordered", leaf, Kept(|f| f["proof"].as_array_mut().unwrap().reverse())),
        case(
            "grant-leaf-of-another-plan",
            leaf,
            Kept(|f| {
                f["leaf"]["task"] = json!(TaskId::new(5));
                f["leaf"]["index"] = json!(2);
            }),
        ),
        case("grant-leaf-outside-the-wave", leaf, Sealed(|s| (s.first, s.count) = (2, 1))),
        case("grant-of-no-leaf", leaf, Sealed(|s| s.count = 0)),
        case("grant-range-beyond-the-plan", leaf, Sealed(|s| s.count = 4)),
        case("grant-range-that-overflows", leaf, Sealed(|s| (s.first, s.count) = (u32::MAX, u32::MAX))),
        case("grant-plan-for-fewer-hosts", leaf, Sealed(|s| s.body.hosts = 1)),
        case("grant-plan-of-a-later-version", Refusal::Malformed, Sealed(|s| s.bytes = |b| b)).later_plan(),
    ]
}

impl Case {
    /// A plan of a version that nobody knows, under its true digest.
    fn later_plan(mut self) -> Self {
        self.fault = Fault::Text(|text| {
            let mut frame: Value = serde_json::from_str(&text).unwrap();
            edit_json(&mut frame["plan"], |plan| plan["v"] = json!(2));
            let digest = Digest::of(&from_b64(frame["plan"].as_str().unwrap()).unwrap());
            edit_json(&mut frame["grant"]["payload"], |grant| grant["plan"] = json!(digest));
            let authority = AuthorityKey::from_secret(&[1; 32]);
            reseal_bytes(&mut frame, "application/vnd.legator.grant.v1+json", &authority);
            frame.to_string()
        });
        self
    }
}

pub fn time_cases() -> Vec<Case> {
    use Fault::{Host, Sealed};
    vec![
        case(
            "grant-expired",
            Refusal::Expired,
            Sealed(|s| s.grant.expires_at = s.facts.now - Span::from_millis(1)),
        ),
        case(
            "grant-plan-expired",
            Refusal::Expired,
            Sealed(|s| s.body.expires_at = s.facts.now - Span::from_millis(1)),
        ),
        case(
            "grant-expired-and-clock-set-back",
            Refusal::HighWater,
            Host(|s| {
                s.facts.high_water = s.facts.now + minutes(31);
                s.facts.now = s.facts.now - minutes(0);
            }),
        ),
        case(
            "grant-not-yet-valid",
            Refusal::NotYetValid,
            Sealed(|s| s.grant.not_before = s.facts.now + minutes(10)),
        ),
        case(
            "grant-valid-before-its-plan",
            Refusal::NotYetValid,
            Sealed(|s| {
                s.grant.not_before = s.body.made_at - minutes(10);
            }),
        ),
        with(
            "grant-change-with-the-clock-off",
            Refusal::ClockOff,
            change,
            Host(|s| s.facts.skew = minutes(2)),
        ),
        with(
            "grant-change-from-the-future",
            Refusal::ClockOff,
            change,
            Sealed(|s| {
                s.grant.made_at = s.facts.now + minutes(2);
            }),
        ),
    ]
}

pub fn limit_cases() -> Vec<Case> {
    use Fault::{Host, Sealed};
    vec![
        with(
            "grant-above-the-local-ceiling",
            Refusal::AboveMaxLevel,
            change,
            Host(|s| {
                s.facts.max_level = Level::Diagnose;
            }),
        ),
        with(
            "grant-far-above-the-local-ceiling",
            Refusal::AboveMaxLevel,
            change,
            Host(|s| {
                s.facts.max_level = Level::Observe;
            }),
        ),
        with(
            "grant-above-the-authoritys-ceiling",
            Refusal::AboveCeiling,
            limited,
            Host(|s| {
                s.facts.limits = Some(s.limits(3, Level::Diagnose));
            }),
        ),
        with(
            "grant-limits-version-missing",
            Refusal::LimitsMissing,
            limited,
            Sealed(|s| s.grant.limits_version = 4),
        ),
        with(
            "grant-in-a-freeze",
            Refusal::Frozen,
            limited,
            Host(|s| {
                s.facts.limits = Some(Limits { freezes: vec![s.freeze()], ..s.limits(3, Level::Remediate) });
            }),
        ),
    ]
}

pub fn quorum_cases() -> Vec<Case> {
    use Fault::Sealed;
    let missing = |id, fault| with(id, Refusal::QuorumMissing, demanded, Sealed(fault));
    vec![
        missing("grant-without-approvals", |s| s.approvals.clear()),
        missing("grant-one-approval-of-two", |s| s.approve(&[1])),
        missing("grant-one-approval-counted-twice", |s| {
            s.approve(&[1]);
            s.approvals.push(s.approvals[0].clone());
        }),
        missing("grant-one-person-two-keys", |s| s.approve(&[1, 11])),
        missing("grant-approval-by-a-stranger", |s| s.approve(&[1, 50])),
        missing("grant-signed-rejection-shown-as-approval", |s| {
            replace_approvals(s, |_, approval, key| {
                Envelope::seal(&Approval { decision: Vote::Reject, ..approval }, key)
            });
        }),
        missing("grant-approvals-of-another-plan", |s| {
            replace_approvals(s, |_, approval, key| {
                Envelope::seal(&Approval { plan: Digest::of(b"another"), ..approval }, key)
            });
        }),
        missing("grant-approvals-that-ended", |s| {
            replace_approvals(s, |s, approval, key| {
                Envelope::seal(&Approval { expires_at: s.facts.now - minutes(1), ..approval }, key)
            });
        }),
        missing("grant-approvals-of-another-installation", |s| {
            replace_approvals(s, |_, approval, key| {
                Envelope::seal(&Approval { installation: "elsewhere".to_owned(), ..approval }, key)
            });
        }),
        missing("grant-approvals-signed-by-the-authority", |s| {
            let authority = s.authority.clone();
            replace_approvals(s, |_, approval, _| Envelope::seal(&approval, &authority));
        }),
        missing("grant-approvals-under-a-borrowed-key-id", |s| {
            replace_approvals(s, |_, approval, key| {
                let mut envelope = Envelope::seal(&approval, &other_key());
                envelope.signatures[0].keyid = key.public().fingerprint();
                envelope
            });
        }),
        missing("grant-approvals-of-another-payload-type", |s| {
            replace_approvals(s, |_, approval, key| {
                Envelope::seal_bytes(
                    "application/vnd.legator.grant.v1+json",
                    serde_json::to_vec(&approval).unwrap(),
                    key,
                )
            });
        }),
        missing("grant-approvals-naming-another-key", |s| {
            replace_approvals(s, |_, approval, key| {
                Envelope::seal(&Approval { key: Digest::of(b"k"), ..approval }, key)
            });
        }),
        missing("grant-plan-changed-after-the-approvals", |s| s.body.plan = PlanId::new(4711)),
    ]
}
