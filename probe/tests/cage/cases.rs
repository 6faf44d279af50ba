//! The corpus: reading its lines, filling in a sandbox, and judging what a read printed.
//!
//! Owns the meaning of `must`. Never special-cases a line.
//! Invariant: a placeholder that nobody fills in is an error, not an empty string.

use super::sandbox::Sandbox;
use serde::Deserialize;
use std::path::Path;

#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    pub id: String,
    pub argv: Vec<String>,
    pub must: String,
    #[serde(default)]
    pub effect: String,
    #[serde(default)]
    pub needs: Vec<String>,
    #[serde(default)]
    pub checked: bool,
}

/// The lines of the named files, in order.
pub fn cases(files: &[&str]) -> Vec<Case> {
    let folder = std::env::var_os("LEGATOR_TEST_CORPUS");
    let folder =
        folder.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"), Into::into);
    let mut all = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        all.extend(text.lines().map(|line| serde_json::from_str::<Case>(line).unwrap()));
    }
    all
}

/// The text with the sandbox's values.
pub fn fill(text: &str, sandbox: &Sandbox) -> String {
    let path = sandbox.path.to_str().unwrap();
    let filled = text
        .replace("${SANDBOX}", path)
        .replace("${VICTIM_PID}", &sandbox.victim_pid().to_string())
        .replace("${PORT}", &sandbox.port.to_string());
    assert!(!filled.contains("${"), "a placeholder is left over in {filled}");
    filled
}

/// What a command did, as far as a read is judged.
pub struct Seen {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub hinted: bool,
}

/// What of `must` does not hold.
pub fn complaints(must: &str, seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    for clause in must.split("; ") {
        let holds = if let Some(code) = clause.strip_prefix("exit ") {
            seen.code == code.parse().ok()
        } else if let Some(text) = clause.strip_prefix("stdout contains ") {
            seen.stdout.contains(text)
        } else if clause.starts_with("fails, with a hint") {
            let failed = seen.code != Some(0) || seen.stdout.contains("Permission denied");
            failed && seen.hinted
        } else {
            match clause {
                "stdout is empty" => seen.stdout.is_empty(),
                "stderr is empty" => seen.stderr.is_empty(),
                "prints something" => !seen.stdout.trim().is_empty(),
                // Looked at once for the whole suite.
                "the host's own /tmp is unchanged" => true,
                other => panic!("nobody knows how to judge {other:?}"),
            }
        };
        if !holds {
            wrong.push(clause.to_owned());
        }
    }
    wrong
}

/// Whether the machine or user that this suite runs on gives what a line needs. Tools are always needed.
pub fn available(case: &Case) -> bool {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    case.needs.iter().all(|need| match need.as_str() {
        "root" => rustix::process::geteuid().is_root(),
        "tun" => Path::new("/dev/net/tun").exists(),
        "vsock" => Path::new("/dev/vsock").exists(),
        "io_uring" => read("/proc/sys/kernel/io_uring_disabled").trim() == "0",
        // A right that the cage does not give.
        "cap-syslog" => read("/proc/sys/kernel/dmesg_restrict").trim() == "0",
        "core-pattern-is-a-file-name" => !read("/proc/sys/kernel/core_pattern").starts_with(['|', '/']),
        "two-processors" => std::thread::available_parallelism().is_ok_and(|count| count.get() > 1),
        "linux-6.6" => kernel() >= (6, 6),
        "linux-6.13" => kernel() >= (6, 13),
        _ => true,
    })
}

fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap(), parts.next().unwrap())
}

/// Programs that the corpus starts and that are not there: a suite without them would prove less than it says.
pub fn missing_tools() -> Vec<String> {
    let extra = "sqlite3 tar git python3 perl bash mkfifo ionice setpriv";
    let tools = "busybox gdb curl dbus-send ssh ssh-add logger journalctl setfattr chattr fuser keyctl crontab atrm \
                 apt-get dpkg systemctl timedatectl modprobe rsync ed view ip ss lsof usermod prlimit nsenter unshare \
                 top vmstat openssl findmnt lsblk taskset fallocate flock renice chrt";
    let names = tools.split_whitespace().chain(extra.split_whitespace());
    let there = |name: &&str| {
        ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|dir| Path::new(dir).join(name).exists())
    };
    names.filter(|name| !there(name)).map(str::to_owned).collect()
}
