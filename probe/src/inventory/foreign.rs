//! Every reader of a host's own bytes in the inventory, by name: what a fuzzer and its replay drive.
//!
//! Owns the table. Never opens anything: the bytes are a parameter. Invariant: a reader of such bytes that is not in the table is not tried.

use super::{people, place, software};
use crate::verbs::foreign::Reader;

/// The readers.
pub(crate) const READERS: &[Reader] = &[
    ("systemd-units", |bytes| format!("{:?}", software::units(&text(bytes)))),
    ("dpkg-packages", |bytes| format!("{:?}", software::dpkg(&text(bytes)))),
    ("apk-packages", |bytes| format!("{:?}", software::apk(&text(bytes)))),
    ("apt-simulated", |bytes| format!("{:?}", software::apt(&text(bytes)))),
    ("passwd", |bytes| format!("{:?}", people::parse_users(&text(bytes), "sudo:x:27:eve\n", &[]))),
    ("group", |bytes| {
        format!("{:?}", people::parse_users("eve:x:1:27::/:/bin/sh\n", &text(bytes), &lines(bytes)))
    }),
    ("sshd-config", |bytes| format!("{:?}", people::parse_ssh(&lines(bytes)))),
    ("crontab", |bytes| {
        let read = |line: &String| people::cron_line("/etc/crontab", line, people::Owner::Named);
        format!("{:?}", lines(bytes).iter().filter_map(read).collect::<Vec<_>>())
    }),
    ("firmware", |bytes| place::provider(&text(bytes)).to_owned()),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    text(bytes).lines().map(str::to_owned).collect()
}
