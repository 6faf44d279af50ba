//! The closed list of ways in which a request can fail, with one meaning each on every door.
//!
//! Owns the kinds and what they are called. The table to HTTP stands in the API, the table to exit codes in the command line.

use serde::{Deserialize, Serialize};

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The input cannot be right; the same again fails again.
    Invalid,
    /// Nobody is known to be asking.
    Unauthenticated,
    /// Who asks has no right to it.
    Forbidden,
    /// A policy or a state of trust says no.
    Refused,
    /// There is no such thing for who asks.
    NotFound,
    /// It was changed meanwhile, or is not in a state for this.
    Conflict,
    /// Its time is over.
    Expired,
    /// Too often.
    RateLimited,
    /// Too big.
    TooLarge,
    /// It took too long.
    Timeout,
    /// Something needed is away; the same again may succeed.
    Unavailable,
    /// A fault of Legator's own.
    Internal,
}

/// A failure as it is told to whoever asked: public text only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// Its kind.
    pub kind: ErrorKind,
    /// A stable word for programs, kebab-case, such as `plan-not-pending`.
    pub code: &'static str,
    /// What happened, in a sentence.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The rule that refused, where a policy did.
    pub rule: Option<String>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: ErrorKind, code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, code, detail: detail.into(), hint: None, rule: None }
    }

    /// The input cannot be right.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, detail)
    }

    /// It is not in a state for this.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, code, detail)
    }

    /// Who asks has no right to it.
    pub fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, code, detail)
    }

    /// There is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorKind::NotFound, "not-found", format!("there is no such {what}"))
    }

    /// The same, saying what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, naming the rule that refused.
    #[must_use]
    pub fn rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }
}
