//! Proofs from the stored tree: that an event is in the log, that an older log is the beginning of a newer one.
//!
//! Owns which hashes a proof needs and fetching them, about 256 rows for each step of the tree at most. Never signs.

use super::LEVELS;
use crate::{Store, StoreError, sql};
use legator_core::digest::Digest;
use legator_core::ids::TenantId;
use legator_core::merkle::node_hash;

/// Leaves from `start`, so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: u64,
    count: u64,
}

/// The largest power of two below `count`, which is at least two.
fn split(count: u64) -> u64 {
    (count.next_power_of_two() / 2).max(1)
}

/// The siblings on the way from leaf `index` to the root, lowest first (RFC 6962 §2.1.1).
fn inclusion_ranges(index: u64, tree: Range) -> Vec<Range> {
    if tree.count <= 1 {
        return Vec::new();
    }
    let middle = split(tree.count);
    let left = Range { start: tree.start, count: middle };
    let right = Range { start: tree.start + middle, count: tree.count - middle };
    let (inside, sibling) = if index < right.start { (left, right) } else { (right, left) };
    let mut ranges = inclusion_ranges(index, inside);
    ranges.push(sibling);
    ranges
}

#[derive(Clone, Copy)]
enum Whole {
    Yes,
    No,
}

/// The nodes of the proof that the first `older` leaves of a tree are its beginning (RFC 6962 §2.1.2).
fn consistency_ranges(older: u64, tree: Range, whole: Whole) -> Vec<Range> {
    if older == tree.count {
        return match whole {
            Whole::Yes => Vec::new(),
            Whole::No => vec![tree],
        };
    }
    let middle = split(tree.count);
    let left = Range { start: tree.start, count: middle };
    let right = Range { start: tree.start + middle, count: tree.count - middle };
    if older <= middle {
        let mut ranges = consistency_ranges(older, left, whole);
        ranges.push(right);
        ranges
    } else {
        let mut ranges = consistency_ranges(older - middle, right, Whole::No);
        ranges.push(left);
        ranges
    }
}

/// The complete subtrees that a range consists of, largest first, as (level, place).
fn perfect(range: Range) -> Vec<(u32, u64)> {
    let (mut start, mut rest, mut parts) = (range.start, range.count, Vec::new());
    while let Some(level) = rest.checked_ilog2() {
        parts.push((level, start >> level));
        start += 1 << level;
        rest -= 1 << level;
    }
    parts
}

fn fold(mut hashes: Vec<Digest>) -> Option<Digest> {
    while hashes.len() > 1 {
        let pairs = hashes.chunks(2);
        hashes = pairs
            .map(|pair| {
                if let [left, right] = pair {
                    node_hash(left, right)
                } else {
                    *pair.first().unwrap_or(&Digest::of(b""))
                }
            })
            .collect();
    }
    hashes.first().copied()
}

async fn subtree(
    store: &Store,
    tenant: TenantId,
    level: u32,
    place: u64,
) -> Result<Option<Digest>, StoreError> {
    let kept = level - level % LEVELS;
    let width = 1u64 << (level - kept);
    let (first, last) = (place * width, place * width + width - 1);
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let tenant = tenant.to_string();
    let rows = if kept == 0 {
        let text = "SELECT leaf FROM chain WHERE tenant = ? AND number BETWEEN ? AND ? ORDER BY number";
        sql::all(store.reader(), text, vec![tenant.into(), signed(first + 1).into(), signed(last + 1).into()])
            .await?
    } else {
        let text = "SELECT hash FROM chain_nodes WHERE tenant = ? AND level = ? AND place BETWEEN ? AND ? ORDER BY place";
        let values = vec![tenant.into(), i64::from(kept).into(), signed(first).into(), signed(last).into()];
        sql::all(store.reader(), text, values).await?
    };
    let mut hashes = Vec::with_capacity(rows.len());
    for row in &rows {
        let bytes: Vec<u8> = sql::column(row, 0)?;
        let bytes = <[u8; 32]>::try_from(bytes)
            .map_err(|_| StoreError::corrupt("hash of the chain", "not 32 bytes"))?;
        hashes.push(Digest::from_bytes(bytes));
    }
    if u64::try_from(hashes.len()).ok() != Some(width) {
        return Ok(None);
    }
    Ok(fold(hashes))
}

async fn hash(store: &Store, tenant: TenantId, range: Range) -> Result<Option<Digest>, StoreError> {
    let mut hashes = Vec::new();
    for (level, place) in perfect(range) {
        let Some(hash) = subtree(store, tenant, level, place).await? else { return Ok(None) };
        hashes.push(hash);
    }
    let mut hashes = hashes.into_iter().rev();
    let Some(last) = hashes.next() else { return Ok(Some(Digest::of(b""))) };
    Ok(Some(hashes.fold(last, |right, left| node_hash(&left, &right))))
}

async fn hashes(
    store: &Store,
    tenant: TenantId,
    ranges: Vec<Range>,
) -> Result<Option<Vec<Digest>>, StoreError> {
    let mut proof = Vec::with_capacity(ranges.len());
    for range in ranges {
        let Some(hash) = hash(store, tenant, range).await? else { return Ok(None) };
        proof.push(hash);
    }
    Ok(Some(proof))
}

/// The root over the first `size` records, made from what is stored; `None` when there are not so many.
pub async fn root(store: &Store, tenant: TenantId, size: u64) -> Result<Option<Digest>, StoreError> {
    hash(store, tenant, Range { start: 0, count: size }).await
}

/// The proof that record `number` is in the log of this size; `None` when it is not there. The leaf's place is `number` − 1.
pub async fn inclusion(
    store: &Store,
    tenant: TenantId,
    number: u64,
    size: u64,
) -> Result<Option<Vec<Digest>>, StoreError> {
    if number == 0 || number > size || size > super::newest(store, tenant).await? {
        return Ok(None);
    }
    hashes(store, tenant, inclusion_ranges(number - 1, Range { start: 0, count: size })).await
}

/// The proof that the log of size `older` is the beginning of that of size `newer`; `None` when there are no such logs.
pub async fn consistency(
    store: &Store,
    tenant: TenantId,
    older: u64,
    newer: u64,
) -> Result<Option<Vec<Digest>>, StoreError> {
    if older == 0 || older > newer || newer > super::newest(store, tenant).await? {
        return Ok(None);
    }
    hashes(store, tenant, consistency_ranges(older, Range { start: 0, count: newer }, Whole::Yes)).await
}
