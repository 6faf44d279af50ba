//! The state of a service, from its processes.
//!
//! Owns the search for the main process: control groups with systemd, else the file with its id, its program, its name.
//! Invariant: nothing is asked of a daemon; what is told was seen in `/proc` and on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::init::{Manager, Script};
use crate::verbs::proc::{self, Process};

/// Slices, and entries of one, that are looked at for a unit.
const SLICES_MAX: usize = 1024;
const ENTRIES_MAX: usize = 16_384;

/// The main process of a service: its id, and when it started, since ids are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verbs) struct Main {
    pub(super) pid: u32,
    pub(super) start: u64,
}

/// A service as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verbs) struct State {
    pub(super) name: String,
    pub(super) manager: &'static str,
    pub(super) active: bool,
    pub(super) enabled: bool,
    pub(super) main: Option<Main>,
    pub(super) processes: BTreeSet<u32>,
    /// `tcp 0.0.0.0:80` and so on.
    pub(super) listening: BTreeSet<String>,
    /// It was the same before and after the settle time, where that was looked at.
    pub(super) steady: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            name: String::new(),
            manager: "",
            active: false,
            enabled: false,
            main: None,
            processes: BTreeSet::new(),
            listening: BTreeSet::new(),
            steady: true,
        }
    }
}

impl State {
    /// This state, seen a settle time after `earlier`.
    pub(super) fn settled(mut self, earlier: &Self) -> Self {
        self.steady = self.main == earlier.main && self.active == earlier.active;
        self
    }

    /// In a line of a list.
    pub(super) fn brief(&self) -> Value {
        json!({ "name": self.name, "active": self.active, "enabled": self.enabled,
            "main_pid": self.main.map(|main| main.pid) })
    }

    /// In full.
    pub(super) fn value(&self) -> Value {
        // A service with thousands of processes must not burst a receipt.
        let processes: Vec<u32> = self.processes.iter().copied().take(200).collect();
        let listening: Vec<&String> = self.listening.iter().take(200).collect();
        json!({
            "name": self.name, "manager": self.manager, "active": self.active, "enabled": self.enabled,
            "main_pid": self.main.map(|main| main.pid), "main_start": self.main.map(|main| main.start),
            "processes": processes, "processes_total": self.processes.len(), "listening": listening,
        })
    }
}

/// Looks at a service.
pub(super) fn state(manager: Manager, name: &str) -> State {
    let all = proc::processes();
    let (main, processes, running) = match manager {
        Manager::Systemd => in_group(&all, name),
        Manager::OpenRc | Manager::SysV => by_script(&all, name),
    };
    let active = match manager {
        Manager::OpenRc => {
            running || (main.is_none() && Path::new("/run/openrc/started").join(name).exists())
        }
        Manager::Systemd | Manager::SysV => running,
    };
    let listening = main.map(|main| listening(main.pid, &processes)).unwrap_or_default();
    let enabled = manager.is_enabled(name);
    State {
        name: name.to_owned(),
        manager: manager.word(),
        active,
        enabled,
        main,
        processes,
        listening,
        steady: true,
    }
}

fn listening(main: u32, processes: &BTreeSet<u32>) -> BTreeSet<String> {
    let inodes: BTreeSet<u64> =
        processes.iter().take(1000).flat_map(|pid| proc::socket_inodes(*pid)).collect();
    let ephemeral = ephemeral(main);
    let passing = |socket: &proc::Socket| {
        // A question that waits for its answer is bound to such a port, and to another one the next time.
        let port = socket.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        socket.kind.starts_with("udp") && port.is_some_and(|port| ephemeral.contains(&port))
    };
    let sockets =
        proc::listening(main).into_iter().filter(|socket| inodes.contains(&socket.inode) && !passing(socket));
    sockets.map(|socket| format!("{} {}", socket.kind, socket.address)).collect()
}

/// The ports that the kernel chooses from.
fn ephemeral(pid: u32) -> std::ops::RangeInclusive<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/root/proc/sys/net/ipv4/ip_local_port_range"));
    let ports: Vec<u32> =
        text.unwrap_or_default().split_ascii_whitespace().filter_map(|port| port.parse().ok()).collect();
    if let [low, high] = ports.as_slice() { *low..=*high } else { 32_768..=60_999 }
}

fn main_of(process: &Process) -> Main {
    Main { pid: process.pid, start: process.start }
}

/// With systemd: the processes of the unit's control group; the main one is the oldest whose parent is outside of it.
fn in_group(all: &BTreeMap<u32, Process>, name: &str) -> (Option<Main>, BTreeSet<u32>, bool) {
    let unit = format!("{name}.service");
    let pids = group_dirs(&unit).into_iter().flat_map(|dir| group_pids(&dir));
    let pids: BTreeSet<u32> = pids.filter(|pid| all.get(pid).is_some_and(is_alive)).collect();
    let roots = all.values().filter(|process| pids.contains(&process.pid) && !pids.contains(&process.parent));
    let main = roots.min_by_key(|process| (process.start, process.pid)).map(main_of);
    let remains = !pids.is_empty() || has_exited_active(&unit);
    (main, pids, remains)
}

