//! What time it is, as a parameter.
//!
//! Owns the trait only; the real clock belongs to the binaries, the fixed one to the tests.

use crate::time::Timestamp;

/// A source of the present moment.
pub trait Clock: Send + Sync {
    /// The present moment. May go backwards when the machine's clock is set.
    fn now(&self) -> Timestamp;
}
