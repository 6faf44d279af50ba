//! What a host is made of: the parts of an inventory, their limits, and what changed between two of them.
//!
//! Owns the model of each part and the words for a change. Never trusts a host: what does not parse is absent, what is too much is cut.
//! Invariant: a list that was cut says so, with how many there were.

mod differences;
mod parts;

#[cfg(test)]
mod tests;

pub use differences::{DIFFERENCES_MAX, differences};
pub use parts::*;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Items of one part, at most.
pub const ITEMS_MAX: usize = 10_000;
/// The JSON of one part, in bytes at most: in an envelope it still fits a frame.
pub const PART_BYTES_MAX: usize = 600 * 1024;
/// One text of an inventory, in bytes at most.
pub const TEXT_BYTES_MAX: usize = 512;

/// The names of all parts.
pub const PARTS: [&str; 18] = [
    "os",
    "cpu",
    "memory",
    "disks",
    "interfaces",
    "sockets",
    "services",
    "packages",
    "users",
    "sudo",
    "schedules",
    "containers",
    "updates",
    "clock",
    "certificates",
    "ssh",
    "cloud",
    "kubernetes",
];

/// A list that is bounded, and says so when it had to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing<T> {
    /// The items that are kept.
    pub items: Vec<T>,
    /// How many there were.
    pub total: u64,
    /// Whether items were left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { items: Vec::new(), total: 0, cut: false }
    }
}

impl<T: Serialize> Listing<T> {
    /// These items, as many as the limits allow, from the first.
    pub fn bounded(items: Vec<T>) -> Self {
        let total = items.len() as u64;
        let mut bytes = 64;
        let fits = |item: &T| {
            bytes += serde_json::to_vec(item).map_or(0, |text| text.len()) + 1;
            bytes <= PART_BYTES_MAX
        };
        let items: Vec<T> = items.into_iter().take(ITEMS_MAX).take_while(fits).collect();
        let cut = (items.len() as u64) < total;
        Self { items, total, cut }
    }
}

/// A text brought to its limit, without control characters.
pub fn text(raw: &str) -> String {
    let mut out = String::new();
    for c in raw.chars().filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out
}

/// A part read back: absent when it is not there or not what it should be.
pub fn read<T: DeserializeOwned>(part: Option<&Value>) -> Option<T> {
    part.and_then(|value| T::deserialize(value).ok())
}

/// Whether a part as it came from a host may be stored under this name.
pub fn acceptable(name: &str, part: &Value) -> bool {
    PARTS.contains(&name) && serde_json::to_vec(part).is_ok_and(|bytes| bytes.len() <= PART_BYTES_MAX)
}
