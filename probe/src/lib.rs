//! The agent on a host: it verifies, runs and reports; it never reasons.
//!
//! Owns everything of `legator-probe`: enrolment, the session, the desk where grants are checked, the journal, the verbs, the cage, the
//! inventory. Never acts without a grant of the pinned authority. Invariant: what was reported as done was done, verified and signed here.

pub mod cage;
pub mod config;
pub mod desk;
pub mod disk;
pub mod enrol;
pub mod error;
pub mod foreign;
pub mod identity;
pub mod init;
pub mod inventory;
pub mod journal;
pub mod keep;
pub mod limits;
pub mod mask;
pub mod metrics;
pub mod preimage;
pub mod probe;
pub mod run;
pub mod session;
pub mod status;
pub mod system;
pub mod verbs;
