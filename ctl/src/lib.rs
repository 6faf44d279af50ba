//! `legatorctl`: the command line of Legator.
//!
//! Owns words, output and exit codes. Only a client: it sees what the API shows, and what it signs or verifies it computes itself.
//! Data goes to standard output, everything else to standard error.

pub mod cli;
pub mod client;
pub mod commands;
pub mod context;
pub mod exit;
pub mod follow;
pub mod out;
pub mod plan;
pub mod sse;
pub mod table;
pub mod verify;
pub mod yaml;

pub use cli::run;
