//! Arguments of the verbs that change a host, and of the shell.
//!
//! Owns the shapes only. Invariant: what a change is aimed at is named in full; nothing here is a pattern.

use std::collections::BTreeMap;

use base64::Engine as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Bounded;
use crate::ids::TaskId;
use crate::span::Span;
use crate::verbs::bounds::{self, Checked};
use crate::verbs::secret::{self, Secret};

/// What a confined change may touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// Absolute paths that may be written, with everything below them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<String>,
    /// Whether TCP and UDP over IPv4 and IPv6 are open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub net: bool,
}

/// Arguments of `shell.run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShellRun {
    /// The program and its arguments. No shell reads them.
    pub argv: Vec<String>,
    /// The directory to run in: `/` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// How long it may run: 60s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Span>,
    /// At level remediate: what it may touch. Unconfined when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Opened>,
    /// Values that nobody is shown: the program finds `NAME` in the variable `SECRET_NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Secret>,
}

/// Arguments of `shell.script`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShellScript {
    /// The script, whole.
    pub script: String,
    /// The absolute path of the program that reads it from a file given as its one argument.
    pub interpreter: String,
    /// How long it may run: 60s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Span>,
    /// What it may touch. Unconfined when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Opened>,
    /// Values that nobody is shown: the program finds `NAME` in the variable `SECRET_NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Secret>,
}

/// How the content of a file is written in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As it is.
    #[default]
    Text,
    /// In base64 with padding (RFC 4648 section 4).
    Base64,
}

impl Encoding {
    fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

/// Arguments of `file.write`. No link is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileWrite {
    /// The file. Its directory must be there.
    pub path: String,
    /// All that it is to hold.
    pub content: String,
    /// How `content` is written.
    #[serde(default, skip_serializing_if = "Encoding::is_text")]
    pub encoding: Encoding,
    /// Its permission bits in octal; as before when absent, `0644` for a new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// Arguments of `file.delete`. No link is followed, and only a regular file is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDelete {
    /// The file.
    pub path: String,
}

/// Arguments of `package.install`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageInstall {
    /// The package.
    pub name: String,
    /// Exactly this version; the one that the package manager prefers when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The name of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageName {
    /// The package.
    pub name: String,
}

/// A signal that can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// Ask it to end.
    Term,
    /// End it.
    Kill,
    /// Often: read the configuration again.
    Hup,
    /// Interrupt it.
    Int,
    /// End it, with a dump.
    Quit,
    /// Meaning is the program's own.
    Usr1,
    /// Meaning is the program's own.
    Usr2,
    /// Halt it.
    Stop,
    /// Let it go on.
    Cont,
}

/// Arguments of `process.signal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessSignal {
    /// The process.
    pub pid: u32,
    /// The signal.
    pub signal: Signal,
    /// The name that the process must have, as `process.list` gives it; refused when it is another one meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The start that the process must have, in clock ticks after boot, as `process.list` gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
}

/// Arguments of `sysctl.set`. The setting holds until the next boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SysctlSet {
    /// The setting, as `vm.swappiness`.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Arguments of `task.undo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskUndo {
    /// The task on this host that is to be taken back.
    #[schemars(with = "String")]
    pub task: TaskId,
}

impl FileWrite {
    /// The bytes that the file is to hold.
    pub fn bytes(&self) -> Vec<u8> {
        match self.encoding {
            Encoding::Text => self.content.clone().into_bytes(),
            Encoding::Base64 => decode(&self.content).unwrap_or_default(),
        }
    }

    /// The permission bits that are asked for.
    pub fn permissions(&self) -> Option<u32> {
        self.mode.as_deref().and_then(bounds::mode)
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

impl Signal {
    /// Its number on Linux, the same on every architecture that the probe is built for.
    pub const fn number(self) -> i32 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Quit => 3,
            Self::Kill => 9,
            Self::Usr1 => 10,
            Self::Usr2 => 12,
            Self::Term => 15,
            Self::Cont => 18,
            Self::Stop => 19,
        }
    }

