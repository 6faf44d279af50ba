//! For tests only: real processes on ports of their own, simulated probes, a scripted model, a clock that stands still.
//!
//! Owns what tests share. Is never part of a product binary. What it starts it ends, by process id.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

pub mod clock;
pub mod model;
pub mod nginx;
pub mod process;
pub mod sim;
