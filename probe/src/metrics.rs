//! Figures of the host for each beat, from `/proc` and the mounted file systems.
//!
//! Owns reading and parsing them. Never waits on a network file system. Invariant: what cannot be read is zero or absent, never invented.

use legator_core::health::{Disk, Metrics};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use crate::disk;

const PROC_BYTES_MAX: u64 = 256 * 1024;
/// Mounted file systems in one beat, at most.
const DISKS_MAX: usize = 32;
/// File systems on the host's own devices: asking them does not hang.
const LOCAL: [&str; 12] =
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "overlay", "vfat", "bcachefs"];

/// One line of `/proc/self/mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountLine {
    /// What is mounted.
    pub device: String,
    /// Where.
    pub path: String,
    /// The file system.
    pub filesystem: String,
    /// Whether it is read-only.
    pub read_only: bool,
}

impl MountLine {
    /// Whether it is space in memory that people fill. What containers mount over files of the kernel is not.
    fn is_in_memory(&self) -> bool {
        let kernels = ["/proc", "/sys", "/dev"].iter().any(|root| Path::new(&self.path).starts_with(root));
        self.filesystem == "tmpfs" && (!kernels || self.path == "/dev/shm")
    }

    /// Whether it lies on this host's own devices.
    pub fn is_local(&self) -> bool {
        LOCAL.contains(&self.filesystem.as_str())
    }
}

/// Mounted file systems, in the order of `/proc/self/mounts`, each path once (what was mounted last).
pub fn mounts() -> Vec<MountLine> {
    parse_mounts(&disk::glimpse("/proc/self/mounts", 1024 * 1024).unwrap_or_default())
}

pub(crate) fn parse_mounts(text: &str) -> Vec<MountLine> {
    let mut seen = BTreeSet::new();
    let mut lines: Vec<MountLine> = text.lines().rev().filter_map(parse_mount).collect();
    lines.retain(|line| seen.insert(line.path.clone()));
    lines.reverse();
    lines
}

fn parse_mount(line: &str) -> Option<MountLine> {
    let mut fields = line.split(' ');
    let (device, path, filesystem, options) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let read_only = options.split(',').any(|option| option == "ro");
    Some(MountLine {
        device: unescape(device),
        path: unescape(path),
        filesystem: filesystem.to_owned(),
        read_only,
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The machine's name as the kernel has it.
pub fn hostname() -> String {
    let name = disk::glimpse("/proc/sys/kernel/hostname", 256).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(253).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Remembers what has to be compared between two beats.
#[derive(Debug, Default)]
pub struct Meter {
    swapped: Option<u64>,
    last: Option<(Instant, Metrics)>,
}

impl Meter {
    /// The figures now. Within a second the last ones are given again.
    pub fn read(&mut self, waiting: usize) -> Metrics {
        if let Some((at, metrics)) = &self.last
            && at.elapsed().as_millis() < 1_000
        {
            return metrics.clone();
        }
        let text = |path: &str| disk::glimpse(path, PROC_BYTES_MAX).unwrap_or_default();
        let (memory, paging) = (text("/proc/meminfo"), text("/proc/vmstat"));
        let kib = |name: &str| value(&memory, name).saturating_mul(1024);
        let swapped = value(&paging, "pswpin").saturating_add(value(&paging, "pswpout"));
        let before = self.swapped.replace(swapped).unwrap_or(swapped);
        let metrics = Metrics {
            load: load(&text("/proc/loadavg")),
            cpus: cpus(),
            memory_total: kib("MemTotal:"),
            memory_available: kib("MemAvailable:"),
            swap_total: kib("SwapTotal:"),
            swap_used: kib("SwapTotal:").saturating_sub(kib("SwapFree:")),
            swap_pages: swapped.saturating_sub(before),
            disks: disks(),
            processes: processes(),
            uptime_s: seconds(&text("/proc/uptime")),
            probe_rss: rss(&text("/proc/self/statm")),
            probe_waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
        };
        self.last = Some((Instant::now(), metrics.clone()));
        metrics
    }
}

/// Processors that this process may run on.
pub fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.split_ascii_whitespace().next() == Some(name));
    line.and_then(|line| line.split_ascii_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn load(text: &str) -> [f64; 3] {
    let mut numbers = text.split_ascii_whitespace().map(|word| word.parse::<f64>().unwrap_or(0.0));
    let mut next = || numbers.next().filter(|number| number.is_finite()).unwrap_or(0.0);
    [next(), next(), next()]
}

fn seconds(text: &str) -> u64 {
    text.split(['.', ' ']).next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn rss(text: &str) -> u64 {
    let pages: u64 = text.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    pages.saturating_mul(rustix::param::page_size() as u64)
}

fn processes() -> u32 {
    let Ok(folder) = std::fs::read_dir("/proc") else { return 0 };
    let numeric = |name: &std::ffi::OsStr| name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
    u32::try_from(folder.flatten().filter(|entry| numeric(&entry.file_name())).count()).unwrap_or(u32::MAX)
}

/// Writable local file systems, those in memory last; of several mounts of one device the first counts.
fn disks() -> Vec<Disk> {
    let mut devices = BTreeSet::new();
    let writable = mounts().into_iter().filter(|mount| !mount.read_only);
    let (memory, others): (Vec<_>, Vec<_>) = writable.partition(MountLine::is_in_memory);
    let local = others.into_iter().filter(MountLine::is_local);
    let once = local.filter(|mount| mount.filesystem == "overlay" || devices.insert(mount.device.clone()));
    let once = once.chain(memory);
    let size = |mount: MountLine| {
        let stat = rustix::fs::statvfs(&mount.path).ok()?;
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        let available = stat.f_bavail.saturating_mul(stat.f_frsize);
        (total > 0).then_some(Disk { path: mount.path, total, available })
    };
    once.filter_map(size).take(DISKS_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn this_host_has_figures() {
        let metrics = Meter::default().read(3);
        assert!(
            metrics.memory_total > 0 && metrics.processes > 1 && metrics.probe_rss > 0 && metrics.cpus > 0
        );
        assert_eq!(metrics.probe_waiting, 3);
        assert!(!hostname().is_empty());
    }

    #[test]
    fn mounts_are_parsed_and_each_path_counts_once() {
        let text = "/dev/sda1 / ext4 ro,relatime 0 0\n/dev/sda2 /a\\040b xfs rw 0 0\nserver:/x /n nfs rw 0 0\n/dev/sda1 / ext4 rw 0 0\nbad\n";
        let mounts = parse_mounts(text);
        assert_eq!(mounts.iter().map(|m| m.path.as_str()).collect::<Vec<_>>(), ["/a b", "/n", "/"]);
        assert!(!mounts[2].read_only && !mounts[1].is_local());
    }

    #[test]
    fn odd_texts_are_zero() {
        assert_eq!(load("nan inf"), [0.0; 3]);
        assert_eq!((value("x", "MemTotal:"), seconds("?"), rss("")), (0, 0, 0));
    }
}
