//! What on a host is nobody's to read: the list of secrets, for the cage's masks and for the typed file verbs.
//!
//! Owns the default list, the configured additions and finding them on the disk. Never reads one.
//! Invariant: a secret is found by what it is (device and inode) and by where it is, so neither a symbolic nor a hard
//! link leads around the list in a typed verb.

pub(super) mod aliases;
mod find;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aliases::Linked;
pub(super) use find::Found;

/// Most secrets of a host. More of them hide everything: a user of the host must not be able to crowd out another's.
const FOUND_MAX: usize = 8192;

/// Entries of the probe's own folder, and of another secret folder, that are looked at for second names before each command.
const OWN_ENTRIES_MAX: usize = 16_384;
const FOLDER_ENTRIES_MAX: usize = 256;

/// Absolute patterns; `*` stands for any run of characters inside one name.
const EVERYWHERE: &[&str] = &[
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/security/opasswd",
    "/etc/ssh/ssh_host_*_key",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/krb5.keytab",
    "/etc/ppp/chap-secrets",
    "/etc/wireguard",
    "/etc/NetworkManager/system-connections",
    "/etc/kubernetes/*.conf",
    "/etc/kubernetes/pki/*.key",
    "/etc/kubernetes/pki/etcd/*.key",
    "/etc/rancher/k3s/k3s.yaml",
    "/var/lib/rancher/k3s/server/token",
    "/var/lib/rancher/k3s/server/cred",
    "/var/lib/kubelet/pki",
    "/var/lib/kubelet/pods",
    "/run/secrets",
    "/var/lib/cloud/instances/*/user-data.txt",
    "/var/lib/cloud/instances/*/user-data.txt.i",
    "/var/lib/systemd/credential.secret",
    "/etc/letsencrypt/archive/*/privkey*.pem",
    // What is lost or harmed by reading it: the kernel's log and trace streams, and memory.
    "/proc/kmsg",
    "/proc/kcore",
    "/proc/vmcore",
    "/proc/keys",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/etc/legator/*.key",
    "/var/lib/legator/*.key",
    "/var/lib/legator/authority.key",
    "/var/lib/legator-probe",
];

/// Patterns below each user's home.
const IN_HOMES: &[&str] = &[
    ".ssh/id_*",
    ".ssh/*.pem",
    ".aws/credentials",
    ".aws/sso/cache",
    ".aws/cli/cache",
    ".azure",
    ".config/gcloud",
    ".kube/config",
    ".kube/cache",
    ".docker/config.json",
    ".config/containers/auth.json",
    ".config/gh/hosts.yml",
    ".config/legator",
    ".local/share/legator/*.key",
    ".git-credentials",
    ".netrc",
    ".pgpass",
    ".my.cnf",
    ".vault-token",
    ".pypirc",
    ".npmrc",
    ".cargo/credentials.toml",
    ".gnupg/private-keys-v1.d",
    ".local/share/keyrings",
];

/// Why a list of secrets is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A path is not absolute, or climbs.
    #[error("{0:?} is no absolute path: a secret is named by its whole path")]
    NotAbsolute(PathBuf),
    /// There are too many.
    #[error("{0} secrets or more; at most {FOUND_MAX} can be hidden")]
    TooMany(usize),
}

/// The secrets of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// The probe's own, hidden from changes too.
    own: Vec<PathBuf>,
    /// Patterns of absolute paths.
    everywhere: Vec<String>,
    /// Patterns below homes.
    in_homes: Vec<String>,
}

impl Secrets {
    /// The default list, the probe's state folder, and what the host's own configuration adds (`*` is allowed in names).
    ///
    /// # Errors
    /// A configured path that is not absolute, or too many of them.
    pub fn new(state_dir: &Path, configured: &[PathBuf]) -> Result<Self, SecretError> {
        if configured.len() > FOUND_MAX {
            return Err(SecretError::TooMany(configured.len()));
        }
        let mut everywhere: Vec<String> = EVERYWHERE.iter().map(|path| (*path).to_owned()).collect();
        for path in configured.iter().chain([&state_dir.to_path_buf()]) {
            let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
            let text = path.to_str().filter(|_| path.is_absolute() && !climbs && path.parent().is_some());
            let Some(text) = text else { return Err(SecretError::NotAbsolute(path.clone())) };
            everywhere.push(text.to_owned());
        }
        Ok(Self {
            own: vec![state_dir.to_path_buf()],
            everywhere,
            in_homes: IN_HOMES.iter().map(|path| (*path).to_owned()).collect(),
        })
    }

    /// What of the list is on this host now.
    ///
    /// # Errors
    /// More than can be hidden.
    pub(super) fn found(&self) -> Result<Vec<Found>, SecretError> {
        find::found(&self.everywhere, &self.in_homes).ok_or(SecretError::TooMany(FOUND_MAX))
    }

    /// Whether a found secret is the probe's own.
    pub(super) fn is_own(&self, path: &Path) -> bool {
        self.own.iter().any(|own| path.starts_with(own))
    }

    /// The files of a secret that have more than one name (hard links): a mask over the known name does not cover the others.
    pub(super) fn linked(&self, secret: &Found) -> Vec<Linked> {
        secret.linked(if self.is_own(&secret.path) { OWN_ENTRIES_MAX } else { FOLDER_ENTRIES_MAX })
    }

    /// Whether a path names a secret or something below one, after following every link.
    /// For a verb that names files without opening them.
    pub fn hides(&self, path: &Path) -> bool {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let meta = std::fs::metadata(&real).ok().filter(std::fs::Metadata::is_file);
        let inode = meta.as_ref().map(|meta| (meta.dev(), meta.ino()));
        let linked = meta.filter(|meta| meta.nlink() > 1).and(inode);
        let hit = |secret: &Found| {
            let here = secret.covers(&real) || secret.covers(path) || secret.is(inode);
            here || linked.is_some_and(|inode| secret.holds(inode))
        };
        self.found().map_or(true, |found| found.iter().any(hit))
    }

    /// Whether an open file is a secret, however it was reached. Check the descriptor that is read from, not its path.
    pub fn hides_file(&self, file: &File) -> bool {
        let Ok(meta) = file.metadata() else { return true };
        let inode = Some((meta.dev(), meta.ino()));
        let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let linked = inode.filter(|_| meta.is_file() && meta.nlink() > 1);
        let hit = |secret: &Found| {
            secret.is(inode)
                || linked.is_some_and(|inode| secret.holds(inode))
                || real.as_ref().map_or(secret.is_folder(), |real| secret.covers(real))
        };
        self.found().map_or(true, |found| found.iter().any(hit))
    }
}
