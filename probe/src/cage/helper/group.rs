//! A control group that all caged reads of a host share, where the host has control groups that can be written.
//!
//! Owns the group's limits. Never moves a change or an unconfined program: those are approved as they are.
//! Invariant: best effort and no layer of its own; a host without it still has the limits of each process.

use std::fs;
use std::path::Path;

/// Where the file system of version 2, or each controller of version 1, is mounted by convention.
const V2: &str = "/sys/fs/cgroup";
const V1: [&str; 2] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"];
const NAME: &str = "legator-cage";

/// All reads together get a quarter of the memory, and at least this.
const MEMORY_LEAST: u64 = 256 << 20;
/// Processes of all reads together.
const PROCESSES: &str = "2048";

/// Moves this process, and so everything it starts, into the group.
pub(super) fn join() {
    if Path::new(V2).join("cgroup.controllers").exists() {
        enter(V2);
    } else {
        V1.into_iter().for_each(enter);
    }
}

/// Whatever cannot be done here is not done: the group only adds to the limits of each process.
fn enter(hierarchy: &str) {
    let group = Path::new(hierarchy).join(NAME);
    if !group.exists() && fs::create_dir(&group).is_err() {
        return;
    }
    let memory = memory().to_string();
    let limits =
        [("memory.max", memory.as_str()), ("memory.limit_in_bytes", &memory), ("pids.max", PROCESSES)];
    let mut limited = false;
    for (file, value) in limits {
        let file = group.join(file);
        // The kernel rounds, so the file is only written while it says that there is no limit.
        let Ok(now) = fs::read_to_string(&file) else { continue };
        let set = now.trim().parse::<u64>().is_ok_and(|now| now <= memory_total());
        limited |= set || fs::write(&file, value).is_ok();
    }
    if limited {
        // Version 1 can move the calling thread alone, which spares the kernel a lock over all forks of the machine.
        let thread = group.join("tasks");
        let whole = group.join("cgroup.procs");
        let _ = fs::write(if thread.exists() { thread } else { whole }, "0");
    }
}

fn memory() -> u64 {
    (memory_total() / 4).max(MEMORY_LEAST)
}

/// Bytes of memory of this machine; a number that nothing exceeds when it cannot be read.
fn memory_total() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(1 << 50, |kib| kib << 10)
}
