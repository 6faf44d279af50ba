//! `sysctl.set`: one kernel setting, until the next boot.
//!
//! Owns the way from a key to its file. Invariant: the file lies below `/proc/sys` and no link leads out of there.

use std::fs::File;
use std::io::{Read as _, Write as _};

use legator_core::verbs::SysctlSet;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde_json::json;

use super::{Done, Step, Stop, Work};
use crate::preimage::{Image, Past};

const VALUE_BYTES_MAX: u64 = 16 * 1024;

/// The file of a key: dots part its names, and a slash stands for a dot within a name (sysctl(8)).
fn relative(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        })
        .collect()
}

fn open(key: &str, flags: OFlags) -> Step<File> {
    let fault =
        |error| Stop::not_applicable(format!("there is no setting {key} here that can be set: {error}"));
    let root =
        rustix::fs::open("/proc/sys", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(fault)?;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(&root, relative(key), flags | OFlags::CLOEXEC, Mode::empty(), how)
        .map(File::from)
        .map_err(fault)
}

/// The present value, with the white space as one blank.
pub(super) fn read(key: &str) -> Step<String> {
    let mut text = Vec::new();
    let read = open(key, OFlags::RDONLY)?.take(VALUE_BYTES_MAX).read_to_end(&mut text);
    read.map_err(|error| Stop::failed(&format!("reading {key}"), error))?;
    Ok(plain(&String::from_utf8_lossy(&text)))
}

fn plain(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<&str>>().join(" ")
}

/// Sets it, and reads it back.
pub(super) fn set(work: &Work<'_>, args: &SysctlSet) -> Step<Done> {
    let before = read(&args.key)?;
    let mut file = open(&args.key, OFlags::WRONLY)?;
    let past = Past::Sysctl { key: args.key.clone(), before: before.clone(), after: plain(&args.value) };
    let image = Image { task: work.task, made_at: work.host.clock.now(), past, content: Vec::new() };
    let kept = work.host.preimages.save(&image, 0);
    kept.map_err(Stop::not_kept)?;
    let written = file.write_all(args.value.as_bytes());
    let after = read(&args.key)?;
    let state = |value: &str| json!({ "key": args.key, "value": value });
    let done = Done::changed(state(&before), state(&after), after == plain(&args.value));
    Ok(match written {
        Ok(()) if done.verified == Some(true) => done,
        Ok(()) => done.detail(format!("the kernel gives back {after:?}")),
        Err(error) => Done { outcome: legator_core::task::Outcome::Failed, ..done }
            .detail(format!("the kernel says: {error}")),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_lead_below_proc_sys_only() {
        assert_eq!(relative("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert!(read("kernel.ostype").unwrap().contains("Linux"));
        for key in ["kernel.nothing_here", "kernel", "a.b"] {
            assert!(read(key).is_err(), "{key}");
        }
    }
}
