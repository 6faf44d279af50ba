//! The verbs done for real on this machine: their effects are looked for, not their words.
//!
//! Changes only what it made itself: temporary folders, its own children, an nginx of its own that it stops again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

#[path = "verbs/bench.rs"]
mod bench;
#[path = "verbs/files.rs"]
mod files;
#[path = "verbs/looks.rs"]
mod looks;
#[path = "verbs/network.rs"]
mod network;
#[path = "verbs/packages.rs"]
mod packages;
#[path = "verbs/services.rs"]
mod services;
#[path = "verbs/shell.rs"]
mod shell;
#[path = "verbs/system.rs"]
mod system;
