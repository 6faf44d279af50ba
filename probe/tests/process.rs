//! A real `legator-probe` process against a small server: joining, running, refusing, crashing, installing.
//!
//! What it proves stands in the names of the tests. Nothing here reaches into the process: it is spoken to, killed and started.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_wire as wire;

#[path = "../../crates/wire/tests/grants/cases.rs"]
mod cases;
#[path = "process/edge.rs"]
mod edge;
#[path = "process/forge.rs"]
mod forge;
#[path = "process/heavy.rs"]
mod heavy;
#[path = "process/host.rs"]
mod host;
#[path = "process/install.rs"]
mod install;
#[path = "process/life.rs"]
mod life;
#[path = "../../crates/wire/tests/grants/scene.rs"]
mod scene;
#[path = "process/tampered.rs"]
mod tampered;
#[path = "process/trust.rs"]
mod trust;
