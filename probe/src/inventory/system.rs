//! The system, its processors, memory and mounts.
//!
//! Owns the reading of what the kernel and the firmware say. Never starts a program.

use legator_core::inventory::{Cpu, Listing, Memory, Mount, Os, text};
use std::path::Path;

use crate::disk::glimpse;
use crate::metrics;

const SMALL: u64 = 64 * 1024;

/// The first line of a small file, bounded.
pub(super) fn line(path: &str) -> String {
    glimpse(path, SMALL)
        .map(|content| text(content.lines().next().unwrap_or_default().trim()))
        .unwrap_or_default()
}

/// `name=value` of an os-release file (os-release(5)), without quotes.
fn release(content: &str, name: &str) -> String {
    let value = content.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    text(value.unwrap_or_default().trim().trim_matches(['"', '\'']))
}

pub(super) fn os() -> Os {
    let content = glimpse("/etc/os-release", SMALL)
        .or_else(|| glimpse("/usr/lib/os-release", SMALL))
        .unwrap_or_default();
    Os {
        name: release(&content, "PRETTY_NAME"),
        id: release(&content, "ID"),
        version: release(&content, "VERSION_ID"),
        kernel: line("/proc/sys/kernel/osrelease"),
        arch: std::env::consts::ARCH.to_owned(),
        hostname: metrics::hostname(),
        virtualization: virtualization(),
        init: init().to_owned(),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
    }
}

/// What starts services here.
pub(super) fn init() -> &'static str {
    let there = |path: &str| Path::new(path).exists();
    if there("/run/systemd/system") {
        "systemd"
    } else if there("/run/openrc") {
        "openrc"
    } else if line("/proc/1/comm") == "init" && there("/etc/init.d") {
        "sysv"
    } else {
        "none"
    }
}

/// The container or virtual machine that this is; `none` on bare metal.
fn virtualization() -> String {
    let there = |path: &str| Path::new(path).exists();
    let container = line("/run/systemd/container");
    if !container.is_empty() {
        return container;
    }
    if there("/.dockerenv") {
        return "docker".to_owned();
    }
    if there("/run/.containerenv") {
        return "podman".to_owned();
    }
    let environ = glimpse("/proc/1/environ", SMALL).unwrap_or_default();
    if let Some(kind) = environ.split('\0').find_map(|pair| pair.strip_prefix("container=")) {
        return text(kind);
    }
    let firmware =
        [dmi("sys_vendor"), dmi("product_name"), line("/sys/hypervisor/type")].join(" ").to_lowercase();
    let marks = [
        ("kvm", "kvm"),
        ("qemu", "kvm"),
        ("amazon ec2", "kvm"),
        ("google", "kvm"),
        ("vmware", "vmware"),
        ("virtualbox", "virtualbox"),
        ("xen", "xen"),
        ("microsoft", "hyper-v"),
        ("parallels", "parallels"),
        ("bochs", "bochs"),
    ];
    if let Some((_, kind)) = marks.iter().find(|(mark, _)| firmware.contains(mark)) {
        return (*kind).to_owned();
    }
    let flags = glimpse("/proc/cpuinfo", SMALL).unwrap_or_default();
    let machine = flags.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    if machine { "vm".to_owned() } else { "none".to_owned() }
}

/// What the firmware says of itself.
pub(super) fn dmi(name: &str) -> String {
    line(&format!("/sys/class/dmi/id/{name}"))
}

pub(super) fn cpu() -> Cpu {
    let content = glimpse("/proc/cpuinfo", SMALL).unwrap_or_default();
    let model = content.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        ["model name", "Model", "cpu model"].contains(&name.trim()).then(|| value.trim().to_owned())
    });
    Cpu { model: text(&model.unwrap_or_default()), cores: metrics::cpus() }
}

pub(super) fn memory() -> Memory {
    let figures = metrics::Meter::default().read(0);
    Memory { total: figures.memory_total, swap: figures.swap_total }
}

/// Mounts on the host's own devices with their sizes, and network mounts without: asking those may hang.
pub(super) fn disks() -> Listing<Mount> {
    let network = ["nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "fuse.sshfs"];
    let mounts = metrics::mounts()
        .into_iter()
        .filter(|mount| mount.is_local() || network.contains(&mount.filesystem.as_str()));
    let sized = mounts.map(|mount| {
        let stat = mount.is_local().then(|| rustix::fs::statvfs(&mount.path).ok()).flatten();
        let total = stat.as_ref().map_or(0, |stat| stat.f_blocks.saturating_mul(stat.f_frsize));
        let available = stat.map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        // In steps of a hundredth, so that not every written byte is a change.
        let step = (total / 100).max(1);
        Mount {
            path: text(&mount.path),
            device: text(&mount.device),
            filesystem: text(&mount.filesystem),
            total,
            available: available / step * step,
            read_only: mount.read_only,
        }
    });
    Listing::bounded(sized.collect())
}
