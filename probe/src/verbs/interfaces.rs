//! `network.interfaces`: from `/sys/class/net`, and the addresses from the kernel over netlink (rtnetlink(7)).
//!
//! Owns both readings. Never changes an interface: one dump request is sent, nothing else.
//! Invariant: what the kernel sends is read within its bounds.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use serde_json::{Value, json};

use super::{Step, Stop};

const INTERFACES_MAX: usize = 2000;
const MESSAGES_MAX: usize = 10_000;
const DONE: u16 = 3;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
/// NLM_F_REQUEST and NLM_F_DUMP.
const DUMP: u16 = 0x301;

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

pub(super) fn list() -> Step<Value> {
    let addresses = addresses().map_err(|error| Stop::failed("asking the kernel for addresses", error))?;
    let entries =
        fs::read_dir("/sys/class/net").into_iter().flatten().map_while(Result::ok).take(INTERFACES_MAX);
    let mut items: Vec<Value> = entries.map(|entry| interface(&entry.path(), &addresses)).collect();
    items.sort_by_key(|item| item.get("name").map(Value::to_string));
    Ok(json!({ "interfaces": items }))
}

fn interface(dir: &Path, addresses: &BTreeMap<u32, Vec<String>>) -> Value {
    let number = |file: &str| read(&dir.join(file)).and_then(|text| text.parse::<u64>().ok());
    let index = number("ifindex").and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
    let none = Vec::new();
    json!({
        "name": dir.file_name().unwrap_or_default().to_string_lossy(),
        "mac": read(&dir.join("address")), "state": read(&dir.join("operstate")), "mtu": number("mtu"),
        "addresses": addresses.get(&index).unwrap_or(&none),
        "received_bytes": number("statistics/rx_bytes"), "sent_bytes": number("statistics/tx_bytes"),
        "receive_errors": number("statistics/rx_errors"), "send_errors": number("statistics/tx_errors"),
    })
}

/// Addresses with their prefix, by the index of the interface.
fn addresses() -> rustix::io::Result<BTreeMap<u32, Vec<String>>> {
    // No protocol is NETLINK_ROUTE.
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut request = Vec::from(24_u32.to_ne_bytes());
    request.extend(GET_ADDRESS.to_ne_bytes());
    request.extend(DUMP.to_ne_bytes());
    // Sequence number, port, and an ifaddrmsg of zeros: every family.
    request.resize(24, 0);
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    let (mut found, mut buffer) = (BTreeMap::new(), vec![0_u8; 64 * 1024]);
    for _ in 0..MESSAGES_MAX {
        let (length, _) = rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        if length == 0 || take(buffer.get(..length).unwrap_or_default(), &mut found) {
            break;
        }
    }
    Ok(found)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Takes the messages of one datagram in; true when it was the last.
pub(super) fn take(mut bytes: &[u8], found: &mut BTreeMap<u32, Vec<String>>) -> bool {
    while let (Some(length), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        let length = length as usize;
        let Some(body) = bytes.get(16..length) else { return true };
        match kind {
            NEW_ADDRESS => {
                if let Some((index, address)) = address(body) {
                    found.entry(index).or_default().push(address);
                }
            }
            // An error ends it too: what came so far stands.
            0..=DONE => return true,
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// An ifaddrmsg with its attributes: IFA_LOCAL where there is one, else IFA_ADDRESS.
fn address(body: &[u8]) -> Option<(u32, String)> {
    let prefix = body.get(1)?;
    let index = u32_at(body, 4)?;
    let (mut attributes, mut best) = (body.get(8..)?, None);
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        let value = attributes.get(4..length)?;
        let ip = match value.len() {
            4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
            _ => None,
        };
        if let (2, Some(ip)) | (1, Some(ip)) = (kind, ip)
            && (kind == 2 || best.is_none())
        {
            best = Some(ip);
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    best.map(|ip| (index, format!("{ip}/{prefix}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loopback_is_there() {
        let list = list().unwrap();
        let text = list.to_string();
        assert!(text.contains("\"lo\""), "{text}");
    }

    proptest! {
        #[test]
        fn hostile_messages_end(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..30_u16) {
            let mut framed = Vec::from(u32::try_from(bytes.len() + 16).unwrap().to_ne_bytes());
            framed.extend(kind.to_ne_bytes());
            framed.resize(16, 0);
            framed.extend(&bytes);
            take(&framed, &mut BTreeMap::new());
            take(&bytes, &mut BTreeMap::new());
        }
    }
}
