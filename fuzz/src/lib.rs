//! What every reader of foreign bytes must hold to, as functions over bytes: replayed by tests, driven by libFuzzer.
//!
//! Owns the targets, the good examples that they start from, and the mutations of the replay. For development only: nothing of the product
//! imports it. Invariant: a broken promise is a panic that says which one; whatever the bytes are, nothing else panics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

pub mod dice;
pub mod edits;
pub mod mutate;
pub mod targets;

use legator_wire as wire;

// The very scene that the tests of grants tamper with.
#[path = "../../crates/wire/tests/grants/scene.rs"]
mod scene;

/// A reader of foreign bytes and what it must hold to.
pub struct Target {
    /// Its name: that of its folder of seeds.
    pub name: &'static str,
    /// Panics when a promise is broken on these bytes.
    pub hold: fn(&[u8]),
    /// Good examples: the seeds are written from them.
    pub examples: fn() -> Vec<Vec<u8>>,
    /// What a mutation puts in: words that the reader looks for.
    pub words: &'static [&'static str],
}

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    targets::ALL.iter().find(|target| target.name == name)
}
