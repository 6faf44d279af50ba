//! What can go wrong in a probe, in words for the person who runs it.
//!
//! Owns one variant for each thing that was being done. Never carries a secret.

use std::path::PathBuf;

/// A failure of the probe itself. What it refuses to do for others stands in receipts instead.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The configuration is not one.
    #[error("{path}: {detail}")]
    Config {
        /// The file.
        path: String,
        /// What is wrong, and what to write instead.
        detail: String,
    },
    /// A file could not be read or written.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// `read`, `write` …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the state folder is not what it should be.
    #[error(
        "{path} is damaged: {detail}; nothing is trusted from it. Remove the host and enrol anew with an empty state folder"
    )]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Another process works with this state folder.
    #[error("another probe works with {0}: stop it first, or give this one a --state-dir of its own")]
    InUse(PathBuf),
    /// Not enrolled, and no token to do so.
    #[error("this host is not enrolled: give --server and --token (POST /api/v1/tokens makes one)")]
    NotEnrolled,
    /// Installing and removing take root.
    #[error("{0} changes the system: run it as root (sudo legator-probe {0} …)")]
    NotRoot(&'static str),
    /// The service was started and does not run.
    #[error("{manager} was told to start legator-probe, and it does not run: {hint}")]
    NotRunning {
        /// Which service manager.
        manager: &'static str,
        /// Where to look.
        hint: String,
    },
    /// The token is not one.
    #[error("the token is not of the form lt_<id>_<secret>_<fingerprint>: copy it whole")]
    BadToken,
    /// The server's address is not one.
    #[error("{0:?} is no server: give http://host:port or https://host:port")]
    BadServer(String),
    /// The server answered with another authority than the token names.
    #[error(
        "the server's authority is {found}, and the token was made by {wanted}: somebody stands between, or it is another installation. Nothing was stored"
    )]
    OtherAuthority {
        /// The first digits of the token's fingerprint.
        wanted: String,
        /// The fingerprint that came.
        found: String,
    },
    /// The server refused.
    #[error("the server refused ({status}): {detail}")]
    Denied {
        /// The HTTP status.
        status: u16,
        /// What it said, cut.
        detail: String,
    },
    /// The server cannot be reached.
    #[error("cannot reach {server}: {detail}")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        detail: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// No randomness.
    #[error("the kernel gives no randomness: {0}")]
    Randomness(String),
    /// The journal is closed, or could not be written.
    #[error("the journal cannot be written: {0}")]
    Journal(String),
    /// A program of the service manager failed.
    #[error("{program} failed: {detail}")]
    Program {
        /// Which.
        program: String,
        /// What it said.
        detail: String,
    },
}

impl ProbeError {
    /// A failed read or write.
    pub fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