    /// Its name without `SIG`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Kill => "KILL",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Term => "TERM",
            Self::Cont => "CONT",
            Self::Stop => "STOP",
        }
    }
}

impl Bounded for ShellRun {
    fn check(&self) -> Checked {
        bounds::argv(&self.argv)?;
        self.cwd.iter().try_for_each(|cwd| bounds::path("cwd", cwd))?;
        secret::check(&self.secrets)?;
        bounds::timeout(self.timeout)?;
        self.effects.iter().try_for_each(|opened| bounds::write_paths(&opened.write))
    }
}

impl Bounded for ShellScript {
    fn check(&self) -> Checked {
        if self.script.trim().is_empty() || self.script.len() > bounds::SCRIPT_BYTES_MAX {
            let max = bounds::SCRIPT_BYTES_MAX;
            return Err(bounds::bad(format!("script must not be empty, nor longer than {max} bytes")));
        }
        if self.script.contains('\0') {
            return Err(bounds::bad("script holds a NUL character"));
        }
        bounds::path("interpreter", &self.interpreter)?;
        secret::check(&self.secrets)?;
        bounds::timeout(self.timeout)?;
        self.effects.iter().try_for_each(|opened| bounds::write_paths(&opened.write))
    }
}

impl Bounded for FileWrite {
    fn check(&self) -> Checked {
        target("path", &self.path)?;
        let longest = bounds::CONTENT_BYTES_MAX;
        let bytes = match self.encoding {
            Encoding::Text => self.content.len(),
            Encoding::Base64 if self.content.len() > longest * 2 => usize::MAX,
            Encoding::Base64 => {
                decode(&self.content).ok_or_else(|| bounds::bad("content is not base64"))?.len()
            }
        };
        if bytes > longest {
            return Err(bounds::bad(format!("content is longer than {longest} bytes")));
        }
        match self.mode.is_some() && self.permissions().is_none() {
            true => Err(bounds::bad("mode must be octal permission bits such as 0644")),
            false => Ok(()),
        }
    }
}

/// A path that names a file: it does not end in a slash or a dot.
fn target(field: &str, path: &str) -> Checked {
    bounds::path(field, path)?;
    match path.rsplit('/').next() {
        Some("" | ".") | None => Err(bounds::bad(format!("{field} must name a file"))),
        Some(_) => Ok(()),
    }
}

impl Bounded for FileDelete {
    fn check(&self) -> Checked {
        target("path", &self.path)
    }
}

/// A package manager reads `name-` as "remove" and `name=…`, `name/…` as a version: none of them is a name here.
fn package(name: &str) -> Checked {
    bounds::word("name", name, "+._:~-")?;
    match name.ends_with('-') {
        true => Err(bounds::bad("name must not end in -")),
        false => Ok(()),
    }
}

impl Bounded for PackageInstall {
    fn check(&self) -> Checked {
        package(&self.name)?;
        self.version.iter().try_for_each(|version| bounds::word("version", version, "+._:~^-"))
    }
}

impl Bounded for PackageName {
    fn check(&self) -> Checked {
        package(&self.name)
    }
}

impl Bounded for ProcessSignal {
    fn check(&self) -> Checked {
        // The first process is the machine: it ends by host.reboot.
        bounds::number("pid", Some(self.pid.into()), 2..=4_194_304)?;
        self.name.iter().try_for_each(|name| bounds::line("name", name, 1..=255))
    }
}

impl Bounded for SysctlSet {
    fn check(&self) -> Checked {
        bounds::word("key", &self.key, "_.-/:")?;
        if !self.key.contains('.') || self.key.split(['.', '/']).any(str::is_empty) {
            return Err(bounds::bad("key must be the name of a setting such as vm.swappiness"));
        }
        match self.value.contains('\t') {
            true => bounds::line("value", &self.value.replace('\t', " "), 1..=4096),
            false => bounds::line("value", &self.value, 1..=4096),
        }
    }
}

impl Bounded for TaskUndo {
    fn check(&self) -> Checked {
        Ok(())
    }
}
