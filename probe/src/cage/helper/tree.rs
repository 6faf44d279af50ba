//! Kills every descendant of this process, for programs without a PID namespace of their own.
//!
//! Owns finding descendants in `/proc`. Never signals a process that is no descendant.
//! Invariant: returns only when no descendant is left, or after five seconds.

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

/// Stops all first, so that none can start another one unseen, then kills them. This process has to be a subreaper.
pub(super) fn kill_descendants() {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let mut stopped = HashSet::new();
        loop {
            let fresh: Vec<Pid> = descendants().into_iter().filter(|pid| !stopped.contains(pid)).collect();
            if fresh.is_empty() || Instant::now() >= end {
                break;
            }
            for pid in fresh {
                let _ = kill_process(pid, Signal::STOP);
                stopped.insert(pid);
            }
        }
        for pid in &stopped {
            let _ = kill_process(*pid, Signal::KILL);
        }
        if !collect(end) {
            return;
        }
    }
}

/// Collects what has ended; true when something may be left.
fn collect(end: Instant) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Err(_) => return false,
            Ok(None) if Instant::now() >= end => return true,
            Ok(None) => {
                std::thread::sleep(Duration::from_millis(2));
                if descendants().iter().any(|pid| !is_zombie(*pid)) {
                    return true;
                }
            }
        }
    }
}

fn descendants() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if let Some((_, parent)) = stat(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![getpid().as_raw_nonzero().get()];
    while let Some(pid) = open.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        found.extend(below.iter().copied().filter_map(Pid::from_raw));
        open.extend(below);
    }
    found
}

fn is_zombie(pid: Pid) -> bool {
    stat(pid.as_raw_nonzero().get()).is_none_or(|(state, _)| state == 'Z')
}

/// State and parent of a process. The name in brackets is the process's own choice, so the last bracket counts.
fn stat(pid: i32) -> Option<(char, i32)> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
