//! Interfaces and sockets that listen.
//!
//! Owns their form in an inventory; the kernel is asked by the verbs' own readers.

use legator_core::inventory::{Interface, Listing, Socket, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use crate::verbs::proc;

/// Interfaces, from what `network.interfaces` gives.
pub(super) fn interfaces(value: &Value) -> Listing<Interface> {
    let word = |item: &Value, name: &str| text(item.get(name).and_then(Value::as_str).unwrap_or_default());
    let items = value.get("interfaces").and_then(Value::as_array).cloned().unwrap_or_default();
    let one = |item: &Value| {
        let addresses = item.get("addresses").and_then(Value::as_array).cloned().unwrap_or_default();
        let state = word(item, "state");
        Interface {
            name: word(item, "name"),
            mac: word(item, "mac"),
            addresses: addresses.iter().filter_map(|address| address.as_str().map(text)).take(64).collect(),
            up: state == "up" || (state == "unknown" && !addresses.is_empty()),
        }
    };
    Listing::bounded(items.iter().map(one).collect())
}

/// TCP and UDP sockets that listen, with their process where the probe may see it.
pub(super) fn sockets() -> Listing<Socket> {
    let listening = proc::listening(std::process::id());
    let wanted: BTreeSet<u64> = listening.iter().map(|socket| socket.inode).collect();
    let owners = owners(&wanted);
    let mut sockets: Vec<Socket> = listening
        .into_iter()
        .filter(|socket| socket.kind != "unix")
        .filter_map(|socket| {
            let (address, port) = socket.address.rsplit_once(':')?;
            let owner = owners.get(&socket.inode);
            Some(Socket {
                protocol: socket.kind.to_owned(),
                address: text(address.trim_matches(['[', ']'])),
                port: port.parse().ok()?,
                process: owner.map(|(name, _)| text(name)),
                pid: owner.map(|(_, pid)| *pid),
            })
        })
        .collect();
    let key = |socket: &Socket| (socket.protocol.clone(), socket.address.clone(), socket.port, socket.pid);
    sockets.sort_by_key(key);
    sockets.dedup_by_key(|socket| (socket.protocol.clone(), socket.address.clone(), socket.port));
    Listing::bounded(sockets)
}

/// Who holds these sockets: the process with the lowest id of each.
fn owners(wanted: &BTreeSet<u64>) -> BTreeMap<u64, (String, u32)> {
    let mut owners = BTreeMap::new();
    if wanted.is_empty() {
        return owners;
    }
    for (pid, process) in proc::processes() {
        for inode in proc::socket_inodes(pid).intersection(wanted) {
            owners.entry(*inode).or_insert_with(|| (process.name.clone(), pid));
        }
    }
    owners
}
