//! Users and capabilities of the program.
//!
//! Owns giving up root. Never gives a right that the helper had not.
//! Invariant: a program that only reads keeps at most the right to read and search, and is not root.

use super::super::order::Work;
use super::{Fault, confine};
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// The user `nobody`, by the convention of Linux: it has a name on every distribution.
const NOBODY: u32 = 65_534;

/// What a confined change keeps of root: files, users and ports. None can mount, trace, load, or make devices.
const CHANGE: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// Gives up everything that the order does not need.
pub(super) fn apply(work: &Work) -> Result<(), Fault> {
    let was_root = rustix::process::geteuid().is_root();
    let keep = match (was_root, work.changes()) {
        (true, true) => CHANGE,
        (true, false) => CapabilitySet::DAC_READ_SEARCH,
        (false, _) => CapabilitySet::empty(),
    };
    drop_bounding(keep)?;
    if was_root && !work.changes() {
        become_nobody()?;
    }
    let held = rustix::thread::capabilities(None).map_err(Fault::at("rights"))?.permitted;
    let keep = keep.intersection(held);
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: keep };
    rustix::thread::set_capabilities(None, sets).map_err(Fault::at("rights: capabilities"))?;
    rustix::thread::clear_ambient_capability_set().map_err(Fault::at("rights: ambient"))?;
    if !work.changes() {
        for capability in keep.iter() {
            rustix::thread::configure_capability_in_ambient_set(capability, true)
                .map_err(Fault::at("rights: ambient"))?;
        }
    }
    Ok(())
}

fn drop_bounding(keep: CapabilitySet) -> Result<(), Fault> {
    if !confine::has_setpcap() {
        // Without this right the set cannot be made smaller; no new privileges keeps it from mattering.
        return Ok(());
    }
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if keep.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no more of them.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(Fault::new("rights: bounding set", error)),
        }
    }
    Ok(())
}

fn become_nobody() -> Result<(), Fault> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    rustix::thread::set_keep_capabilities(true).map_err(Fault::at("rights"))?;
    rustix::thread::set_thread_groups(&[]).map_err(Fault::at("rights: groups"))?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(Fault::at("rights: group"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(Fault::at("rights: user"))?;
    rustix::thread::set_keep_capabilities(false).map_err(Fault::at("rights"))
}
