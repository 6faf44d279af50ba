//! The kernel cage: runs a program so that the kernel, not the program's name, decides what it can do.
//!
//! Owns starting, confining, streaming and ending every program that a verb starts. Never builds a command line for a
//! shell and never judges a program by its name. All `unsafe` of the product stands in `cage::sys`.
//! Invariant: a confined program is executed only after every layer that was ordered is in force; else it is not executed.
//!
//! How: the probe starts itself again as a single-threaded helper (`cage-exec`), hands it the order over a socket, and
//! the helper sets up namespaces, mounts, Landlock, rights, seccomp and limits before it executes the program.

mod environment;
pub mod helper;
pub mod hint;
mod layer;
mod order;
mod pump;
mod report;
mod run;
mod secrets;
mod sys;

pub use layer::Layer;
pub use secrets::{SecretError, Secrets};

use legator_core::cage::CageReport;
use legator_core::level::Effects;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How a program is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confine {
    /// Reads the host; writes nothing, reaches nothing.
    Observe,
    /// As `Observe`, with TCP and UDP over IPv4 and IPv6.
    Diagnose,
    /// Runs with the probe's user; may write only below the named paths, and reach the network only if it says so.
    Change(Effects),
    /// Held by nothing but the probe's own rights; still without terminal, stdin and inherited descriptors.
    Unconfined,
}

/// What one program may use up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Private writable memory of each process, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads of the caged user at once.
    pub processes: u64,
    /// CPU time of each process, in seconds.
    pub cpu_seconds: u64,
    /// Open descriptors of each process.
    pub open_files: u64,
    /// Size of each private scratch file system (`/tmp`, `/dev/shm`), in bytes.
    pub scratch_bytes: u64,
    /// Output that is passed on, both streams together, in bytes; then the program's pipes are closed.
    pub output_bytes: u64,
    /// What to do on a host where not every layer holds.
    pub below_full: BelowFull,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            processes: 512,
            cpu_seconds: 900,
            open_files: 4096,
            scratch_bytes: 64 << 20,
            output_bytes: 8 << 30,
            below_full: BelowFull::Refuse,
        }
    }
}

/// What to do when the host's kernel cannot give every layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BelowFull {
    /// Run nothing. The default, and right for everything a person or a model typed.
    Refuse,
    /// Run with the layers there are: for a typed verb's own fixed program, or when an admin allowed it for the host.
    RunAnyway,
}

/// One program to run.
#[derive(Debug, Clone)]
pub struct Order {
    /// The program and its arguments. A bare program name is looked up in the rebuilt `PATH`.
    pub argv: Vec<String>,
    /// Where it starts; `/` when absent.
    pub cwd: Option<PathBuf>,
    /// How it is held.
    pub confine: Confine,
    /// After this it and everything it started is killed.
    pub timeout: Duration,
    /// What it must not read.
    pub secrets: Arc<Secrets>,
    /// What it may use up.
    pub limits: Limits,
}

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// A piece of output, as the program wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The stream it came from.
    pub stream: Stream,
    /// Bytes of that stream before this piece.
    pub offset: u64,
    /// At most 64 KiB, never empty, not necessarily text.
    pub bytes: Vec<u8>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, when it exited by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its time was over, so it was killed.
    pub timed_out: bool,
    /// It was cancelled, so it was killed.
    pub cancelled: bool,
    /// It printed a refusal of the kernel, as far as its first 64 KiB of each stream show; some programs then end with 0.
    pub denied: bool,
    /// From before the helper started until the end, on the monotonic clock.
    pub duration: Duration,
}

impl Exit {
    /// Exited by itself with code 0.
    pub fn success(&self) -> bool {
        self.code == Some(0) && !self.timed_out && !self.cancelled
    }
}

/// The step of [`CageError::Setup`] that found a secret with a second name.
pub(crate) const NAMED_TWICE: &str = "masks: second names";

/// Why a program was not run, or its end is not known.
#[derive(Debug, thiserror::Error)]
pub enum CageError {
    /// The order itself is wrong.
    #[error("the order cannot be run: {0}")]
    BadOrder(String),
    /// The kernel of this host cannot hold it.
    #[error("this host cannot cage a command: {}", .0.missing.join("; "))]
    Incomplete(CageReport),
    /// The helper or a layer that holds on this host could not be set up this time, so nothing was run.
    #[error("the cage could not be set up, so nothing was run: {step}: {detail}")]
    Setup {
        /// What was being done.
        step: String,
        /// What the kernel said.
        detail: String,
    },
    /// There is no such program.
    #[error("no such program: {0}")]
    NotFound(String),
    /// The program cannot be executed, or the directory cannot be entered.
    #[error("cannot start {what}: {detail}")]
    Start {
        /// The program or directory.
        what: String,
        /// What the kernel said.
        detail: String,
    },
    /// The helper died without a word: the program may have run, and how it ended is not known.
    #[error("the cage's helper failed: {0}")]
    Helper(String),
}

/// Where the helper is, and what this host's kernel can do. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cage {
    helper: PathBuf,
    off: Vec<Layer>,
    report: Arc<OnceLock<CageReport>>,
    /// Second names of secrets that were found.
    aliases: Arc<Mutex<Vec<PathBuf>>>,
}

impl Cage {
    /// The cage whose helper is this very program.
    pub fn here() -> Self {
        Self::with_helper("/proc/self/exe")
    }

    /// The cage whose helper is the `legator-probe` program at this path.
    pub fn with_helper(helper: impl Into<PathBuf>) -> Self {
        Self { helper: helper.into(), off: Vec::new(), report: Arc::default(), aliases: Arc::default() }
    }

    /// Switches one layer off, to see what it alone holds. Not in release builds.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn without(mut self, layer: Layer) -> Self {
        self.off.push(layer);
        self
    }
}

static HERE: OnceLock<Cage> = OnceLock::new();

/// Names the helper for the functions of this module; for tests, whose own program is not the probe. The first call counts.
pub fn set_helper(helper: impl Into<PathBuf>) {
    // A second call is a test in the same process that named the same program.
    let _ = HERE.set(Cage::with_helper(helper));
}

fn here() -> &'static Cage {
    HERE.get_or_init(Cage::here)
}

/// Runs a program, passes its output on as it comes, and says how it ended.
///
/// Waits while `output` is full, so a slow reader slows the program; a dropped receiver loses the output only.
/// `cancel` turning true kills the program and everything it started, and so does dropping the future.
///
/// # Errors
/// Nothing was run (every variant but `Helper`), or its end is unknown (`Helper`).
pub async fn run(
    order: Order,
    output: mpsc::Sender<Chunk>,
    cancel: watch::Receiver<bool>,
) -> Result<Exit, CageError> {
    here().run(order, output, cancel).await
}

/// Runs a program and keeps its output: at most 4 MiB of each stream, the rest is dropped.
///
/// # Errors
/// As [`run`].
pub async fn capture(order: Order) -> Result<(Exit, Vec<u8>, Vec<u8>), CageError> {
    here().capture(order).await
}

/// What this host's kernel can do, found by really trying each layer in a helper process; once a process.
/// The first call blocks for some milliseconds.
pub fn report() -> CageReport {
    here().report()
}
