//! The layers of the cage, by name.
//!
//! Owns the list. Never decides which hold on a host (`report`) or how they are made (`helper`).
//! Invariant: every layer is tried, reported and switched by the same name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One layer of the cage. Each is there for what the others miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Every mount read-only; private `/tmp`, `/dev/shm` and a minimal `/dev`.
    Mounts,
    /// Empty files and folders over secrets.
    Masks,
    /// Landlock: reading and executing only, no way around by `/proc/<pid>/root`, no FIFOs, devices, ptrace.
    Landlock,
    /// A user without rights, no new privileges.
    Rights,
    /// Own PID and IPC namespace: no other process can be named.
    Isolation,
    /// The system call filter.
    Seccomp,
    /// Resource limits, no core files.
    Limits,
}

impl Layer {
    /// All layers, in the order in which they are set up.
    pub const ALL: [Self; 7] = [
        Self::Isolation,
        Self::Mounts,
        Self::Masks,
        Self::Limits,
        Self::Rights,
        Self::Landlock,
        Self::Seccomp,
    ];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mounts => "mounts",
            Self::Masks => "masks",
            Self::Landlock => "landlock",
            Self::Rights => "rights",
            Self::Isolation => "isolation",
            Self::Seccomp => "seccomp",
            Self::Limits => "limits",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
