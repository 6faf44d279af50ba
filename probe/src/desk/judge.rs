//! Tasks that a crash or a reboot cut off, judged at the next start.
//!
//! Owns their receipts. Invariant: what began and left no receipt is `unknown`, never `succeeded`, unless its verb journalled what to expect.

use legator_core::task::Outcome;
use std::fs;

use super::{account, work};
use crate::error::ProbeError;
use crate::journal::{Begun, Expected};
use crate::probe::Probe;
use crate::verbs::{self, Done, proc};

/// Processes that are named in a receipt, at most.
const NAMED_MAX: usize = 20;

/// Makes a receipt for each task that began and did not end. To be called before anything else runs. Says how many there were.
///
/// # Errors
/// A receipt could not be kept.
pub async fn judge_unfinished(probe: &Probe) -> Result<usize, ProbeError> {
    let unfinished = probe.journal.unfinished();
    for (begun, expected) in &unfinished {
        let done = expected.as_ref().map_or_else(|| unknown(begun), of_boot);
        let receipt = account::of_begun(&probe.identity(), begun, done, probe.clock.now());
        let sent = account::sealed(probe, &receipt);
        probe.journal.end((begun.task, begun.content), begun.expires_at, sent).await?;
        tracing::warn!(task = %begun.task, verb = begun.verb, outcome = ?receipt.outcome, "a task was cut off");
    }
    Ok(unfinished.len())
}

fn of_boot(expected: &Expected) -> Done {
    let done = verbs::reboot::judge(&expected.boot);
    Done { before: expected.before.clone().or(done.before.clone()), ..done }
}

fn unknown(begun: &Begun) -> Done {
    let left = left_behind();
    let still = match left.is_empty() {
        true => "nothing that it started was found to be running still".to_owned(),
        false => format!("still running: {}", left.join(", ")),
    };
    let detail = format!("the probe ended while {} ran, so its end is not known; {still}", begun.verb);
    Done { detail: Some(detail), ..work::blank(Outcome::Unknown) }
}

/// Helpers of an earlier probe process, and what runs below them.
fn left_behind() -> Vec<String> {
    let own = std::process::id();
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    let pids: Vec<u32> =
        folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let all: Vec<proc::Process> = pids.into_iter().filter_map(proc::process).collect();
    let mut found: Vec<u32> =
        all.iter().filter(|p| p.parent != own && p.pid != own && is_helper(p.pid)).map(|p| p.pid).collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|p| p.parent == parent).map(|p| p.pid));
        next += 1;
    }
    let names = found.iter().filter_map(|pid| all.iter().find(|p| p.pid == *pid));
    names.take(NAMED_MAX).map(|p| format!("{} ({})", legator_core::inventory::text(&p.name), p.pid)).collect()
}

fn is_helper(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).take(3).any(|word| word.starts_with(b"cage-exec"))
}
