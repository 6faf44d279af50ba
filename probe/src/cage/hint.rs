//! Names the typed verb that gives what a caged command cannot.
//!
//! Owns the table from a program to a verb. Never decides anything: it only explains a failure that the kernel caused.
//! Invariant: no hint for a command that got what it wanted.

use super::Exit;
use std::path::Path;

/// A program that fails in the cage by design, and the verb to use.
const TABLE: &[(&str, &str, &str)] = &[
    ("systemctl", "service.status", "a caged command cannot talk to the service manager"),
    ("service", "service.status", "a caged command cannot talk to the service manager"),
    ("rc-service", "service.status", "a caged command cannot talk to the service manager"),
    ("journalctl", "log.read", "the journal may need rights that a caged command has not"),
    ("dmesg", "log.read", "the kernel log needs a right that a caged command has not"),
    ("docker", "container.list", "a caged command reaches no socket of a container engine"),
    ("podman", "container.list", "a caged command reaches no socket of a container engine"),
    ("crictl", "container.list", "a caged command reaches no socket of a container engine"),
    ("curl", "net.http", "a caged command has no network; diagnose has"),
    ("wget", "net.http", "a caged command has no network; diagnose has"),
    ("ping", "net.tcp", "a caged command has no network; diagnose has"),
    ("nc", "net.tcp", "a caged command has no network; diagnose has"),
    ("telnet", "net.tcp", "a caged command has no network; diagnose has"),
    ("traceroute", "net.tcp", "a caged command has no network; diagnose has"),
    ("dig", "net.dns", "a caged command has no network; diagnose has"),
    ("host", "net.dns", "a caged command has no network; diagnose has"),
    ("nslookup", "net.dns", "a caged command has no network; diagnose has"),
    ("getent", "user.list", "a caged command cannot ask a name service over its socket"),
    ("ss", "network.sockets", "a caged command cannot see the processes of sockets"),
    ("netstat", "network.sockets", "a caged command cannot see the processes of sockets"),
    (
        "lsof",
        "network.sockets",
        "a caged command cannot read another process's descriptors; process.list names its files",
    ),
    ("fuser", "process.list", "a caged command cannot read another process's descriptors"),
    ("smartctl", "disk.usage", "a caged command has no device nodes"),
    ("blkid", "disk.usage", "a caged command has no device nodes"),
    ("kill", "process.signal", "a caged command sees no other process"),
    ("pkill", "process.signal", "a caged command sees no other process"),
];

/// What to do instead, when a caged command failed: the verb, and the reason in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    /// The typed verb.
    pub verb: &'static str,
    /// Why the command could not.
    pub why: &'static str,
}

/// A hint for a command that failed in the cage, or printed a refusal of the kernel, if there is a verb for what it wanted.
pub fn hint(argv: &[String], exit: &Exit) -> Option<Hint> {
    if exit.success() && !exit.denied {
        return None;
    }
    let program =
        argv.first().and_then(|first| Path::new(first).file_name()).and_then(|name| name.to_str())?;
    if let Some((_, verb, why)) = TABLE.iter().find(|(name, ..)| *name == program) {
        return Some(Hint { verb, why });
    }
    let other_process = argv.iter().skip(1).any(|argument| {
        let rest = argument.strip_prefix("/proc/").unwrap_or_default();
        rest.starts_with(|first: char| first.is_ascii_digit())
    });
    let why = "the cage lets no command read another process's descriptors, environment or program";
    other_process.then_some(Hint { verb: "process.list", why })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    fn ended(code: i32, denied: bool) -> Exit {
        Exit {
            code: Some(code),
            signal: None,
            timed_out: false,
            cancelled: false,
            denied,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn failing_by_design_names_the_verb_and_success_names_none() {
        let table: &[(&[&str], Option<&str>)] = &[
            (&["/usr/bin/lsof", "-p", "1"], Some("network.sockets")),
            (&["systemctl", "status", "nginx"], Some("service.status")),
            (&["ls", "-l", "/proc/12/fd"], Some("process.list")),
            (&["cat", "/proc/meminfo"], None),
            (&["cat", "/etc/none"], None),
            (&[], None),
        ];
        for (argv, verb) in table {
            let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(hint(&argv, &ended(1, false)).map(|hint| hint.verb), *verb, "{argv:?}");
            assert_eq!(hint(&argv, &ended(0, true)).map(|hint| hint.verb), *verb, "{argv:?}");
            assert_eq!(hint(&argv, &ended(0, false)), None, "{argv:?}");
        }
    }
}
