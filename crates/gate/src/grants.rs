//! Grants and what is delivered with them.
//!
//! Owns the one constructor of a grant, and the proofs of its leaves. Invariant: a grant is made from votes that were weighed in the
//! transaction that keeps it, over leaves that are handed over in that transaction, and of no others.

use legator_core::digest::Digest;
use legator_core::level::Level;
use legator_core::merkle;
use legator_core::plan::PlanBody;
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_store::plans::{GrantRow, PlanRow};
use legator_store::tasks::TaskRow;
use legator_wire::dsse::Envelope;
use legator_wire::grant::Grant;
use legator_wire::keys::AuthorityKey;

use crate::error::GateError;
use crate::votes::Weighed;
use crate::wave::SILENT;

/// How long a grant that only reads may wait for its start: 60 s.
const READ_START_MAX: Span = Span::from_secs(60);

/// A grant with the leaves that it is for.
pub(crate) struct Made {
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) envelope: Envelope,
    /// Not to start at or after.
    pub(crate) expires_at: Timestamp,
}

/// What all grants of a wave share.
pub(crate) struct Stamp<'a> {
    pub(crate) plan: &'a PlanRow,
    pub(crate) body: &'a PlanBody,
    pub(crate) digest: Digest,
    pub(crate) weighed: &'a Weighed,
    pub(crate) limits_version: u64,
    pub(crate) now: Timestamp,
}

/// Signs the grants of these places, which rise: one for each run of neighbours.
pub(crate) fn make(stamp: &Stamp<'_>, places: &[u32], key: &AuthorityKey) -> Vec<Made> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for place in places {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == *place => *count += 1,
            _ => runs.push((*place, 1)),
        }
    }
    runs.into_iter().map(|(first, count)| one(stamp, (first, count), key)).collect()
}

fn one(stamp: &Stamp<'_>, run: (u32, u32), key: &AuthorityKey) -> Made {
    let ends = match stamp.body.level {
        Level::Remediate => stamp.plan.expires_at,
        Level::Observe | Level::Diagnose => stamp.plan.expires_at.min(stamp.now + READ_START_MAX),
    };
    let grant = Grant {
        v: 1,
        installation: stamp.body.installation.clone(),
        plan: stamp.digest,
        first: run.0,
        count: run.1,
        not_before: stamp.now.max(stamp.body.made_at),
        expires_at: ends,
        limits_version: stamp.limits_version,
        counted: stamp.weighed.counted(),
        made_at: stamp.now,
    };
    Made { first: run.0, count: run.1, envelope: Envelope::seal(&grant, key), expires_at: ends }
}

/// From when on a task under this grant is lost.
pub(crate) fn lose_at(body: &PlanBody, expires_at: Timestamp) -> Timestamp {
    expires_at + body.timeout + SILENT
}

/// A grant as it is kept.
pub(crate) fn kept(made: &Made) -> GrantRow {
    GrantRow { first: made.first, count: made.count, envelope: made.envelope.to_json() }
}

/// The kept grant of a place.
pub(crate) fn find(rows: &[GrantRow], place: u32) -> Result<Envelope, GateError> {
    let holds = |row: &&GrantRow| row.first <= place && place - row.first < row.count;
    let row =
        rows.iter().find(holds).ok_or_else(|| GateError::corrupt("grant", "there is none for the task"))?;
    serde_json::from_str(&row.envelope).map_err(|error| GateError::corrupt("grant", error))
}

/// The proofs of all leaves of a plan, each lowest sibling first, made in one walk over the tree.
pub(crate) fn proofs(tasks: &[TaskRow], body: &PlanBody) -> Vec<Vec<Digest>> {
    let leaves: Vec<Digest> =
        tasks.iter().filter(|task| task.place < body.hosts).map(|task| task.leaf().hash()).collect();
    let mut proofs = vec![Vec::new(); leaves.len()];
    climb(&leaves, &mut proofs);
    proofs
}

/// The root over these leaves; pushes its siblings to each leaf's proof.
fn climb(leaves: &[Digest], proofs: &mut [Vec<Digest>]) -> Digest {
    if leaves.len() < 2 {
        return merkle::root(leaves);
    }
    let middle = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(middle);
    let (left_proofs, right_proofs) = proofs.split_at_mut(middle);
    let (left, right) = (climb(left, left_proofs), climb(right, right_proofs));
    left_proofs.iter_mut().for_each(|proof| proof.push(right));
    right_proofs.iter_mut().for_each(|proof| proof.push(left));
    merkle::node_hash(&left, &right)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn one_walk_gives_the_proofs_of_the_tree() {
        for count in 1..70usize {
            let leaves: Vec<Digest> = (0..count).map(|i| merkle::leaf_hash(&i.to_be_bytes())).collect();
            let mut proofs = vec![Vec::new(); count];
            assert_eq!(climb(&leaves, &mut proofs), merkle::root(&leaves));
            for (index, proof) in proofs.iter().enumerate() {
                assert_eq!(*proof, merkle::inclusion(&leaves, index).unwrap());
            }
        }
    }
}
