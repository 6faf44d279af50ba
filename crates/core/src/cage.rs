//! What a kernel can hold back on a host.
//!
//! Owns the report only; the cage itself is the probe's.

use serde::{Deserialize, Serialize};

/// How much of the cage there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CageState {
    /// Every layer.
    Full,
    /// Some layers.
    Partial,
    /// None that counts.
    None,
}

/// What there is and what is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CageReport {
    /// How much of it.
    pub state: CageState,
    /// The layers that are missing, for people.
    pub missing: Vec<String>,
}
