//! What a host is, as its probe signs it.
//!
//! Owns the payload: whole at first, then only the parts that changed. The parts' model stands in `legator_core::inventory`.

use crate::dsse::Payload;
use legator_core::ids::HostId;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Inventory of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// The installation.
    pub installation: String,
    /// The host.
    pub host: HostId,
    /// Rises with each one sent; an older one changes nothing.
    pub sequence: u64,
    /// Whether parts that are not named are gone.
    pub whole: bool,
    /// The parts, by name.
    pub parts: BTreeMap<String, Value>,
    /// When, by the host's clock.
    pub made_at: Timestamp,
}

impl Payload for Inventory {
    const TYPE: &'static str = "application/vnd.legator.inventory.v1+json";
}
