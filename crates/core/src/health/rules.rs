//! The rules of a host's health, one function each.
//!
//! Owns thresholds and weights. Invariant: what is not recorded costs, so that silence never looks like health.

use super::{Health, Metrics, Reason, Recorded};
use crate::span::Span;
use crate::time::Timestamp;

/// Figures older than this say little: 5 minutes.
pub(crate) const STALE: Span = Span::from_secs(300);
/// A clock may be off by so many milliseconds.
pub(crate) const CLOCK_OFF_MS: u64 = 1_000;
/// Certificates are named when they end within this: 14 days.
pub(crate) const CERTIFICATE_NEAR: Span = Span::from_secs(14 * 86_400);
/// Pages swapped between two beats that make a storm.
pub(crate) const SWAP_STORM_PAGES: u64 = 10_000;
/// Reasons given, at most.
const REASONS_MAX: usize = 40;

/// The health that these records give at this moment.
pub fn score(recorded: &Recorded, now: Timestamp) -> Health {
    let mut reasons = Vec::new();
    match figures(recorded) {
        None => reasons.push(Reason::new("no-data", NO_DATA, 60)),
        Some((at, metrics)) => {
            if now.since(*at) > STALE {
                let text = format!("the last figures are {} s old", now.since(*at).millis() / 1000);
                reasons.push(Reason::new("stale-data", text, 30));
            }
            of_metrics(metrics, &mut reasons);
        }
    }
    of_parts(recorded, now, &mut reasons);
    reasons.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.code.cmp(&b.code)));
    let lost = reasons.iter().map(|reason| u32::from(reason.weight)).sum::<u32>().min(100);
    reasons.truncate(REASONS_MAX);
    Health { score: u8::try_from(100 - lost).unwrap_or(0), reasons }
}

/// What [`figures`] says when there are none.
pub(crate) const NO_DATA: &str = "no figures have come from this host";

/// The last figures. A beat in which every figure is missing says that the host is there, and nothing of how it is.
pub(crate) fn figures(recorded: &Recorded) -> Option<&(Timestamp, Metrics)> {
    let blank = |metrics: &Metrics| {
        metrics.memory_total == 0
            && metrics.disks.is_empty()
            && metrics.processes == 0
            && metrics.uptime_s == 0
    };
    recorded.metrics.as_ref().filter(|(_, metrics)| !blank(metrics))
}

/// Figures that are missing among others.
fn unknown(metrics: &Metrics) -> Option<Reason> {
    let missing = [
        (metrics.memory_total == 0, "memory"),
        (metrics.disks.iter().all(|disk| disk.total == 0), "disks"),
        (metrics.cpus == 0, "processors"),
    ];
    let named: Vec<&str> = missing.iter().filter(|(missing, _)| *missing).map(|(_, name)| *name).collect();
    let weight = u8::try_from(named.len() * 10).unwrap_or(30);
    (!named.is_empty()).then(|| {
        Reason::new("figures-missing", format!("the host does not say: {}", named.join(", ")), weight)
    })
}

fn of_metrics(metrics: &Metrics, reasons: &mut Vec<Reason>) {
    reasons.extend(unknown(metrics));
    reasons.extend(disks(metrics));
    let available = percent(metrics.memory_available, metrics.memory_total);
    if available.is_some_and(|percent| percent < 5) {
        reasons.push(Reason::new("memory-low", "less than 5 % of memory is available", 20));
    }
    reasons.extend(swap(metrics));
    let load = metrics.load.get(1).copied().unwrap_or(0.0) / f64::from(metrics.cpus.max(1));
    if load > 4.0 {
        reasons.push(Reason::new("load-high", format!("the load is {load:.1} a processor"), 10));
    }
}

/// How many of a hundred `part` is; nothing of nothing.
fn percent(part: u64, whole: u64) -> Option<u64> {
    (u128::from(part) * 100).checked_div(u128::from(whole)).and_then(|percent| u64::try_from(percent).ok())
}

/// Each file system with less than a tenth left.
pub(crate) fn disks(metrics: &Metrics) -> Vec<Reason> {
    let judge = |disk: &super::Disk| {
        let text = |left: u64| format!("{} has {left} % left", crate::inventory::text(&disk.path));
        match percent(disk.available, disk.total)? {
            left @ 0..2 => Some(Reason::new("disk-full", text(left), 40)),
            left @ 2..10 => Some(Reason::new("disk-nearly-full", text(left), 15)),
            _ => None,
        }
    };
    metrics.disks.iter().filter_map(judge).collect()
}

