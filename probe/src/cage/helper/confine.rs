//! Enters the namespaces that the ordered layers need, and builds the view of the files inside.
//!
//! Owns the choice between the real root user and a user namespace. Never gives rights up: that is `program`.
//! Invariant: for a user other than root the ids inside are the ids outside.

use super::super::{Layer, order::Work, sys};
use super::{Fault, group, mounts};
use rustix::thread::{CapabilitySet, UnshareFlags};
use std::fs;

/// Whether this process can make namespaces without a user namespace.
pub(super) fn is_root() -> bool {
    let able = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    able && rustix::process::geteuid().is_root()
}

/// New namespaces and the read-only view, for this process and its children (the PID namespace: for its children).
pub(super) fn enter(work: &Work) -> Result<(), Fault> {
    if work.has(Layer::Limits) && !work.changes() {
        // When memory runs out, a caged read goes first. Raising needs no right; a host without the file has no such killer.
        let _ = fs::write("/proc/self/oom_score_adj", "800");
        if is_root() {
            group::join();
        }
    }
    let mut flags = UnshareFlags::empty();
    let files = work.has(Layer::Mounts) || work.has(Layer::Masks);
    flags.set(UnshareFlags::NEWNS, files);
    flags.set(UnshareFlags::NEWPID | UnshareFlags::NEWIPC, work.has(Layer::Isolation));
    if flags.is_empty() {
        return Ok(());
    }
    unshare(flags)?;
    if files { mounts::build(work) } else { Ok(()) }
}

fn unshare(flags: UnshareFlags) -> Result<(), Fault> {
    if is_root() {
        return sys::unshare(flags).map_err(Fault::at("namespaces"));
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    sys::unshare(flags | UnshareFlags::NEWUSER).map_err(Fault::at("user namespace"))?;
    fs::write("/proc/self/setgroups", "deny").map_err(Fault::at("user namespace: groups"))?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).map_err(Fault::at("user namespace: users"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).map_err(Fault::at("user namespace: groups"))
}

/// Whether this process may make its bounding set smaller.
pub(super) fn has_setpcap() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETPCAP))
}
