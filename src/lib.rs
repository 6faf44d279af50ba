//! One process with every role: `legator up`.
//!
//! Owns the composition of roles, their settings, keys and sockets. Never decides anything about hosts or plans.
//! Invariant: the authority's key is read here and given to the worker only.

pub mod bootstrap;
pub mod config;
mod doorstep;
mod files;
pub mod ground;
pub mod keys;
mod lock;
pub mod log;
pub mod server;
pub mod up;
