//! Grants as they reach a probe: changed after they were sealed, and sealed anew by the authority itself after a change.
//!
//! Promises: of what the authority sealed nothing can be changed; and whatever the authority seals, a probe accepts only its own leaf of a
//! plan that it can hash, in its time, within its limits, and with the approvals that the host itself demands under these very bytes.

use super::frames::{HOST, INSTALLATION, authority, now, probe_key};
use super::text;
use crate::dice::Dice;
use crate::scene::Scene;
use crate::{Target, edits};
use legator_core::digest::Digest;
use legator_core::ids::TaskId;
use legator_core::level::Level;
use legator_core::merkle::node_hash;
use legator_core::plan::Plan;
use legator_wire::dsse::{Envelope, Payload as _};
use legator_wire::frame::Down;
use legator_wire::grant::{Checked, Delivery, Grant, SKEW_MAX};
use legator_wire::keys::Signer as _;
use serde_json::{Value, json};
use std::sync::OnceLock;

const WORDS: &[&str] = &[
    "\"grant\":{",
    "\"leaf\":{",
    "\"proof\":[",
    "\"approvals\":[",
    "\"limits\":null",
    "\"shown\":null",
    "remediate",
    "observe",
    "\u{1}\u{1}\u{1}",
];

pub(super) const GRANT: Target =
    Target { name: "grant", hold: changed_after, examples: after_examples, words: WORDS };
pub(super) const GRANT_SEALED: Target =
    Target { name: "grant-sealed", hold: changed_before, examples: before_examples, words: WORDS };

/// A host and a good delivery for it.
struct Base {
    scene: Scene,
    delivery: Delivery,
    frame: Value,
}

/// Reading; a change without a list of approvers; a change on a host that demands two of its three; one with limits.
fn bases() -> &'static [Base] {
    static MADE: OnceLock<Vec<Base>> = OnceLock::new();
    MADE.get_or_init(|| {
        let good = || {
            let key = probe_key().public();
            Scene::good((&authority(), INSTALLATION, HOST, key), now(), TaskId::new(1 << 70))
        };
        let mut change = good();
        change.change("/etc/motd");
        let mut quorum = good();
        quorum.change("/etc/motd");
        quorum.demand(2);
        quorum.approve(&[1, 2]);
        let mut limited = good();
        limited.grant.limits_version = 3;
        limited.facts.limits = Some(limited.limits(3, Level::Observe));
        [good(), change, quorum, limited].into_iter().map(base).collect()
    })
}

fn base(scene: Scene) -> Base {
    let (delivery, frame) = (scene.delivery(), scene.frame());
    assert!(scene.check(&delivery).is_ok(), "the good example is refused");
    Base { scene, delivery, frame }
}

/// Bytes that begin with a brace are a frame; others choose a good one and changes of it.
fn changed_after(bytes: &[u8]) {
    let mut dice = Dice::new(bytes);
    let (bases, frame) = match bytes.first() {
        Some(b'{') => (bases(), text(bytes)),
        _ => {
            let one = std::slice::from_ref(&bases()[dice.of(bases().len())]);
            let mut frame = one[0].frame.clone();
            edits::edit(&mut frame, &mut dice);
            (one, frame.to_string())
        }
    };
    let Ok(Down::Grant(delivery)) = Down::parse(&frame) else { return };
    for base in bases {
        let Ok(checked) = base.scene.check(&delivery) else { continue };
        // All good examples are for the same host: each of them is acceptable here too, and nothing else.
        let same = |other: &&Base| other.delivery.grant == delivery.grant;
        let good = &bases.iter().find(same).unwrap_or(base).delivery;
        assert_eq!(delivery.grant, good.grant, "another grant is accepted");
        assert_eq!(delivery.plan, good.plan, "other bytes of a plan are accepted");
        assert_eq!((&delivery.leaf, &delivery.proof), (&good.leaf, &good.proof), "another leaf is accepted");
        let reads = checked.plan.body().level == Level::Observe;
        assert!(reads || checked.quorum.len() >= usize::from(base.scene.facts.quorum), "too few approved");
    }
}

fn after_examples() -> Vec<Vec<u8>> {
    let whole = bases().iter().map(|base| base.frame.to_string().into_bytes());
    let changes = (0..24u8).map(|n| vec![n % 4, n, n.wrapping_mul(31), 2, n.wrapping_mul(7), 5, n, 3, n, 9]);
    whole.chain(changes).collect()
}

