//! Every command of `legatorctl`, as the real program, against a real server with real probes, and against servers that are odd or lie.
//!
//! Owns the snapshots of what people see (`tests/ctl/snapshots`; UPDATE_SNAPSHOTS=1 writes them anew). Ids and times stand as x and 0.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

#[path = "ctl/fake.rs"]
mod fake;
#[path = "ctl/odd.rs"]
mod odd;
#[path = "ctl/people.rs"]
mod people;
#[path = "ctl/runner.rs"]
mod runner;
#[path = "ctl/session.rs"]
mod session;
#[path = "ctl/terminal.rs"]
mod terminal;
#[path = "ctl/words.rs"]
mod words;
