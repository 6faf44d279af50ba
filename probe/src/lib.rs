//! The agent on a host: it verifies, runs and reports; it never reasons.
//!
//! Owns everything that happens on a host. Never holds a key other than its own.
//! Invariant: nothing runs before its grant was checked.

pub mod cage;
