//! The outermost helper process: starts the program or its init, waits, and kills everything when told to.
//!
//! Owns the life of what was started. Never touches the program's output.
//! Invariant: after a kill, a lapsed time or the probe's end, a caged program has no living descendant.

use super::super::order::{KILL, Word, Work};
use super::super::{Confine, sys};
use super::{Channel, Fault, confine, program, tree};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, wait, waitpid};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The probe enforces the timeout; this is for a probe that died or hangs.
const BACKSTOP: Duration = Duration::from_secs(10);
/// How often to look when the kernel has no pidfd (before 5.3).
const LOOK: Duration = Duration::from_millis(10);

/// Why the wait ended.
enum Woken {
    /// The child may have ended.
    Child,
    /// Everything has to go.
    Kill,
    /// The probe is gone.
    Alone,
}

pub(super) fn run(channel: &Channel, work: &Work) -> Result<(), Fault> {
    rustix::process::setsid().map_err(Fault::at("session"))?;
    std::env::set_current_dir("/").map_err(Fault::at("root directory"))?;
    let confined = work.confine != Confine::Unconfined;
    if confined {
        confine::enter(work)?;
    } else {
        // What a killed parent leaves behind becomes a child of this process, so that it can be found.
        let me = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(me)).map_err(Fault::at("subreaper"))?;
    }
    let alive = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(Fault::at("pipe"))?;
    let child = match sys::fork().map_err(Fault::at("fork"))? {
        sys::Forked::Child => {
            let (watched, held) = alive;
            drop(held);
            std::process::exit(if confined {
                program::init(channel, work, &watched)
            } else {
                program::execute(channel, work)
            })
        }
        sys::Forked::Parent(child) => child,
    };
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(Fault::at("/dev/null"))?;
    rustix::stdio::dup2_stdout(&null).map_err(Fault::at("/dev/null"))?;
    rustix::stdio::dup2_stderr(&null).map_err(Fault::at("/dev/null"))?;
    Watch {
        channel,
        child,
        confined,
        end: Instant::now() + Duration::from_millis(work.timeout_ms) + BACKSTOP,
    }
    .until_ended();
    Ok(())
}

struct Watch<'a> {
    channel: &'a Channel,
    child: Pid,
    confined: bool,
    end: Instant,
}

impl Watch<'_> {
    fn until_ended(&self) {
        let handle = pidfd_open(self.child, PidfdFlags::empty()).ok();
        let mut alone = false;
        loop {
            match self.wait(handle.as_ref(), alone) {
                Woken::Child => {
                    if self.reap() {
                        return;
                    }
                }
                Woken::Kill => return self.kill(),
                // Half an upgrade is worse than one that nobody watches: an unconfined program goes on until its time is over.
                Woken::Alone if self.confined => return self.kill(),
                Woken::Alone => alone = true,
            }
        }
    }

    fn wait(&self, handle: Option<&OwnedFd>, alone: bool) -> Woken {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Woken::Kill;
        }
        let nap = if handle.is_some() { left } else { left.min(LOOK) };
        let mut fds = Vec::new();
        if !alone {
            fds.push(PollFd::new(&self.channel.0, PollFlags::IN));
        }
        fds.extend(handle.map(|handle| PollFd::new(handle, PollFlags::IN)));
        let span = Timespec { tv_sec: nap.as_secs() as i64, tv_nsec: i64::from(nap.subsec_nanos()) };
        // An interrupted or failed poll is a reason to look again, no more.
        let _ = poll(&mut fds, Some(&span));
        let told = !alone && fds.first().is_some_and(|fd| !fd.revents().is_empty());
        if told { self.told() } else { Woken::Child }
    }

    fn told(&self) -> Woken {
        let mut byte = [0];
        match (&self.channel.0).read(&mut byte) {
            Ok(1) if byte == [KILL] => Woken::Kill,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Woken::Child,
            _ => Woken::Alone,
        }
    }

    /// Collects ended children; true when the one that counts has ended.
    fn reap(&self) -> bool {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid != self.child {
                continue;
            }
            // Inside the namespace the init reports the program's end itself, and exits with 0.
            if !self.confined || status.exit_status() != Some(0) {
                let (code, signal) = (status.exit_status(), status.terminating_signal());
                self.channel.say(&Word::Ended { code: if self.confined { None } else { code }, signal });
            }
            return true;
        }
        false
    }

    fn kill(&self) {
        if self.confined {
            // The namespace's init dies, so the kernel kills everything in the namespace before the wait returns.
            let _ = rustix::process::kill_process(self.child, rustix::process::Signal::KILL);
            let _ = waitpid(Some(self.child), WaitOptions::empty());
        } else {
            tree::kill_descendants();
        }
        self.channel.say(&Word::Ended { code: None, signal: Some(libc::SIGKILL) });
    }
}