/// A host that pages in and out, or has used nearly all of its swap.
pub(crate) fn swap(metrics: &Metrics) -> Option<Reason> {
    if metrics.swap_pages > SWAP_STORM_PAGES {
        let text = format!("{} pages were swapped since the last figures", metrics.swap_pages);
        return Some(Reason::new("swap-storm", text, 25));
    }
    let used = percent(metrics.swap_used, metrics.swap_total)?;
    (used > 90).then(|| Reason::new("swap-full", format!("{used} % of swap is used"), 10))
}

fn of_parts(recorded: &Recorded, now: Timestamp, reasons: &mut Vec<Reason>) {
    reasons.extend(parts_missing(recorded));
    reasons.extend(failed_units(recorded));
    reasons.extend(clock(recorded));
    reasons.extend(updates(recorded));
    reasons.extend(root_password(recorded).map(|reason| Reason { weight: 5, ..reason }));
    reasons.extend(certificates(recorded, now));
}

/// Parts of the inventory that count here and have not come.
fn parts_missing(recorded: &Recorded) -> Option<Reason> {
    let missing = [
        (recorded.services.is_none(), "services"),
        (recorded.updates.is_none(), "updates"),
        (recorded.clock.is_none(), "clock"),
        (recorded.ssh.is_none(), "SSH"),
    ];
    let named: Vec<&str> = missing.iter().filter(|(missing, _)| *missing).map(|(_, name)| *name).collect();
    let weight = if recorded.services.is_none() { 10 } else { 5 };
    (!named.is_empty())
        .then(|| Reason::new("no-inventory", format!("not told yet: {}", named.join(", ")), weight))
}

/// Services that failed, in one reason.
pub(crate) fn failed_units(recorded: &Recorded) -> Option<Reason> {
    let services = recorded.services.as_deref().unwrap_or_default();
    let failed: Vec<String> =
        services.iter().filter(|s| s.state == "failed").map(|s| crate::inventory::text(&s.name)).collect();
    let weight = u8::try_from(failed.len().min(3) * 15).unwrap_or(45);
    let named = failed.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    (!failed.is_empty())
        .then(|| Reason::new("failed-unit", format!("{} failed: {named}", failed.len()), weight))
}

/// A clock that is off, or that nothing keeps in step.
pub(crate) fn clock(recorded: &Recorded) -> Option<Reason> {
    let clock = recorded.clock.as_ref()?;
    if let Some(offset) = clock.offset_ms.filter(|offset| offset.unsigned_abs() > CLOCK_OFF_MS) {
        return Some(Reason::new("clock-off", format!("the clock is off by {offset} ms"), 20));
    }
    let loose = clock.synchronised == Some(false);
    loose.then(|| Reason::new("clock-not-synchronised", "nothing keeps the clock in step", 5))
}

/// Updates that wait.
pub(crate) fn updates(recorded: &Recorded) -> Vec<Reason> {
    let Some(updates) = &recorded.updates else { return Vec::new() };
    let mut reasons = Vec::new();
    if let Some(count) = updates.security.filter(|count| *count > 0) {
        reasons.push(Reason::new("security-updates", format!("{count} security updates are missing"), 15));
    } else if let Some(count) = updates.pending.filter(|count| *count > 0) {
        reasons.push(Reason::new("updates", format!("{count} updates are missing"), 5));
    }
    if updates.reboot == Some(true) {
        reasons.push(Reason::new("reboot-pending", "it asks to be started again", 5));
    }
    reasons
}

/// Root may sign in with a password.
pub(crate) fn root_password(recorded: &Recorded) -> Option<Reason> {
    let ssh = recorded.ssh.as_ref()?;
    let open = ssh.installed && ssh.password_authentication && ssh.permit_root_login == "yes";
    open.then(|| Reason::new("root-ssh-password", "root may sign in over SSH with a password", 40))
}

/// Certificates that ended or end soon, in one reason.
pub(crate) fn certificates(recorded: &Recorded, now: Timestamp) -> Option<Reason> {
    let all = recorded.certificates.as_deref().unwrap_or_default();
    let near = all.iter().filter(|certificate| certificate.not_after <= now + CERTIFICATE_NEAR).count();
    let over = all.iter().filter(|certificate| certificate.not_after <= now).count();
    if over > 0 {
        return Some(Reason::new("certificate-expired", format!("{over} certificates have ended"), 15));
    }
    (near > 0)
        .then(|| Reason::new("certificate-near-expiry", format!("{near} certificates end within 14 days"), 5))
}
