//! What is kept of a command's output: its beginning and its end.
//!
//! Owns the cut. Invariant: both streams together never exceed the cap, and what was dropped is said.

use legator_core::digest::Digest;
use legator_wire::receipt::Kept;
use std::collections::VecDeque;

/// One stream as it comes.
#[derive(Debug, Default)]
pub struct Keeper {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    bytes: u64,
    cap: usize,
    /// Bytes were passed over: the beginning has ended.
    gap: bool,
}

impl Keeper {
    /// Keeps at most so many bytes.
    pub fn new(cap: usize) -> Self {
        Self { cap, ..Self::default() }
    }

    /// The stream goes on at this offset; what lies between was not read.
    pub fn push_at(&mut self, offset: u64, bytes: &[u8]) {
        if offset > self.bytes {
            // The kept end has to be one piece.
            let room = (self.cap / 2).saturating_sub(self.head.len());
            self.head.extend(self.tail.drain(..).take(room));
            (self.bytes, self.gap) = (offset, true);
        }
        self.push(bytes);
    }

    /// The stream goes on.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let room = if self.gap { 0 } else { (self.cap / 2).saturating_sub(self.head.len()) };
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        let tail_cap = self.cap - self.cap / 2;
        let rest = rest.get(rest.len().saturating_sub(tail_cap)..).unwrap_or_default();
        let over = (self.tail.len() + rest.len()).saturating_sub(tail_cap);
        self.tail.drain(..over);
        self.tail.extend(rest);
    }

    fn kept(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The kept bytes, at most `cap` of them, and the account of them.
    fn finish(mut self, cap: usize) -> (Kept, Vec<u8>) {
        if self.kept() > cap {
            // What the head has to give up is dropped from the middle of the stream.
            self.head.truncate(cap / 2);
            let over = (self.head.len() + self.tail.len()).saturating_sub(cap);
            self.tail.drain(..over);
        }
        let head = u32::try_from(self.head.len()).unwrap_or(u32::MAX);
        let mut bytes = self.head;
        bytes.extend(self.tail);
        let truncated = (bytes.len() as u64) < self.bytes;
        let head = if truncated { head } else { u32::try_from(bytes.len()).unwrap_or(u32::MAX) };
        (Kept { bytes: self.bytes, head, digest: Digest::of(&bytes), truncated }, bytes)
    }
}

/// Both streams, brought under the cap together: the shorter one keeps at least half of it.
pub fn finish(stdout: Keeper, stderr: Keeper, cap: usize) -> [(Kept, Vec<u8>); 2] {
    let half = cap / 2;
    let (out, err) = (stdout.kept(), stderr.kept());
    let for_err = err.min(cap.saturating_sub(out).max(half));
    let for_out = out.min(cap - for_err.min(cap));
    [stdout.finish(for_out), stderr.finish(for_err)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn keeper(bytes: &[u8], cap: usize, piece: usize) -> Keeper {
        let mut keeper = Keeper::new(cap);
        bytes.chunks(piece.max(1)).for_each(|piece| keeper.push(piece));
        keeper
    }

    #[test]
    fn what_was_passed_over_counts_and_is_said() {
        let mut keeper = Keeper::new(100);
        keeper.push_at(0, b"head");
        keeper.push_at(4, b"er");
        keeper.push_at(1_000, b"tail");
        keeper.push_at(1_004, b"!");
        let [(kept, bytes), _] = finish(keeper, Keeper::new(100), 100);
        assert_eq!(
            (bytes.as_slice(), kept.bytes, kept.head, kept.truncated),
            (&b"headertail!"[..], 1_005, 6, true)
        );
    }

    proptest! {
        #[test]
        fn what_is_kept_is_the_beginning_and_the_end_within_the_cap(
            out in proptest::collection::vec(any::<u8>(), 0..300),
            err in proptest::collection::vec(any::<u8>(), 0..300),
            cap in 0usize..400,
            piece in 1usize..64,
        ) {
            let [(a, kept_out), (b, kept_err)] = finish(keeper(&out, cap, piece), keeper(&err, cap, piece), cap);
            prop_assert!(kept_out.len() + kept_err.len() <= cap);
            for (kept, bytes, all) in [(&a, &kept_out, &out), (&b, &kept_err, &err)] {
                prop_assert_eq!(kept.bytes, all.len() as u64);
                prop_assert_eq!(kept.truncated, bytes.len() < all.len());
                prop_assert_eq!(kept.digest, Digest::of(bytes));
                let (head, tail) = bytes.split_at(kept.head as usize);
                prop_assert!(all.starts_with(head) && all.ends_with(tail));
            }
            if out.len() + err.len() <= cap {
                prop_assert!(!a.truncated && !b.truncated);
            }
        }
    }

    #[test]
    fn an_unequal_pair_shares_the_cap() {
        let [(out, _), (err, _)] = finish(keeper(&[1; 100], 40, 7), keeper(&[2; 4], 40, 7), 40);
        assert!(out.truncated && !err.truncated);
    }
}