/// The parts of a delivery as JSON, changed, made to fit again where the dice say so, and sealed by the true authority.
fn changed_before(bytes: &[u8]) {
    let mut dice = Dice::new(bytes);
    let base = &bases()[dice.of(bases().len())];
    let fits = dice.of(4);
    let grant: Value = serde_json::from_slice(&base.delivery.grant.payload).unwrap();
    let plan: Value = serde_json::from_slice(&base.delivery.plan).unwrap();
    let mut parts = json!({
        "grant": grant, "plan": plan, "leaf": base.delivery.leaf, "proof": base.delivery.proof, "approvals": base.delivery.approvals,
    });
    edits::edit(&mut parts, &mut dice);
    let Some(delivery) = sealed(parts, fits) else { return };
    if let Ok(checked) = base.scene.check(&delivery) {
        is_acceptable(base, &delivery, &checked);
    }
}

/// `fits`: 1 makes the root that of the leaf alone, 2 names the plan's digest, 3 both.
fn sealed(mut parts: Value, fits: usize) -> Option<Delivery> {
    if !parts.is_object() {
        return None;
    }
    if fits & 1 == 1 {
        let leaf = serde_json::from_value::<legator_core::plan::Leaf>(parts["leaf"].clone()).ok()?;
        let plan = parts.get_mut("plan")?.as_object_mut()?;
        plan.insert("root".to_owned(), json!(leaf.hash()));
        plan.insert("hosts".to_owned(), json!(1));
        parts["proof"] = json!([]);
    }
    let plan = parts["plan"].to_string().into_bytes();
    if fits & 2 == 2 {
        parts.get_mut("grant")?.as_object_mut()?.insert("plan".to_owned(), json!(Digest::of(&plan)));
    }
    let grant = Envelope::seal_bytes(Grant::TYPE, parts["grant"].to_string().into_bytes(), &authority());
    let rest = json!({
        "grant": grant, "plan": legator_wire::dsse::to_b64(&plan), "leaf": parts["leaf"], "proof": parts["proof"], "approvals": parts["approvals"],
    });
    serde_json::from_value(rest).ok()
}

/// What must hold for whatever was accepted, computed here a second time and in another way.
fn is_acceptable(base: &Base, delivery: &Delivery, checked: &Checked) {
    let grant: Grant = serde_json::from_slice(&delivery.grant.payload).expect("a grant");
    let body = checked.plan.body();
    let facts = &base.scene.facts;
    assert!(grant.v == 1 && body.v == 1);
    assert!(
        grant.installation == INSTALLATION && body.installation == INSTALLATION,
        "of another installation"
    );
    assert_eq!(grant.plan, Digest::of(&delivery.plan), "a plan that the grant does not name");
    assert_eq!(checked.plan, Plan::parse(delivery.plan.clone()).unwrap());
    let leaf = &delivery.leaf;
    assert!(leaf.host == HOST && leaf.key == probe_key().public().hex(), "a leaf of another host");
    assert!(leaf.index < body.hosts && leaf.index >= grant.first, "a leaf outside of the grant");
    assert!(u64::from(leaf.index) < u64::from(grant.first) + u64::from(grant.count));
    let path = root_over(leaf.hash(), (u64::from(leaf.index), u64::from(body.hosts)), &delivery.proof);
    assert_eq!(path, Some(body.root), "a leaf that is not under the root");
    assert!(grant.expires_at > facts.now && body.expires_at > facts.now, "its time is over");
    assert!(grant.not_before <= facts.now + SKEW_MAX, "its time has not come");
    assert!(body.level <= facts.max_level, "above the host's own level");
    if let Some(limits) = &facts.limits {
        assert!(body.level <= limits.ceiling && limits.version >= grant.limits_version, "beyond its limits");
    }
    if facts.quorum > 0 && body.level > Level::Observe {
        assert_eq!(delivery.plan, base.delivery.plan, "nobody approved this plan");
        assert!(checked.quorum.len() >= usize::from(facts.quorum), "too few approved");
    }
}

/// The root by the definition of RFC 6962 §2.1.1, from above.
fn root_over(leaf: Digest, (index, size): (u64, u64), proof: &[Digest]) -> Option<Digest> {
    if size <= 1 {
        return proof.is_empty().then_some(leaf);
    }
    let (last, lower) = proof.split_last()?;
    let left = 1 << (u64::BITS - 1 - (size - 1).leading_zeros());
    match index < left {
        true => Some(node_hash(&root_over(leaf, (index, left), lower)?, last)),
        false => Some(node_hash(last, &root_over(leaf, (index - left, size - left), lower)?)),
    }
}

fn before_examples() -> Vec<Vec<u8>> {
    (0..32u8).map(|n| vec![n % 4, n / 4, n, n.wrapping_mul(23), 3, n.wrapping_mul(5), 6, n, 2, n]).collect()
}
