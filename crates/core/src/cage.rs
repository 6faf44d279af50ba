//! What a host's kernel can do to hold a command, as the probe found by trying.
//!
//! Owns the report that policy decides on. Never tries anything itself.
//! Invariant: `Full` has nothing missing, and the other states name what is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How much of the cage a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CageState {
    /// Every layer was tried and holds.
    Full,
    /// At least one layer that makes the host read-only holds, and at least one layer is missing.
    Partial,
    /// Nothing makes the host read-only.
    None,
}

impl CageState {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}

impl fmt::Display for CageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What the probe found when it tried each layer of the cage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CageReport {
    /// How much of the cage there is.
    pub state: CageState,
    /// One line a missing layer: its name, a colon, and why it is missing. At most 16 lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl CageReport {
    /// A host on which every layer holds.
    pub fn full() -> Self {
        Self { state: CageState::Full, missing: Vec::new() }
    }

    /// A host on which nothing holds a command, and why.
    pub fn none(why: impl Into<String>) -> Self {
        Self { state: CageState::None, missing: vec![why.into()] }
    }

    /// Whether every layer holds.
    pub fn is_full(&self) -> bool {
        self.state == CageState::Full && self.missing.is_empty()
    }
}
