//! The real clock and the real source of ids and randomness of a probe.
//!
//! Owns what is not a parameter anywhere else. Invariant: two ids of one process never coincide, and later ones sort later (UUID version 7).

use legator_core::clock::Clock;
use legator_core::ids::Ids;
use legator_core::time::Timestamp;
use rand::TryRngCore as _;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::ProbeError;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Ids from the clock and the kernel's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn fresh(&self) -> u128 {
        let millis = u128::try_from(SystemClock.now().millis()).unwrap_or(0) & 0xffff_ffff_ffff;
        let random = u128::from_be_bytes(random_or_clock());
        let low = random & 0x0fff_3fff_ffff_ffff_ffff;
        millis << 80 | 0x7 << 76 | 0x8000_0000_0000_0000 | low
    }
}

/// Random bytes; a kernel that gives none leaves the monotonic part of the clock, which is enough for a name.
fn random_or_clock() -> [u8; 16] {
    let mut bytes = [0; 16];
    if rand::rngs::OsRng.try_fill_bytes(&mut bytes).is_err() {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        bytes = nanos.to_be_bytes();
    }
    bytes
}

/// 32 secret bytes from the kernel.
///
/// # Errors
/// The kernel gave none: no key is made then.
pub fn secret() -> Result<[u8; 32], ProbeError> {
    let mut bytes = [0; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| ProbeError::Randomness(error.to_string()))?;
    Ok(bytes)
}

/// A number between the two, both included; for jitter only.
pub fn between(low: u64, high: u64) -> u64 {
    let span = high.saturating_sub(low).saturating_add(1).max(1);
    let bytes = random_or_clock();
    let raw = u128::from_be_bytes(bytes) % u128::from(span);
    low.saturating_add(u64::try_from(raw).unwrap_or(0))
}
