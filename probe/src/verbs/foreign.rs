//! Every reader of a host's own bytes among the verbs, by name: what a fuzzer and its replay drive.
//!
//! Owns the table. Never opens anything: the bytes are a parameter. Invariant: a reader of such bytes that is not in the table is not tried.

use super::net::dns::Config;
use super::net::http::{self, Url};
use super::packages::database;
use super::service::init::Script;
use super::{certs, containers, host, interfaces, net, proc};
use legator_core::verbs::RecordType;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// A reader: its name, and what it makes of bytes, as text.
pub type Reader = (&'static str, fn(&[u8]) -> String);

/// The readers.
pub const READERS: &[Reader] = &[
    ("proc-stat", |bytes| shown(&lines(bytes, proc::parse_stat))),
    ("proc-net-tcp", |bytes| shown(&lines(bytes, |line| proc::parse_inet("tcp", line)))),
    ("proc-net-udp6", |bytes| shown(&lines(bytes, |line| proc::parse_inet("udp6", line)))),
    ("proc-net-unix", |bytes| shown(&lines(bytes, proc::parse_unix))),
    ("proc-mountinfo", |bytes| shown(&lines(bytes, host::parse_mount))),
    ("proc-cgroup", |bytes| shown(&containers::of_group(&text(bytes)))),
    ("dpkg-status", |bytes| shown(&database::dpkg(&text(bytes)))),
    ("apk-installed", |bytes| shown(&database::apk(&text(bytes)))),
    ("name-version", |bytes| shown(&database::pairs(&text(bytes)))),
    ("hosts-file", |bytes| shown(&net::dns::in_hosts(&text(bytes), "web-03", RecordType::A))),
    ("resolv-conf", |bytes| shown(&Config::parse(&text(bytes)))),
    ("dns-reply", dns_reply),
    ("http-answer", |bytes| shown(&http::read_answer(bytes))),
    ("http-request", http_request),
    ("netlink-addresses", netlink),
    ("pem", |bytes| shown(&certs::pem(&text(bytes)))),
    ("x509", |bytes| shown(&certs::x509::parse(bytes))),
    ("init-script", |bytes| shown(&Script::parse(&text(bytes), "web"))),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(read: &impl Debug) -> String {
    format!("{read:?}")
}

fn lines<T>(bytes: &[u8], read: impl Fn(&str) -> Option<T>) -> Vec<T> {
    text(bytes).lines().filter_map(read).collect()
}

/// The answer to a question that the bytes begin with the id of.
fn dns_reply(bytes: &[u8]) -> String {
    let Some(question) = net::message::question(0x1234, "web-03.example", RecordType::A) else {
        return String::new();
    };
    shown(&net::message::reply(&question, bytes))
}

/// What would be sent for an address.
fn http_request(bytes: &[u8]) -> String {
    let url = std::str::from_utf8(bytes).ok().and_then(Url::parse);
    url.map(|url| url.request("GET")).unwrap_or_default()
}

fn netlink(bytes: &[u8]) -> String {
    let mut found = BTreeMap::new();
    interfaces::take(bytes, &mut found);
    shown(&found)
}
