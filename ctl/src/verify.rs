//! `audit verify`: checks an exported log offline, trusting nothing but a pinned fingerprint.
//!
//! Owns what is printed and the exit code; the checks stand in `legator_core::audit`.

use crate::commands::audit::Verify;
use crate::context::Wish;
use crate::exit::{Fault, Outcome};
use crate::out::Format;

/// Runs it.
pub fn run(_verify: &Verify, _wish: &Wish, _format: Format) -> Outcome {
    Err(Fault::failed("not here yet"))
}
