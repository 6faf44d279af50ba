//! The HTTP door as a whole: every route with every kind of key, bad inputs over plain sockets, tenants, what stops a start.
//!
//! Runs the real server in this process, or the real binary where the process itself is what is tested. Changes nothing outside temporary folders.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

#[path = "http/corpus.rs"]
mod corpus;
#[path = "http/document.rs"]
mod document;
#[path = "http/families.rs"]
mod families;
#[path = "http/figures.rs"]
mod figures;
#[path = "http/lifecycle.rs"]
mod lifecycle;
#[path = "http/names.rs"]
mod names;
#[path = "http/once.rs"]
mod once;
#[path = "http/plain.rs"]
mod plain;
#[path = "http/routes.rs"]
mod routes;
#[path = "http/rows.rs"]
mod rows;
#[path = "http/slow.rs"]
mod slow;
#[path = "http/streams.rs"]
mod streams;
#[path = "http/tenants.rs"]
mod tenants;
#[path = "http/tls.rs"]
mod tls;
#[path = "http/world.rs"]
mod world;
