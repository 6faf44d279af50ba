//! `process.signal`: one signal to one process.
//!
//! Owns the check that it is the process that was meant. Invariant: the check and the signal go through one process descriptor,
//! so that an id used again in between is not hit.

use std::time::Duration;

use legator_core::verbs::{ProcessSignal, Signal};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use serde_json::{Value, json};

use super::proc::{self, Process};
use super::{Done, Step, Stop};

const WAIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn number(signal: Signal) -> rustix::process::Signal {
    use rustix::process::Signal as Kernel;
    match signal {
        Signal::Term => Kernel::TERM,
        Signal::Kill => Kernel::KILL,
        Signal::Hup => Kernel::HUP,
        Signal::Int => Kernel::INT,
        Signal::Quit => Kernel::QUIT,
        Signal::Usr1 => Kernel::USR1,
        Signal::Usr2 => Kernel::USR2,
        Signal::Stop => Kernel::STOP,
        Signal::Cont => Kernel::CONT,
    }
}

/// Sends it, and looks at what came of it.
pub(super) async fn send(args: &ProcessSignal) -> Step<Done> {
    let gone = || Stop::not_applicable(format!("there is no process {}", args.pid));
    let pid = i32::try_from(args.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    if args.pid == std::process::id() {
        return Err(Stop::not_applicable("this is the probe itself: it is stopped as a service"));
    }
    let descriptor = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
    let before = proc::process(args.pid).filter(|process| process.state != 'Z').ok_or_else(gone)?;
    check(args, &before)?;
    pidfd_send_signal(&descriptor, number(args.signal))
        .map_err(|error| Stop::failed("sending the signal", error))?;
    let (after, held) = watch(args, &before).await;
    let mut done = Done::changed(value(Some(&before)), value(after.as_ref()), held.unwrap_or(true));
    done.verified = held;
    Ok(match held {
        Some(false) => {
            done.detail(format!("process {} did not do what {} asks", args.pid, args.signal.word()))
        }
        _ => done,
    })
}

fn check(args: &ProcessSignal, process: &Process) -> Step<()> {
    let named = args.name.as_ref().is_none_or(|name| *name == process.name);
    let started = args.start.is_none_or(|start| start == process.start);
    match named && started {
        true => Ok(()),
        false => Err(Stop::not_applicable(format!(
            "process {} is another one: {} started at {}",
            args.pid, process.name, process.start
        ))),
    }
}

/// The process from before, if it is still there: one that ended and waits for its parent is not.
fn same<P: std::borrow::Borrow<Process>>(before: &Process, now: Option<P>) -> Option<P> {
    now.filter(|now| now.borrow().start == before.start && !matches!(now.borrow().state, 'Z' | 'X'))
}

/// Whether what the signal asks for holds; nothing for a signal whose meaning is the program's own.
fn held(signal: Signal, before: &Process, now: Option<&Process>) -> Option<bool> {
    let same = same(before, now);
    match signal {
        Signal::Term | Signal::Kill | Signal::Int | Signal::Quit => Some(same.is_none()),
        Signal::Stop => Some(same.is_some_and(|now| now.state == 'T')),
        Signal::Cont => Some(same.is_some_and(|now| now.state != 'T')),
        Signal::Hup | Signal::Usr1 | Signal::Usr2 => None,
    }
}

async fn watch(args: &ProcessSignal, before: &Process) -> (Option<Process>, Option<bool>) {
    let deadline = tokio::time::Instant::now() + WAIT;
    loop {
        let now = proc::process(args.pid);
        let held = held(args.signal, before, now.as_ref());
        if held != Some(false) || tokio::time::Instant::now() >= deadline {
            return (same(before, now), held);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn value(process: Option<&Process>) -> Value {
    match process {
        Some(process) => json!({ "pid": process.pid, "name": process.name, "start": process.start,
            "state": process.state, "running": true }),
        None => json!({ "running": false }),
    }
}
