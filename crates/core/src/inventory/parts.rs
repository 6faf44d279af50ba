//! The model of each part of an inventory.
//!
//! Owns the fields and their meaning. Figures that move all the time are marked in `differences` and make no event.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// `os`: the system and what it runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Os {
    /// As it calls itself: `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// `debian`, `alpine` …
    pub id: String,
    /// `12`.
    pub version: String,
    /// The running kernel.
    pub kernel: String,
    /// `x86_64` …
    pub arch: String,
    /// As it calls itself.
    pub hostname: String,
    /// `kvm`, `docker`, `lxc`, `none` …
    pub virtualization: String,
    /// What runs as the first process: `systemd`, `openrc`, `sysv`, `none`.
    pub init: String,
    /// The id of this boot.
    pub boot_id: String,
}

/// `cpu`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// The model's name.
    pub model: String,
    /// Processors that can run.
    pub cores: u32,
}

/// `memory`, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// All.
    pub total: u64,
    /// Swap.
    pub swap: u64,
}

/// `disks`: one mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where.
    pub path: String,
    /// What.
    pub device: String,
    /// `ext4` …
    pub filesystem: String,
    /// Bytes.
    pub total: u64,
    /// Bytes available.
    pub available: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// `interfaces`: one network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// `eth0` …
    pub name: String,
    /// The hardware address.
    pub mac: String,
    /// Addresses with their prefix length.
    pub addresses: Vec<String>,
    /// Whether it is up.
    pub up: bool,
}

/// `sockets`: one that listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// `tcp`, `tcp6`, `udp`, `udp6`.
    pub protocol: String,
    /// The address it listens on.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The process, where the probe may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// `services`: one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// `systemd`, `openrc`, `sysv`.
    pub manager: String,
    /// `active`, `inactive`, `failed`, `unknown` …
    pub state: String,
    /// Whether it starts by itself; absent when not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// `packages`: one installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub arch: String,
}

/// `users`: one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its shell.
    pub shell: String,
    /// Whether it has a shell that lets it sign in.
    pub login: bool,
    /// Whether it may become root, by group or by rule.
    pub sudo: bool,
}

/// `sudo`: one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SudoRule {
    /// The file.
    pub file: String,
    /// The rule.
    pub rule: String,
}

/// `schedules`: one cron line or timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The file, or the timer's unit.
    pub source: String,
    /// When.
    pub when: String,
    /// What, cut to a line.
    pub what: String,
}

/// `containers`: one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id, twelve digits.
    pub id: String,
    /// Its name, where it has one.
    pub name: String,
    /// Its image.
    pub image: String,
    /// `docker`, `podman`, `containerd`, `lxc` …
    pub runtime: String,
    /// `running`, `exited` …
    pub state: String,
}

/// `updates`: what is not installed yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Updates {
    /// Packages with a newer version; absent when not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
    /// Those that come from a security archive; absent when not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<u32>,
    /// Whether the system asks to be started again; absent when not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot: Option<bool>,
    /// When the lists of packages were last fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lists_at: Option<Timestamp>,
}

/// `clock`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clock {
    /// How far the host's clock is ahead of the edge's, in milliseconds; absent when not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset_ms: Option<i64>,
    /// Whether the kernel says that it is kept in step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synchronised: Option<bool>,
}

/// `certificates`: one certificate in a usual place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its file.
    pub path: String,
    /// Until when it is good.
    pub not_after: Timestamp,
}

/// `ssh`: how one may sign in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ssh {
    /// Whether there is a server's configuration.
    pub installed: bool,
    /// `PermitRootLogin` as it holds.
    pub permit_root_login: String,
    /// `PasswordAuthentication` as it holds.
    pub password_authentication: bool,
}

/// `cloud`: what the machine's firmware and metadata service say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cloud {
    /// `aws`, `gcp`, `azure` …
    pub provider: String,
    /// The instance's id.
    pub instance: String,
    /// The machine's kind.
    pub kind: String,
    /// Where it stands.
    pub zone: String,
}

/// `kubernetes`: what the machine is as a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kubernetes {
    /// `node` or `pod`.
    pub role: String,
    /// The distribution or runtime that was seen: `kubelet`, `k3s` …
    pub flavour: String,
    /// The namespace, in a pod.
    pub namespace: String,
}
