//! What the host is and does: facts, processes, sockets, disks, users.
//!
//! Owns these typed reads. Never starts a program for them. Invariant: lists are bounded and say how much they left out.

use std::collections::BTreeMap;
use std::fs;

use legator_core::verbs::ProcessList;
use serde_json::{Value, json};

use super::{Step, Stop, Work, blocking, proc};

const SOCKETS_MAX: usize = 5000;
const MOUNTS_MAX: usize = 1000;
const USERS_MAX: usize = 10_000;
const PROCESSES: u64 = 500;
const COMMAND_CHARS_MAX: usize = 300;

fn read(path: &str) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `key<separator>value` lines.
fn fields(text: &str, separator: char) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(separator));
    pairs
        .map(|(key, value)| (key.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
        .collect()
}

/// `host.facts`.
pub(super) fn facts() -> Step<Value> {
    let release = fields(&read("/etc/os-release"), '=');
    let memory = fields(&read("/proc/meminfo"), ':');
    let bytes = |name: &str| {
        let text = memory.get(name)?.strip_suffix(" kB")?.trim();
        text.parse::<u64>().ok()?.checked_mul(1024)
    };
    let processors = read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count();
    let load: Vec<f64> =
        read("/proc/loadavg").split_ascii_whitespace().take(3).filter_map(|word| word.parse().ok()).collect();
    let uptime =
        read("/proc/uptime").split_ascii_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    Ok(json!({
        "hostname": read("/proc/sys/kernel/hostname").trim(),
        "os": { "id": release.get("ID"), "name": release.get("PRETTY_NAME"), "version": release.get("VERSION_ID") },
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "architecture": std::env::consts::ARCH,
        "processors": processors.max(1),
        "load": load,
        "uptime_seconds": uptime,
        "memory": { "total_bytes": bytes("MemTotal"), "available_bytes": bytes("MemAvailable"),
            "swap_total_bytes": bytes("SwapTotal"), "swap_free_bytes": bytes("SwapFree") },
        "boot_id": super::reboot::boot_id(),
    }))
}

/// `process.list`.
pub(super) async fn processes(work: &Work<'_>, args: &ProcessList) -> Step<Value> {
    let args = args.clone();
    blocking::run(work.call, move || {
        let limit = usize::try_from(args.limit.unwrap_or(PROCESSES)).unwrap_or(usize::MAX);
        let (mut items, mut left_out) = (Vec::new(), 0);
        for process in proc::processes().into_values() {
            let command: String =
                proc::arguments(process.pid).join(" ").chars().take(COMMAND_CHARS_MAX).collect();
            let wanted =
                args.name.as_ref().is_none_or(|name| process.name.contains(name) || command.contains(name));
            match wanted && items.len() < limit {
                true => items.push(described(&process, command)?),
                false => left_out += usize::from(wanted),
            }
        }
        Ok(json!({ "processes": items, "left_out": left_out }))
    })
    .await
}

fn described(process: &proc::Process, command: String) -> Step<Value> {
    let mut value =
        serde_json::to_value(process).map_err(|error| Stop::failed("telling a process", error))?;
    if let Some(object) = value.as_object_mut() {
        object.insert("command".into(), json!(command));
    }
    Ok(value)
}

/// `network.sockets`.
pub(super) fn sockets() -> Step<Value> {
    let mut owners = BTreeMap::new();
    for process in proc::processes().into_values() {
        for inode in proc::socket_inodes(process.pid) {
            owners.entry(inode).or_insert_with(|| (process.pid, process.name.clone()));
        }
    }
    let mut sockets = proc::listening(std::process::id());
    sockets.sort();
    let left_out = sockets.len().saturating_sub(SOCKETS_MAX);
    let told = sockets.into_iter().take(SOCKETS_MAX).map(|socket| {
        let owner = owners.get(&socket.inode);
        json!({ "kind": socket.kind, "address": socket.address, "pid": owner.map(|(pid, _)| pid),
            "process": owner.map(|(_, name)| name) })
    });
    Ok(json!({ "sockets": told.collect::<Vec<Value>>(), "left_out": left_out }))
}

/// File systems that hold no files of their own, or only in memory.
const NO_DISK: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// `disk.usage`.
pub(super) fn disks() -> Step<Value> {
    let text = read("/proc/self/mountinfo");
    let (mut items, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
    for (device, point, kind) in text.lines().filter_map(parse_mount) {
        if NO_DISK.contains(&kind.as_str())
            || items.len() >= MOUNTS_MAX
            || !seen.insert((device, kind.clone()))
        {
            continue;
        }
        let Ok(stat) = rustix::fs::statvfs(point.as_str()) else { continue };
        if stat.f_blocks == 0 {
            continue;
        }
        items.push(json!({
            "mount": point, "type": kind,
            "total_bytes": stat.f_blocks.saturating_mul(stat.f_frsize),
            "used_bytes": stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize),
            "available_bytes": stat.f_bavail.saturating_mul(stat.f_frsize),
            "inodes": stat.f_files, "inodes_free": stat.f_ffree,
        }));
    }
    Ok(json!({ "disks": items }))
}

/// Device, mount point and type of a line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
pub(super) fn parse_mount(line: &str) -> Option<(String, String, String)> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split_ascii_whitespace().collect();
    let point = left.get(4)?.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
    Some(((*left.get(2)?).to_owned(), point, right.split_ascii_whitespace().next()?.to_owned()))
}

/// `user.list`.
pub(super) fn users() -> Step<Value> {
    let passwd = read("/etc/passwd");
    let users = passwd.lines().take(USERS_MAX).filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
        let shell = *fields.get(6)?;
        let can_log_in = !shell.ends_with("/nologin") && !shell.ends_with("/false");
        Some(json!({ "name": fields.first()?, "uid": number(2)?, "gid": number(3)?, "home": fields.get(5)?,
            "shell": shell, "can_log_in": can_log_in }))
    });
    let group = read("/etc/group");
    let groups = group.lines().take(USERS_MAX).filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let members: Vec<&str> = fields.get(3)?.split(',').filter(|name| !name.is_empty()).collect();
        Some(json!({ "name": fields.first()?, "gid": fields.get(2)?.parse::<u32>().ok()?, "members": members }))
    });
    let (users, groups): (Vec<Value>, Vec<Value>) = (users.collect(), groups.collect());
    Ok(json!({ "users": users, "groups": groups }))
}
