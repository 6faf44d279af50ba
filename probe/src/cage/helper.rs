//! The helper process: reads one order, sets up the cage, executes the program, reports its end, kills on demand.
//!
//! Owns everything that happens between the probe's order and the program's first instruction. Never runs inside the
//! probe's own process: it is the probe's program started again, with one thread.
//! Invariant: whatever fails on the way, the program is not executed and the probe hears why.

mod confine;
mod filter;
mod filter_rules;
mod group;
mod landlock;
mod limits;
mod mounts;
mod program;
mod rights;
mod tree;
mod trial;
mod watch;

use super::order::{Job, ORDER_BYTES_MAX, Word};
use super::sys;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// The hidden first argument.
pub(super) const WORD: &str = "cage-exec";

/// Acts as the helper and never returns, when this process was started as one. Call it first in `main`, before any
/// thread is started.
pub fn main_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|word| word == WORD) {
        std::process::exit(serve());
    }
}

/// What went wrong, and where.
#[derive(Debug)]
struct Fault {
    step: String,
    detail: String,
}

impl Fault {
    fn new(step: impl Into<String>, detail: impl ToString) -> Self {
        Self { step: step.into(), detail: detail.to_string() }
    }

    /// For `map_err`.
    fn at<E: ToString>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::new(step, error)
    }
}

/// The socket to the probe. A clone is the same socket in a forked process.
struct Channel(UnixStream);

impl Channel {
    /// Takes the socket that the probe passed as stdin, and leaves `/dev/null` there.
    fn open() -> io::Result<Self> {
        let stream = UnixStream::from(sys::take_stdin()?);
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Ok(Self(stream))
    }

    fn job(&mut self) -> Result<Job, Fault> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).map_err(Fault::at("order"))?;
        let length = u32::from_le_bytes(length) as usize;
        if length > ORDER_BYTES_MAX {
            return Err(Fault::new("order", "too long"));
        }
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).map_err(Fault::at("order"))?;
        serde_json::from_slice(&bytes).map_err(Fault::at("order"))
    }

    /// Says a word. A probe that is gone does not hear it, and the watch notices that.
    fn say(&self, word: &Word) {
        if let Ok(mut line) = serde_json::to_vec(word) {
            line.push(b'\n');
            let _ = (&self.0).write_all(&line);
        }
    }

    fn fault(&self, fault: Fault) {
        self.say(&Word::Fault { step: fault.step, detail: fault.detail });
    }
}

fn serve() -> i32 {
    let Ok(mut channel) = Channel::open() else { return 2 };
    let done = match channel.job() {
        Ok(Job::Run(work)) => watch::run(&channel, &work),
        Ok(Job::Trial) => trial::run(&channel),
        Err(fault) => Err(fault),
    };
    match done {
        Ok(()) => 0,
        Err(fault) => {
            channel.fault(fault);
            1
        }
    }
}
