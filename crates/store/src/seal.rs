//! The keys that seal rows, and the arithmetic of a set of seals.
//!
//! Owns HMAC-SHA256 (RFC 2104) over rows and over sets of rows. Never shows a key; the key never reaches the database.
//! Invariant: the sum over a set is not stored anywhere, only its seal, so that nothing can be solved for another set.

use crate::secrets::DataSeed;
use hmac::{Hmac, KeyInit as _, Mac as _};
use legator_core::digest::Digest;
use legator_core::ids::TenantId;
use sha2::Sha256;
use zeroize::Zeroizing;

/// What a row's seal covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub kind: &'a str,
    pub tenant: TenantId,
    pub id: &'a str,
    pub version: u64,
    pub content: &'a str,
}

struct Key {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

impl Key {
    fn new(bytes: [u8; 32]) -> Self {
        let id = Digest::of_parts(&[b"legator seal key id\0", &bytes]).hex().chars().take(16).collect();
        Self { id, bytes: Zeroizing::new(bytes) }
    }

    fn mac(&self, label: &str, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.bytes.as_slice()).ok()?;
        mac.update(label.as_bytes());
        mac.update(&[0]);
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        Some(mac)
    }

    fn of(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        // A key of any length is taken by HMAC; without a mac nothing verifies.
        self.mac(label, parts).map(|mac| mac.finalize().into_bytes().into()).unwrap_or_default()
    }

    fn holds(&self, label: &str, parts: &[&[u8]], seal: &[u8]) -> bool {
        self.mac(label, parts).is_some_and(|mac| mac.verify_slice(seal).is_ok())
    }
}

/// Seals rows and checks seals.
pub struct Sealer {
    /// The first one seals; all verify.
    keys: Vec<Key>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

fn with_row<T>(row: &Row<'_>, then: impl FnOnce(&[&[u8]]) -> T) -> T {
    let (tenant, version) = (row.tenant.bits().to_be_bytes(), row.version.to_be_bytes());
    then(&[row.kind.as_bytes(), &tenant, row.id.as_bytes(), &version, row.content.as_bytes()])
}

impl Sealer {
    /// Seals with `key`; also takes the seals of `older` keys.
    pub fn new(key: [u8; 32], older: &[[u8; 32]]) -> Self {
        Self { keys: std::iter::once(key).chain(older.iter().copied()).map(Key::new).collect() }
    }

    /// A key of another purpose from each of these, under their names: the first one is the one in use.
    pub(crate) fn derived(&self, purpose: &str) -> Vec<DataSeed> {
        let one = |key: &Key| DataSeed { id: key.id.clone(), bytes: Zeroizing::new(key.of(purpose, &[])) };
        self.keys.iter().map(one).collect()
    }

    /// A digest that nobody without the key can try values against.
    pub(crate) fn keyed(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        self.first(purpose, &[bytes])
    }

    /// The name of the key that seals.
    pub(crate) fn key_id(&self) -> String {
        self.keys.first().map(|key| key.id.clone()).unwrap_or_default()
    }

    fn first(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.keys.first().map(|key| key.of(label, parts)).unwrap_or_default()
    }

    fn any(&self, key_id: &str, label: &str, parts: &[&[u8]], seal: &[u8]) -> bool {
        self.keys.iter().any(|key| key.id == key_id && key.holds(label, parts, seal))
    }

    pub(crate) fn seal_row(&self, row: &Row<'_>) -> [u8; 32] {
        with_row(row, |parts| self.first("row", parts))
    }

    pub(crate) fn row_holds(&self, row: &Row<'_>, key_id: &str, seal: &[u8]) -> bool {
        with_row(row, |parts| self.any(key_id, "row", parts, seal))
    }

    /// The secret number that stands for a row in its set's sum. It depends on the row's seal alone.
    pub(crate) fn element(&self, seal: &[u8; 32]) -> Sum {
        Sum::from_bytes(&self.first("element", &[seal]))
    }

    pub(crate) fn seal_set(&self, tenant: TenantId, head: &Head) -> [u8; 32] {
        head.with_parts(tenant, |parts| self.first("set", parts))
    }

    pub(crate) fn set_holds(&self, tenant: TenantId, head: &Head, key_id: &str, seal: &[u8]) -> bool {
        // The sum is made with the first key, so a set sealed under an older key is summed anew by the caller's load.
        head.with_parts(tenant, |parts| self.any(key_id, "set", parts, seal))
    }

    /// The sealers of each single key, first the one that seals: a set is summed with the key that sealed it.
    pub(crate) fn element_under(&self, key_id: &str, seal: &[u8; 32]) -> Option<Sum> {
        let key = self.keys.iter().find(|key| key.id == key_id)?;
        Some(Sum::from_bytes(&key.of("element", &[seal])))
    }
}

/// A number modulo 2^256: the sum over a set's elements, independent of their order.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum([u64; 4]);

impl Sum {
    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = chunk.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        }
        Self(limbs)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        let mut carry = 0u128;
        let mut limbs = [0; 4];
        for ((out, a), b) in limbs.iter_mut().zip(self.0).zip(other.0) {
            let total = u128::from(a) + u128::from(b) + carry;
            *out = u64::try_from(total & u128::from(u64::MAX)).unwrap_or(0);
            carry = total >> 64;
        }
        Self(limbs)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        let one = Self([1, 0, 0, 0]);
        self.plus(Self(other.0.map(|limb| !limb)).plus(one))
    }
}

/// A tenant's set of sealed rows in short: how often it changed, how many rows it has, and their sum.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub version: u64,
    pub count: u64,
    pub sum: Sum,
}

impl Head {
    fn with_parts<T>(&self, tenant: TenantId, then: impl FnOnce(&[&[u8]]) -> T) -> T {
        let (tenant, version, count) =
            (tenant.bits().to_be_bytes(), self.version.to_be_bytes(), self.count.to_be_bytes());
        let mut sum = Vec::with_capacity(32);
        self.sum.0.iter().for_each(|limb| sum.extend_from_slice(&limb.to_le_bytes()));
        then(&[&tenant, &version, &count, &sum])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sum_forgets_the_order_and_what_was_taken_away(a: [u8; 32], b: [u8; 32], c: [u8; 32]) {
            let [a, b, c] = [a, b, c].map(|bytes| Sum::from_bytes(&bytes));
            prop_assert!(a.plus(b).plus(c) == c.plus(a).plus(b));
            prop_assert!(a.plus(b).minus(b) == a);
            prop_assert!(a.minus(b).plus(b) == a);
        }

        #[test]
        fn a_seal_holds_for_its_row_and_key_only(content in "\\PC{0,40}", id in "[a-z]{1,8}", version: u64) {
            let sealer = Sealer::new([1; 32], &[]);
            let other = Sealer::new([2; 32], &[[1; 32]]);
            let row = Row { kind: "person", tenant: TenantId::DEFAULT, id: &id, version, content: &content };
            let seal = sealer.seal_row(&row);
            let key = sealer.key_id();
            prop_assert!(sealer.row_holds(&row, &key, &seal));
            prop_assert!(other.row_holds(&row, &key, &seal), "older keys verify");
            prop_assert!(!Sealer::new([3; 32], &[]).row_holds(&row, &key, &seal));
            let longer = format!("{content} ");
            let others = [
                Row { kind: "token", ..row },
                Row { tenant: TenantId::new(2), ..row },
                Row { version: version ^ 1, ..row },
                Row { content: &longer, ..row },
            ];
            for other in others {
                prop_assert!(!sealer.row_holds(&other, &key, &seal), "another row");
            }
        }
    }
}
