//! The installed service, and the service verbs, on machines of the tests' own with systemd, OpenRC and sysv in charge.
//!
//! What it proves stands in the names of the tests. systemd and OpenRC are the real ones of Debian.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    dead_code
)]

use legator_wire as wire;

#[path = "process/edge.rs"]
mod edge;
#[path = "process/host.rs"]
mod host;
#[path = "machine/installed.rs"]
mod installed;
#[path = "machine/private.rs"]
mod private;
#[path = "../../crates/wire/tests/grants/scene.rs"]
mod scene;
#[path = "machine/services.rs"]
mod services;
