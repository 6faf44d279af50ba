//! How a command ends: one closed list of exit codes and the text that goes with a failure.
//!
//! Owns the table from HTTP problems to exit codes.

use serde_json::Value;
use std::fmt;

/// Exit codes, as documented in `legatorctl help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// The words of the command are off.
    Usage = 2,
    /// A policy or an approver says no.
    Refused = 3,
    /// Nobody is signed in, or the key does not count any more.
    SignIn = 4,
    /// It waits for approvals.
    Waiting = 5,
    /// Some hosts failed.
    SomeFailed = 6,
    /// The server cannot be reached.
    Unreachable = 7,
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
}

/// A failed command: its exit code and what to print.
#[derive(Debug)]
pub struct Fault {
    /// The exit code.
    pub exit: Exit,
    /// What happened.
    pub text: String,
    /// What to do.
    pub hint: Option<String>,
}

/// The result of a command.
pub type Outcome = Result<Exit, Fault>;

impl Fault {
    /// A failure with this exit code.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), hint: None }
    }

    /// It failed.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(Exit::Failed, text)
    }

    /// The words are off.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// The same, saying what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The failure that a problem body (RFC 9457) tells of.
    pub fn from_problem(status: u16, problem: &Value) -> Self {
        let word = |name: &str| problem.get(name).and_then(Value::as_str).map(legator_core::text::shown);
        let exit = match status {
            401 => Exit::SignIn,
            403 => Exit::Refused,
            400 | 404 | 422 => Exit::Usage,
            502..=504 => Exit::Unreachable,
            _ => Exit::Failed,
        };
        let detail = word("detail")
            .or_else(|| word("title"))
            .unwrap_or_else(|| format!("the server answered {status}"));
        let text = match word("code") {
            Some(code) => format!("{detail} ({code})"),
            None => detail,
        };
        Self { exit, text, hint: word("hint") }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  {hint}"))
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_status_has_its_exit_code() {
        let table = [
            (401, Exit::SignIn),
            (403, Exit::Refused),
            (404, Exit::Usage),
            (409, Exit::Failed),
            (500, Exit::Failed),
        ];
        for (status, exit) in table {
            assert_eq!(Fault::from_problem(status, &json!({})).exit, exit, "{status}");
        }
    }

    #[test]
    fn a_hostile_detail_is_shown_without_its_escapes() {
        let fault = Fault::from_problem(409, &json!({"detail": "no \u{1b}[31mred\u{1b}[0m", "code": "x"}));
        assert!(!fault.to_string().contains('\u{1b}'));
    }
}
