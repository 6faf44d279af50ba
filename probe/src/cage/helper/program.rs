//! The two innermost processes: the init of the namespace, and the program up to its exec.
//!
//! Owns the order in which rights are given up. Never returns from a successful exec.
//! Invariant: the filter is installed last, and the exec is the next thing after it.

use super::super::order::{Missing, Word, Work};
use super::super::{Confine, Layer, sys};
use super::{Channel, Fault, filter, landlock, limits, rights};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Signal, WaitOptions, wait};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs as the first process of the PID namespace: its end is the end of everything inside. Gives its exit code.
pub(super) fn init(channel: &Channel, work: &Work, outer: &OwnedFd) -> i32 {
    match guard(outer).and_then(|()| sys::fork().map_err(Fault::at("fork"))) {
        Ok(sys::Forked::Child) => execute(channel, work),
        Ok(sys::Forked::Parent(program)) => loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) if pid == program => {
                    let (code, signal) = (status.exit_status(), status.terminating_signal());
                    channel.say(&Word::Ended { code, signal });
                    return 0;
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    channel.fault(Fault::new("wait", error));
                    return 1;
                }
            }
        },
        Err(fault) => {
            channel.fault(fault);
            1
        }
    }
}

/// Ties this process's life to the outer helper's, and keeps the program from looking into it.
fn guard(outer: &OwnedFd) -> Result<(), Fault> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(Fault::at("guard"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Fault::at("guard"))?;
    // The outer one may have died before the signal was set: then its end of the pipe is closed.
    let mut fds = [PollFd::new(outer, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).map_err(Fault::at("guard"))?;
    let [watched] = &fds;
    if watched.revents().is_empty() { Ok(()) } else { Err(Fault::new("guard", "the helper is gone")) }
}

/// Gives everything up and becomes the program. Comes back only to say why not, with an exit code.
pub(super) fn execute(channel: &Channel, work: &Work) -> i32 {
    match become_program(work) {
        Err(Stop::Fault(fault)) => channel.fault(fault),
        Err(Stop::NoStart { what, error, missing }) => {
            channel.say(&Word::NoStart { what, detail: error.to_string(), missing });
        }
        Ok(never) => match never {},
    }
    127
}

enum Stop {
    Fault(Fault),
    NoStart { what: String, error: io::Error, missing: Missing },
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn become_program(work: &Work) -> Result<std::convert::Infallible, Stop> {
    // Fails only for a session leader, which a fresh child is not.
    rustix::process::setsid().map_err(Fault::at("session"))?;
    let Some((program, arguments)) = work.argv.split_first() else {
        return Err(Fault::new("order", "no program").into());
    };
    if work.confine != Confine::Unconfined {
        give_up(work)?;
    }
    if let Some(cwd) = &work.cwd {
        std::env::set_current_dir(cwd).map_err(|error| Stop::NoStart {
            what: cwd.display().to_string(),
            error,
            missing: Missing::Nothing,
        })?;
    }
    if work.has(Layer::Landlock) {
        landlock::apply(work)?;
    }
    let mut command = Command::new(program);
    command.args(arguments);
    // The socket to the probe stays open up to the exec, so that a failed one can be told.
    sys::close_on_exec_all().map_err(Fault::at("descriptors"))?;
    if work.has(Layer::Seccomp) {
        filter::apply(work)?;
    }
    let error = command.exec();
    let missing = if error.kind() == io::ErrorKind::NotFound { Missing::Program } else { Missing::Nothing };
    Err(Stop::NoStart { what: program.clone(), error, missing })
}

/// Everything before Landlock and the filter.
pub(super) fn give_up(work: &Work) -> Result<(), Fault> {
    if work.has(Layer::Limits) {
        limits::apply(work)?;
    }
    if work.has(Layer::Rights) {
        rights::apply(work)?;
    }
    // Also needed by Landlock and the filter.
    rustix::thread::set_no_new_privs(true).map_err(Fault::at("no new privileges"))
}
