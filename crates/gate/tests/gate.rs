//! The gate over a real SQLite store, with a clock that stands still and receipts that hosts really sign.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

#[path = "gate/bench.rs"]
mod bench;
#[path = "gate/budget.rs"]
mod budget;
#[path = "gate/corpus.rs"]
mod corpus;
#[path = "gate/holes.rs"]
mod holes;
#[path = "gate/interleavings.rs"]
mod interleavings;
#[path = "gate/life.rs"]
mod life;
#[path = "gate/refused.rs"]
mod refused;
#[path = "gate/rollout.rs"]
mod rollout;
#[path = "gate/trust.rs"]
mod trust;
