//! What the probe and the helper say to each other over their socket.
//!
//! Owns the two messages and their framing: a length and JSON down, lines of JSON up. Never leaves this host.
//! Invariant: both directions are bounded, and an order that does not parse is not run.

use super::{Confine, Layer, Limits, Secrets};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Most bytes of an order.
pub(super) const ORDER_BYTES_MAX: usize = 4 << 20;
/// Most bytes that a helper says in all.
pub(super) const WORDS_BYTES_MAX: u64 = 64 << 10;
/// The byte that asks the helper to kill everything it started.
pub(super) const KILL: u8 = b'k';

/// What the helper is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Job {
    /// Run a program.
    Run(Box<Work>),
    /// Try each layer and say which hold.
    Trial,
}

/// A program to run, with everything decided.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Work {
    pub(super) argv: Vec<String>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) confine: Confine,
    pub(super) timeout_ms: u64,
    pub(super) secrets: Arc<Secrets>,
    pub(super) limits: Limits,
    /// Second names of secrets, as far as they are known; nothing when they are not looked at.
    pub(super) aliases: Option<Vec<PathBuf>>,
    /// The layers to set up; each of them, or nothing runs.
    pub(super) layers: Vec<Layer>,
}

impl Work {
    /// Whether the layer is ordered.
    pub(super) fn has(&self, layer: Layer) -> bool {
        self.layers.contains(&layer)
    }

    /// Whether the program may write somewhere outside its scratch space.
    pub(super) fn changes(&self) -> bool {
        matches!(self.confine, Confine::Change(_))
    }

    /// Whether the program may use IPv4 and IPv6.
    pub(super) fn net(&self) -> bool {
        match &self.confine {
            Confine::Observe => false,
            Confine::Diagnose | Confine::Unconfined => true,
            Confine::Change(effects) => effects.net,
        }
    }

    /// The paths that are open for writing.
    pub(super) fn write(&self) -> &[String] {
        match &self.confine {
            Confine::Change(effects) => &effects.write,
            Confine::Observe | Confine::Diagnose | Confine::Unconfined => &[],
        }
    }
}

/// What the helper says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// Nothing was run: a layer could not be set up.
    Fault { step: String, detail: String },
    /// The program or its directory is not to be had.
    NoStart { what: String, detail: String, missing: Missing },
    /// The program ended.
    Ended { code: Option<i32>, signal: Option<i32> },
    /// A layer was tried.
    Tried { layer: Layer, fault: Option<String> },
    /// All layers together were tried.
    Whole { fault: Option<String> },
}

/// Whether what could not be started exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Missing {
    /// There is no such program.
    Program,
    /// Something else is wrong.
    Nothing,
}
