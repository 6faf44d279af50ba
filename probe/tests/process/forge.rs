//! Approvals as someone forges them who has every key of the server and none of the approvers'.

use super::scene::{Scene, approver};
use legator_core::digest::Digest;
use legator_wire::approval::{Approval, Vote};
use legator_wire::dsse::Envelope;
use legator_wire::keys::{ApproverKey, Signer as _};

pub fn forge(scene: &mut Scene, n: u32) {
    let own = ApproverKey::from_secret(&[u8::try_from(n % 70).unwrap() + 20; 32]);
    let known = [approver(1), approver(2)];
    let authority = scene.authority.clone();
    scene.approvals = known
        .iter()
        .map(|key| {
            let approval = scene.approval(key);
            match n % 6 {
                0 => Envelope::seal(&approval, &authority),
                1 => Envelope::seal(&Approval { key: own.public().fingerprint(), ..approval }, &own),
                2 => {
                    let mut envelope = Envelope::seal(&approval, &own);
                    envelope.signatures[0].keyid = key.public().fingerprint();
                    envelope
                }
                3 => Envelope::seal(&Approval { plan: Digest::of(&n.to_be_bytes()), ..approval }, key),
                4 => Envelope::seal(&Approval { decision: Vote::Reject, ..approval }, key),
                _ => Envelope::seal(&Approval { expires_at: scene.body.made_at, ..approval }, key),
            }
        })
        .collect();
}
