//! Chats with real processes: a server, a probe, a scripted model over HTTP, and people who ask, follow and approve.
//!
//! Proves that a change by chat passes the same gate as every other, and that a conversation outlives its server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

#[path = "chat/people.rs"]
mod people;
#[path = "chat/restart.rs"]
mod restart;
#[path = "chat/stage.rs"]
mod stage;
#[path = "chat/terminal.rs"]
mod terminal;
