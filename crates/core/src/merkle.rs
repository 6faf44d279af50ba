//! Merkle trees as in RFC 6962 §2.1: a root over leaves, and proofs that one leaf or one older tree is under it.
//!
//! Owns hashing and proofs. Knows nothing of what a leaf means. Used for the hosts of a plan and for the audit log.

use crate::digest::Digest;

/// The hash of a leaf: SHA-256 of a zero byte and its bytes.
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], bytes])
}

/// The hash of a node: SHA-256 of a one byte and the hashes of its children.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[1], left.bytes(), right.bytes()])
}

/// The largest power of two below `count`, which is at least two.
fn split(count: usize) -> usize {
    let half = count.next_power_of_two() / 2;
    half.max(1)
}

/// The root over these leaf hashes; over none it is the digest of nothing.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The proof that leaf `index` is under the root of `leaves`, lowest sibling first; `None` when there is no such leaf.
pub fn inclusion(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut proof, sibling) = if index < middle {
        (inclusion(left, index)?, root(right))
    } else {
        (inclusion(right, index - middle)?, root(left))
    };
    proof.push(sibling);
    Some(proof)
}

/// Whether `proof` shows that leaf `index` of `size` leaves is under `root` (RFC 9162 §2.1.3.2).
pub fn included(leaf: &Digest, index: u64, size: u64, proof: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The proof that the tree of the first `older` leaves is the beginning of the tree of all; `None` when `older` is zero or too big.
pub fn consistency(leaves: &[Digest], older: usize) -> Option<Vec<Digest>> {
    if older == 0 || older > leaves.len() {
        return None;
    }
    Some(subproof(leaves, older, Whole::Yes))
}

#[derive(Clone, Copy, PartialEq)]
enum Whole {
    Yes,
    No,
}

fn subproof(leaves: &[Digest], older: usize, whole: Whole) -> Vec<Digest> {
    if older == leaves.len() {
        return match whole {
            Whole::Yes => Vec::new(),
            Whole::No => vec![root(leaves)],
        };
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    if older <= middle {
        let mut proof = subproof(left, older, whole);
        proof.push(root(right));
        proof
    } else {
        let mut proof = subproof(right, older - middle, Whole::No);
        proof.push(root(left));
        proof
    }
}

/// A tree: how many leaves it has and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// Leaves.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// Whether `proof` shows that `older` is the beginning of `newer` (RFC 9162 §2.1.4.2).
pub fn consistent(older: &Tree, newer: &Tree, proof: &[Digest]) -> bool {
    if older.size == 0 || older.size > newer.size {
        return false;
    }
    if older.size == newer.size {
        return proof.is_empty() && older.root == newer.root;
    }
    let mut path = proof.iter();
    let first = if older.size.is_power_of_two() { Some(&older.root) } else { path.next() };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (older.size - 1, newer.size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == older.root && new_hash == newer.root
}

/// The right edge of a growing tree: enough to append leaves and to know the root, in logarithmic space.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees, largest first: one for each bit that is set in `size`.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves appended so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf hash.
    pub fn push(&mut self, leaf: Digest) {
        self.push_noting(leaf, |_, _, _| {});
    }

    /// Appends one leaf hash and tells of each complete subtree that it ends: its level (the leaf is 0), its place among those of
    /// that level, its root.
    pub fn push_noting(&mut self, leaf: Digest, mut note: impl FnMut(u32, u64, &Digest)) {
        let mut hash = leaf;
        let mut place = self.size;
        let mut level = 0;
        note(level, place, &hash);
        while place & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            place >>= 1;
            level += 1;
            note(level, place, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root over all leaves appended so far.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Digest::of(b"") };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }

    /// The tree so far.
    pub fn tree(&self) -> Tree {
        Tree { size: self.size, root: self.root() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn every_leaf_of_small_trees_is_proven_and_at_no_other_place() {
        for count in 1..40 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for index in 0..count {
                let proof = inclusion(&leaves, index).unwrap();
                for claimed in 0..count as u64 {
                    let holds = included(&leaves[index], claimed, count as u64, &proof, &root);
                    assert_eq!(holds, claimed == index as u64, "{count} {index} {claimed}");
                }
            }
            assert!(inclusion(&leaves, count).is_none());
        }
    }

    #[test]
    fn every_beginning_of_small_trees_is_proven() {
        for count in 1..40 {
            let all = leaves(count);
            let newer = Tree { size: count as u64, root: root(&all) };
            for older in 1..=count {
                let proof = consistency(&all, older).unwrap();
                let tree = Tree { size: older as u64, root: root(&all[..older]) };
                assert!(consistent(&tree, &newer, &proof), "{older} of {count}");
                let forged = Tree { root: leaf_hash(b"forged"), ..tree };
                assert!(!consistent(&forged, &newer, &proof));
            }
        }
    }

    proptest! {
        #[test]
        fn a_frontier_has_the_root_of_its_leaves(count in 0usize..300) {
            let leaves = leaves(count);
            let mut frontier = Frontier::new();
            leaves.iter().for_each(|leaf| frontier.push(*leaf));
            prop_assert_eq!(frontier.tree(), Tree { size: count as u64, root: root(&leaves) });
        }

        #[test]
        fn a_changed_proof_proves_nothing(count in 2usize..64, index in 0usize..64, bit in 0usize..256) {
            let leaves = leaves(count);
            let index = index % count;
            let mut proof = inclusion(&leaves, index).unwrap();
            let place = bit % proof.len();
            let mut bytes = *proof[place].bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            proof[place] = Digest::from_bytes(bytes);
            prop_assert!(!included(&leaves[index], index as u64, count as u64, &proof, &root(&leaves)));
        }
    }
}
