//! The real clock and the real source of ids of the server.
//!
//! Owns wall time and fresh ids on the server side; everything else gets them as parameters.

use legator_core::clock::Clock;
use legator_core::ids::Ids;
use legator_core::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// UUIDs of version 7 (RFC 9562): time-ordered, 74 random bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn fresh(&self) -> u128 {
        uuid::Uuid::now_v7().as_u128()
    }
}
