//! What crosses a probe's WebSocket, version 1: frames, and the signed envelopes inside them.
//!
//! Owns keys, envelopes, and the check of a grant that the probe makes before it acts. Never does I/O.
//! Invariant: what a signature covers is checked as the bytes that came, never as bytes made again.

pub mod approval;
pub mod checkpoint;
pub mod corridor;
pub mod credential;
pub mod dsse;
pub mod frame;
pub mod grant;
pub mod hello;
pub mod inventory;
pub mod keys;
pub mod order;
pub mod receipt;
pub mod refusal;
pub mod secret;
pub mod trust;
