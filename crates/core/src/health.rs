//! How well a host is: a score with named reasons, from recorded figures.
//!
//! Owns the figures and the rules over them. Pure: what is not recorded is a reason itself, never "fine".

pub(crate) mod rules;

#[cfg(test)]
pub(crate) mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::inventory::{self, Certificate, Clock, Listing, Service, Ssh, Updates};
use crate::time::Timestamp;

pub use rules::score;

/// Why a score or a level is not the best.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable word, such as `disk-full`.
    pub code: String,
    /// In a sentence, for people.
    pub text: String,
    /// How much it counts.
    pub weight: u8,
}

impl Reason {
    /// A reason of this weight.
    pub fn new(code: &str, text: impl Into<String>, weight: u8) -> Self {
        Self { code: code.to_owned(), text: text.into(), weight }
    }
}

/// How well a host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// 0 to 100; 100 only where everything was recorded and nothing is wrong.
    pub score: u8,
    /// What was taken off, the heaviest first.
    pub reasons: Vec<Reason>,
}

/// All that is recorded of a host and counts for its health and risk. What is absent is not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// The last figures, and when they came.
    pub metrics: Option<(Timestamp, Metrics)>,
    /// Services.
    pub services: Option<Vec<Service>>,
    /// Pending updates.
    pub updates: Option<Updates>,
    /// The clock.
    pub clock: Option<Clock>,
    /// How one may sign in.
    pub ssh: Option<Ssh>,
    /// Certificates.
    pub certificates: Option<Vec<Certificate>>,
}

impl Recorded {
    /// What stands in the last figures and in the parts of the inventory.
    pub fn new(metrics: Option<(Timestamp, Metrics)>, parts: &BTreeMap<String, Value>) -> Self {
        let part = |name: &str| parts.get(name);
        Self {
            metrics,
            services: inventory::read::<Listing<Service>>(part("services")).map(|list| list.items),
            updates: inventory::read(part("updates")),
            clock: inventory::read(part("clock")),
            ssh: inventory::read(part("ssh")),
            certificates: inventory::read::<Listing<Certificate>>(part("certificates"))
                .map(|list| list.items),
        }
    }
}

/// Figures of a host at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Processors.
    pub cpus: u32,
    /// Memory in bytes: all, and what can be had without swapping.
    pub memory_total: u64,
    /// Available memory, in bytes.
    pub memory_available: u64,
    /// Swap in bytes.
    pub swap_total: u64,
    /// Used swap, in bytes.
    pub swap_used: u64,
    /// Pages swapped in and out since the last figures.
    pub swap_pages: u64,
    /// Mounted file systems that can be written: path, bytes, bytes available.
    pub disks: Vec<Disk>,
    /// Processes.
    pub processes: u32,
    /// Seconds since boot.
    pub uptime_s: u64,
    /// Resident memory of the probe, in bytes.
    pub probe_rss: u64,
    /// Receipts that wait at the probe.
    pub probe_waiting: u32,
}

/// One file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Where it is mounted.
    pub path: String,
    /// Its size in bytes.
    pub total: u64,
    /// What is available, in bytes.
    pub available: u64,
}
