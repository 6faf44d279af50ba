//! How well a host is: a score with named reasons, from recorded figures.
//!
//! Owns the figures and the rules over them. Pure: what is not recorded is a reason itself, never "fine".

use serde::{Deserialize, Serialize};

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
