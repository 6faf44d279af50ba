//! Processes and sockets as `/proc` shows them.
//!
//! Owns the parsing of it. Never asks a daemon. Invariant: a line that does not parse is left out, never guessed at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde::Serialize;

const PROCESSES_MAX: usize = 50_000;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// One letter: `R`, `S`, `D`, `Z`, `T`, …
    pub state: char,
    /// When it started, in clock ticks after boot.
    pub start: u64,
    /// Ticks of processor time that it used.
    pub cpu_ticks: u64,
    /// Bytes of memory that it holds.
    pub memory_bytes: u64,
}

/// A listening or bound socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Socket {
    /// `tcp`, `tcp6`, `udp`, `udp6` or `unix`.
    pub kind: &'static str,
    /// The address and port, or the path.
    pub address: String,
    /// Its inode.
    #[serde(skip)]
    pub inode: u64,
}

/// One process; nothing when it is gone.
pub fn process(pid: u32) -> Option<Process> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The line of `/proc/<pid>/stat` (proc_pid_stat(5)). The name may hold spaces and brackets.
pub(super) fn parse_stat(line: &str) -> Option<Process> {
    let (pid, rest) = line.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        parent: u32::try_from(number(1)?).ok()?,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        start: number(19)?,
        cpu_ticks: number(11)?.checked_add(number(12)?)?,
        memory_bytes: number(21)?.checked_mul(rustix::param::page_size() as u64)?,
    })
}

/// All processes, by id. At most 50,000.
pub fn processes() -> BTreeMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids =
        entries.map_while(Result::ok).filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.take(PROCESSES_MAX).filter_map(|pid| Some((pid, process(pid)?))).collect()
}

/// The arguments of a process; empty for a thread of the kernel.
pub fn arguments(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<String> = words.collect();
    while words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    words
}

/// The program that a process runs. A program that was replaced on disk keeps its path.
pub fn program(pid: u32) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let text = path.to_string_lossy();
    Some(PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(&text)))
}

/// Whether a process is in this process's own PID namespace: a container's process of the same name is not the host's service.
pub fn is_of_this_host(pid: u32) -> bool {
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    of(&pid.to_string()).is_some_and(|namespace| Some(namespace) == of("self"))
}

/// A process and all that descend from it.
pub fn tree(all: &BTreeMap<u32, Process>, root: u32) -> BTreeSet<u32> {
    let mut tree = BTreeSet::from([root]);
    loop {
        let children: Vec<u32> = all
            .values()
            .filter(|process| tree.contains(&process.parent) && !tree.contains(&process.pid))
            .map(|process| process.pid)
            .collect();
        if children.is_empty() {
            return tree;
        }
        tree.extend(children);
    }
}

/// The inodes of the sockets that a process has open.
pub fn socket_inodes(pid: u32) -> BTreeSet<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    let links =
        entries.map_while(Result::ok).take(65_536).filter_map(|entry| fs::read_link(entry.path()).ok());
    links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// The listening sockets of the network namespace that a process is in.
pub fn listening(pid: u32) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for kind in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{kind}")).unwrap_or_default();
        sockets.extend(text.lines().skip(1).filter_map(|line| parse_inet(kind, line)));
    }
    let text = fs::read(format!("/proc/{pid}/net/unix")).unwrap_or_default();
    sockets.extend(String::from_utf8_lossy(&text).lines().skip(1).filter_map(parse_unix));
    sockets
}

/// A line of `/proc/net/tcp` and its like: TCP in state 0A listens; UDP in state 07 without a peer is bound.
pub(super) fn parse_inet(kind: &'static str, line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let wanted = if kind.starts_with("tcp") { "0A" } else { "07" };
    if *fields.get(3)? != wanted {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = match address.len() {
        8 => format!("{}:{port}", std::net::Ipv4Addr::from(word(address)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_mut(4).enumerate() {
                part.copy_from_slice(&word(address.get(index * 8..index * 8 + 8)?)?);
            }
            format!("[{}]:{port}", std::net::Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(Socket { kind, address, inode: fields.get(9)?.parse().ok()? })
}

/// Four bytes that the kernel printed as one number of this machine's byte order.
fn word(hex: &str) -> Option<[u8; 4]> {
    u32::from_str_radix(hex, 16).ok().map(u32::to_ne_bytes)
}

/// A line of `/proc/net/unix`: the flag 00010000 marks a listening one.
pub(super) fn parse_unix(line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let address = (*fields.get(7)?).to_owned();
    (*fields.get(3)? == "00010000").then_some(())?;
    Some(Socket { kind: "unix", address, inode: fields.get(6)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 10 5 0 0 20 0 1 0 987654 1000 3 18446744073709551615 1";
        let process = parse_stat(line).unwrap();
        assert_eq!((process.pid, process.parent, process.start), (42, 7, 987_654));
        assert_eq!((process.name.as_str(), process.state, process.cpu_ticks), ("a) b (c", 'S', 15));
        for bad in ["", "42", "42 (a", "42 (a) S", "x (a) S 1"] {
            assert_eq!(parse_stat(bad), None);
        }
    }

    #[test]
    fn listening_lines() {
        let tcp = "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1 0";
        let socket = parse_inet("tcp", tcp).unwrap();
        assert_eq!((socket.address.as_str(), socket.inode), ("127.0.0.1:8080", 4242));
        let six = "0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1";
        assert_eq!(parse_inet("tcp6", six).unwrap().address, "[::1]:80");
        assert_eq!(parse_inet("tcp", &tcp.replace(" 0A ", " 01 ")), None);
        let unix = "0000: 00000002 00000000 00010000 0001 01 99 /run/a.sock";
        assert_eq!(parse_unix(unix).unwrap().address, "/run/a.sock");
        assert_eq!(parse_unix(&unix.replace("00010000", "00000000")), None);
        assert_eq!(parse_unix("Num RefCount"), None);
    }

    #[test]
    fn this_very_process_is_found() {
        let own = process(std::process::id()).unwrap();
        assert!(processes().contains_key(&own.pid) && is_of_this_host(own.pid));
        assert!(tree(&processes(), own.parent).contains(&own.pid));
        assert!(!arguments(own.pid).is_empty() && program(own.pid).is_some());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inodes = socket_inodes(own.pid);
        assert!(
            listening(own.pid)
                .iter()
                .any(|socket| socket.address == address && inodes.contains(&socket.inode))
        );
    }
}
