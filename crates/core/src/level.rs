//! How much may happen on a host, and what a change may touch.
//!
//! Owns the order observe < diagnose < remediate and the effects that a caged change is opened for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The ceiling of what may run on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Read: nothing on the host changes and nothing is sent.
    Observe,
    /// Ask the network from the host; still no write to the host.
    Diagnose,
    /// Change the host.
    Remediate,
}

/// Why a text is not a level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a level: observe, diagnose or remediate")]
pub struct BadLevel(pub String);

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 3] = [Self::Observe, Self::Diagnose, Self::Remediate];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Diagnose => "diagnose",
            Self::Remediate => "remediate",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Level {
    type Err = BadLevel;
    fn from_str(text: &str) -> Result<Self, BadLevel> {
        let found = Self::ALL.into_iter().find(|level| level.word() == text);
        found.ok_or_else(|| BadLevel(text.chars().take(80).collect()))
    }
}

/// What a task may touch, as the approver sees it. Part of the plan's digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Effects {
    /// Absolute paths that may be written, with everything below them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<String>,
    /// Whether TCP and UDP over IPv4 and IPv6 are open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub net: bool,
    /// Nothing holds the change back but the rights of the probe itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unconfined: bool,
}

impl Effects {
    /// Nothing may be touched.
    pub fn none() -> Self {
        Self::default()
    }

    /// Anything may be touched.
    pub fn unconfined() -> Self {
        Self { unconfined: true, ..Self::default() }
    }
}
