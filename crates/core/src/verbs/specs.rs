//! The table of all verbs.
//!
//! Owns what each verb says about itself. Invariant: one row a verb, in the order of the levels.

use schemars::JsonSchema;
use serde_json::Value;

use super::Spec;
use super::arguments::*;
use crate::level::Level::{self, Diagnose, Observe, Remediate};

fn schema<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// All verbs, those that look first.
pub fn all() -> &'static [Spec] {
    &ALL
}

/// A verb that reads.
const fn look(name: &'static str, summary: &'static str, schema: fn() -> Value) -> Spec {
    let effects_text = "Reads only; nothing on the host changes and nothing is sent.";
    let levels: &[Level] = &[Observe];
    Spec { name, levels, summary, effects_text, pre_image: false, post_condition: None, undo: false, schema }
}

/// A verb that asks the network.
const fn ask(name: &'static str, summary: &'static str, schema: fn() -> Value) -> Spec {
    let effects_text = "Opens connections from the host over IPv4 and IPv6; writes nothing to the host.";
    let levels: &[Level] = &[Diagnose];
    Spec { name, levels, summary, effects_text, pre_image: false, post_condition: None, undo: false, schema }
}

/// A verb that changes the host.
const fn change(
    name: &'static str,
    summary: &'static str,
    schema: fn() -> Value,
    texts: [&'static str; 2],
) -> Spec {
    let [effects_text, condition] = texts;
    let levels: &[Level] = &[Remediate];
    let post_condition = if condition.is_empty() { None } else { Some(condition) };
    Spec { name, levels, summary, effects_text, pre_image: false, post_condition, undo: false, schema }
}

const fn undoable(spec: Spec) -> Spec {
    Spec { undo: true, ..spec }
}

const fn shown(spec: Spec) -> Spec {
    Spec { pre_image: true, undo: true, ..spec }
}

const SERVICE: &str = "Runs the host's service manager for this one service.";
const BOOT: &str = "Changes what is started at boot; nothing is started or stopped now.";
const FILE: &str = "Changes this one file; owner, mode and extended attributes stay.";
const PACKAGES: &str = "Runs the host's package manager, with all that the package and its dependencies do.";

static ALL: [Spec; 37] = [
    look("host.facts", "Operating system, kernel, processors, memory and load", schema::<Nothing>),
    look("file.read", "The content of a file", schema::<FileRead>),
    look("file.list", "The entries of a directory", schema::<FileList>),
    look("file.stat", "Kind, size, owner, mode and times of a file", schema::<FileStat>),
    look("file.search", "Files below a directory, by name and content", schema::<FileSearch>),
    look("process.list", "Running processes", schema::<ProcessList>),
    look("service.list", "Services and their state", schema::<Nothing>),
    look(
        "service.status",
        "The state of one service: processes and listening sockets",
        schema::<ServiceName>,
    ),
    look("log.read", "The last lines of a log", schema::<LogRead>),
    look("package.list", "Installed packages", schema::<PackageList>),
    look("network.sockets", "Listening sockets with their processes", schema::<Nothing>),
    look("network.interfaces", "Network interfaces, addresses and counters", schema::<Nothing>),
    look("disk.usage", "Mounted file systems and how full they are", schema::<Nothing>),
    look("user.list", "Users and groups of the host's own files", schema::<Nothing>),
    look("container.list", "Running containers, as their processes show them", schema::<Nothing>),
    look("cert.list", "Certificates in the usual places, with their ends", schema::<Nothing>),
    Spec {
        levels: &[Observe, Diagnose, Remediate],
        effects_text: "Observe: in the cage, no write and no network. Diagnose: with IPv4 and IPv6. \
                       Remediate: what `effects` opens, or unconfined.",
        ..look("shell.run", "Runs a program; no shell reads its arguments", schema::<ShellRun>)
    },
    ask("net.dns", "Asks a name server", schema::<NetDns>),
    ask("net.tcp", "Opens and closes a TCP connection", schema::<NetTcp>),
    ask("net.http", "Asks a web server, GET or HEAD", schema::<NetHttp>),
    Spec {
        effects_text: "Reads only, for as long as it is followed.",
        ..ask("log.follow", "What is added to a log from now on", schema::<LogFollow>)
    },
    undoable(change(
        "service.start",
        "Starts a service",
        schema::<ServiceName>,
        [SERVICE, "the service is active, and still after a settle time"],
    )),
    undoable(change(
        "service.stop",
        "Stops a service",
        schema::<ServiceName>,
        [SERVICE, "the service is not active and its main process is gone"],
    )),
    change(
        "service.restart",
        "Restarts a service",
        schema::<ServiceName>,
        [
            SERVICE,
            "the main process is another one, the service is active and still after a settle time, and listens where it listened",
        ],
    ),
    change(
        "service.reload",
        "Makes a service read its configuration again",
        schema::<ServiceName>,
        [SERVICE, "the main process is the same and the service is active, and listens where it listened"],
    ),
    undoable(change(
        "service.enable",
        "Starts a service at boot",
        schema::<ServiceName>,
        [BOOT, "the service is enabled at boot"],
    )),
    undoable(change(
        "service.disable",
        "Does not start a service at boot any more",
        schema::<ServiceName>,
        [BOOT, "the service is not enabled at boot"],
    )),
    shown(change(
        "file.write",
        "Writes a file, whole",
        schema::<FileWrite>,
        [FILE, "the file holds what was approved, with the mode that was asked for"],
    )),
    shown(change(
        "file.delete",
        "Deletes a file",
        schema::<FileDelete>,
        ["Removes this one regular file.", "the file is gone"],
    )),
    undoable(change(
        "package.install",
        "Installs a package",
        schema::<PackageInstall>,
        [PACKAGES, "the package is installed, in the version that was asked for"],
    )),
    change(
        "package.remove",
        "Removes a package",
        schema::<PackageName>,
        [PACKAGES, "the package is not installed"],
    ),
    change(
        "package.upgrade",
        "Upgrades an installed package",
        schema::<PackageName>,
        [PACKAGES, "the package is installed in the version that the package manager prefers"],
    ),
    change(
        "process.signal",
        "Sends a signal to a process",
        schema::<ProcessSignal>,
        [
            "Sends one signal to one process.",
            "after TERM, KILL, INT or QUIT the process is gone; after STOP it is halted, after CONT it is not",
        ],
    ),
    undoable(change(
        "sysctl.set",
        "Sets a kernel setting until the next boot",
        schema::<SysctlSet>,
        ["Writes one setting below /proc/sys.", "the kernel gives back the value that was set"],
    )),
    change(
        "host.reboot",
        "Reboots the host",
        schema::<Nothing>,
        ["Stops everything on the host and starts it again.", "the host came back with another boot id"],
    ),
    change(
        "shell.script",
        "Runs a script, shown whole to the approver",
        schema::<ShellScript>,
        ["What `effects` opens, or unconfined.", ""],
    ),
    change(
        "task.undo",
        "Takes back what a task did",
        schema::<TaskUndo>,
        ["Puts back what the task changed on this host.", "the state before the task is back"],
    ),
];
