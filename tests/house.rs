//! The rules of the house, checked: which crate may see which, how files begin, how long they and their functions are, what is never called.
//!
//! Reads the sources and `cargo metadata`; changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

#[path = "house/arrows.rs"]
mod arrows;
#[path = "house/licences.rs"]
mod licences;
#[path = "house/sources.rs"]
mod sources;
