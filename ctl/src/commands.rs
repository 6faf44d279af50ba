//! The commands, one file a noun.
//!
//! Each reads its words, asks the API, shows the answer. None decides anything that the server decides.

pub mod approvals;
pub mod audit;
pub mod chat;
pub mod exec;
pub mod hosts;
pub mod keys;
pub mod login;
pub mod people;
pub mod plans;
pub mod policies;
pub mod prompt;
pub mod tokens;
pub mod verbs;
pub mod verdict;