/// A unit without a process (`RemainAfterExit`) is active as long as systemd keeps its invocation there; one that failed has none.
fn has_exited_active(unit: &str) -> bool {
    let invocations = Path::new("/run/systemd/units");
    match invocations.is_dir() {
        true => invocations.join(format!("invocation:{unit}")).symlink_metadata().is_ok(),
        // Before systemd 239 only the group tells.
        false => !group_dirs(unit).is_empty(),
    }
}

/// A unit lies in the slice that it names, and slices lie in each other; what lies in a service or a scope is no unit of this host.
fn group_dirs(unit: &str) -> Vec<PathBuf> {
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
    let mut slices: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    let mut dirs = Vec::new();
    let mut looked = 0;
    while let Some(slice) = slices.pop().filter(|_| looked < SLICES_MAX) {
        looked += 1;
        let own = slice.join(unit);
        if own.is_dir() {
            dirs.push(own);
        }
        let below = fs::read_dir(&slice).into_iter().flatten().map_while(Result::ok).take(ENTRIES_MAX);
        slices.extend(
            below
                .filter(|entry| entry.file_name().to_string_lossy().ends_with(".slice"))
                .map(|entry| entry.path()),
        );
    }
    dirs
}

fn group_pids(dir: &Path) -> Vec<u32> {
    let mut pids = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        let below = fs::read_dir(&dir).into_iter().flatten().map_while(Result::ok).take(1024);
        dirs.extend(
            below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
    }
    pids
}

fn is_alive(process: &Process) -> bool {
    !matches!(process.state, 'Z' | 'X')
}

/// Without systemd: the file with the main process's id, then its program, then its name.
fn by_script(all: &BTreeMap<u32, Process>, name: &str) -> (Option<Main>, BTreeSet<u32>, bool) {
    let script = Script::read(name);
    let by_file = by_pid_file(all, name, &script);
    // A script that names its file means that file: other processes of its program are not the service.
    let by_program = || by_program(all, name, &script).filter(|_| script.pid_file.is_none());
    let Some(main) = by_file.or_else(by_program) else {
        return (None, BTreeSet::new(), false);
    };
    (Some(main_of(main)), proc::tree(all, main.pid), true)
}

fn by_pid_file<'a>(all: &'a BTreeMap<u32, Process>, name: &str, script: &Script) -> Option<&'a Process> {
    let usual = [format!("/run/{name}.pid"), format!("/run/{name}/{name}.pid"), format!("/run/{name}d.pid")];
    let files = script.pid_file.clone().into_iter().chain(usual);
    files
        .filter_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            let process = all.get(&text.split_ascii_whitespace().next()?.parse().ok()?)?;
            fits(process, name, script).then_some(process)
        })
        .next()
}

/// Whether a process can be this service: an old file may hold an id that another process has now.
fn fits(process: &Process, name: &str, script: &Script) -> bool {
    if !is_alive(process) || !proc::is_of_this_host(process.pid) {
        return false;
    }
    let program = proc::program(process.pid);
    match (&script.program, &program) {
        (Some(wanted), Some(program)) if same_program(wanted, program) => true,
        _ => {
            let words = [process.name.clone(), proc::arguments(process.pid).join(" ")];
            let words: Vec<String> = words
                .into_iter()
                .chain(program.map(|program| program.to_string_lossy().into_owned()))
                .collect();
            words.iter().any(|word| word.contains(name))
        }
    }
}

fn same_program(wanted: &Path, program: &Path) -> bool {
    wanted == program || wanted.canonicalize().is_ok_and(|real| real == program)
}

/// The oldest process of the service's program, or of its name, whose parent is not one of them.
fn by_program<'a>(all: &'a BTreeMap<u32, Process>, name: &str, script: &Script) -> Option<&'a Process> {
    let is_one = |process: &Process| {
        let named = process.name == name.get(..15).unwrap_or(name);
        let program = || proc::program(process.pid);
        let runs = script
            .program
            .as_ref()
            .is_some_and(|wanted| program().is_some_and(|own| same_program(wanted, &own)));
        is_alive(process) && (named || runs) && proc::is_of_this_host(process.pid)
    };
    let own: BTreeMap<u32, &Process> =
        all.values().filter(|process| is_one(process)).map(|process| (process.pid, process)).collect();
    let roots = own.values().filter(|process| !own.contains_key(&process.parent));
    roots.min_by_key(|process| (process.start, process.pid)).copied()
}
