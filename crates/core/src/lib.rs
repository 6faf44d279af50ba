//! The domain of Legator: values that cannot be wrong and decisions that are pure.
//!
//! Owns the words of the product (hosts, plans, tasks, approvals, events) and the rules over them.
//! Never does I/O: no clock, no randomness, no environment; what varies is a parameter.
//! Invariant: a value of a type in this crate was parsed once and is valid ever after.

pub mod audit;
pub mod brain;
pub mod cage;
pub mod clock;
pub mod decision;
pub mod digest;
pub mod error;
pub mod event;
pub mod health;
pub mod ids;
pub mod inventory;
pub mod level;
pub mod merkle;
pub mod plan;
pub mod rights;
pub mod risk;
pub mod selector;
pub mod session;
pub mod span;
pub mod task;
pub mod text;
pub mod time;
pub mod verbs;
