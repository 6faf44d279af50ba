//! Resource limits of the program.
//!
//! Owns the rlimits. Never loosens one that the probe itself has.
//! Invariant: hard and soft limit are the same, so the program cannot raise them.

use super::super::order::Work;
use super::Fault;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sets every limit of the order.
pub(super) fn apply(work: &Work) -> Result<(), Fault> {
    let limits = &work.limits;
    let mut list = vec![
        // The value 1 tells the kernel to give up also where cores are piped to a handler, which runs outside as root.
        (Resource::Core, 1),
        (Resource::Cpu, limits.cpu_seconds),
        (Resource::Nofile, limits.open_files),
        (Resource::Data, limits.memory_bytes),
        (Resource::Nproc, limits.processes),
        (Resource::Memlock, 8 << 20),
        (Resource::Msgqueue, 0),
    ];
    if work.changes() {
        // A change is approved as it is; only the core handler is kept away from it.
        list.truncate(1);
    }
    for (resource, value) in list {
        let now = getrlimit(resource);
        let value = now.maximum.map_or(value, |most| most.min(value));
        let limit = Rlimit { current: Some(value), maximum: Some(value) };
        setrlimit(resource, limit).map_err(|error| Fault::new(format!("limit {resource:?}"), error))?;
    }
    Ok(())
}
