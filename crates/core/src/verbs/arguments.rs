//! The arguments of each verb as types, and the verb as one of them.
//!
//! Owns names and shapes of arguments. Invariant: an unknown field is an error, never ignored.

mod change;
mod look;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bounds::{self, Checked};
use crate::error::Failure;
use crate::level::Level;

pub use change::*;
pub use look::*;

/// No arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What every type of arguments can do: look at its own bounds.
pub(super) trait Bounded {
    /// Fails with `bad-arguments`.
    fn check(&self) -> Checked;
}

impl Bounded for Nothing {
    fn check(&self) -> Checked {
        Ok(())
    }
}

// A function cannot define an enum whose variants, names and types belong together.
macro_rules! verbs {
    ($($variant:ident($type:ty) = $name:literal,)*) => {
        /// A verb with its arguments.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Verb {
            $(#[doc = concat!("`", $name, "`.")] $variant($type),)*
        }

        impl Verb {
            /// The names of all verbs.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// The name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// The arguments as JSON, without those that were left out.
            pub fn args(&self) -> Value {
                let value = match self {
                    $(Self::$variant(args) => serde_json::to_value(args),)*
                };
                value.unwrap_or_default()
            }

            pub(super) fn from_args(name: &'static str, args: &Value) -> Result<Self, Failure> {
                match name {
                    $($name => read::<$type>(name, args).map(Self::$variant),)*
                    _ => Err(Failure::invalid("unknown-verb", format!("there is no verb {name:?}"))),
                }
            }
        }
    };
}

verbs! {
    HostFacts(Nothing) = "host.facts",
    FileRead(FileRead) = "file.read",
    FileList(FileList) = "file.list",
    FileStat(FileStat) = "file.stat",
    FileSearch(FileSearch) = "file.search",
    ProcessList(ProcessList) = "process.list",
    ServiceList(Nothing) = "service.list",
    ServiceStatus(ServiceName) = "service.status",
    LogRead(LogRead) = "log.read",
    PackageList(PackageList) = "package.list",
    NetworkSockets(Nothing) = "network.sockets",
    NetworkInterfaces(Nothing) = "network.interfaces",
    DiskUsage(Nothing) = "disk.usage",
    UserList(Nothing) = "user.list",
    ContainerList(Nothing) = "container.list",
    CertList(Nothing) = "cert.list",
    ShellRun(ShellRun) = "shell.run",
    NetDns(NetDns) = "net.dns",
    NetTcp(NetTcp) = "net.tcp",
    NetHttp(NetHttp) = "net.http",
    LogFollow(LogFollow) = "log.follow",
    ServiceStart(ServiceName) = "service.start",
    ServiceStop(ServiceName) = "service.stop",
    ServiceRestart(ServiceName) = "service.restart",
    ServiceReload(ServiceName) = "service.reload",
    ServiceEnable(ServiceName) = "service.enable",
    ServiceDisable(ServiceName) = "service.disable",
    FileWrite(FileWrite) = "file.write",
    FileDelete(FileDelete) = "file.delete",
    PackageInstall(PackageInstall) = "package.install",
    PackageRemove(PackageName) = "package.remove",
    PackageUpgrade(PackageName) = "package.upgrade",
    ProcessSignal(ProcessSignal) = "process.signal",
    SysctlSet(SysctlSet) = "sysctl.set",
    HostReboot(Nothing) = "host.reboot",
    ShellScript(ShellScript) = "shell.script",
    TaskUndo(TaskUndo) = "task.undo",
}

fn read<T: Bounded + serde::de::DeserializeOwned>(name: &str, args: &Value) -> Result<T, Failure> {
    let none = Value::Object(serde_json::Map::new());
    let args = if args.is_null() { &none } else { args };
    if !args.is_object() {
        return Err(bounds::bad(format!("the arguments of {name} must be an object")));
    }
    let parsed = T::deserialize(args).map_err(|error| {
        let detail = format!("{name}: {}", bounds::cut(&error.to_string(), 300));
        bounds::bad(detail).hint("GET /api/v1/verbs shows the schema of each verb's arguments")
    })?;
    parsed.check()?;
    Ok(parsed)
}

impl Verb {
    /// Refuses what one level of the verb takes and another does not.
    pub(super) fn check_for(&self, level: Level) -> Checked {
        match self {
            Self::ShellRun(run) if run.effects.is_some() && level < Level::Remediate => {
                Err(bounds::bad("effects are for level remediate: below it nothing can be written"))
            }
            _ => Ok(()),
        }
    }
}
