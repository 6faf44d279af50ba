//! The line that people read for a call, and the time that a verb is given.
//!
//! Owns both tables. Invariant: the line has no line break and nothing that is not printable.

use super::Verb;
use super::bounds::cut;
use crate::span::Span;

const LINE_CHARS_MAX: usize = 300;

/// How long the verb may run when its arguments do not say.
pub(super) fn timeout(verb: &Verb) -> Span {
    match verb {
        Verb::ShellRun(run) => run.timeout.unwrap_or(Span::from_secs(60)),
        Verb::ShellScript(script) => script.timeout.unwrap_or(Span::from_secs(60)),
        Verb::LogFollow(follow) => follow.timeout.unwrap_or(Span::from_secs(30)),
        Verb::NetTcp(tcp) => tcp.timeout.unwrap_or(Span::from_secs(10)),
        Verb::NetHttp(http) => http.timeout.unwrap_or(Span::from_secs(30)),
        Verb::PackageInstall(_) | Verb::PackageRemove(_) | Verb::PackageUpgrade(_) => Span::from_secs(900),
        Verb::ServiceStart(_)
        | Verb::ServiceStop(_)
        | Verb::ServiceRestart(_)
        | Verb::ServiceReload(_)
        | Verb::ServiceEnable(_)
        | Verb::ServiceDisable(_) => Span::from_secs(180),
        Verb::TaskUndo(_) => Span::from_secs(900),
        Verb::HostReboot(_) => Span::from_secs(600),
        _ => Span::from_secs(30),
    }
}

/// One line for people: `restart service nginx`.
pub(super) fn line(verb: &Verb) -> String {
    cut(&sentence(verb), LINE_CHARS_MAX)
}

fn sentence(verb: &Verb) -> String {
    look(verb).or_else(|| change(verb)).unwrap_or_else(|| verb.name().to_owned())
}

fn look(verb: &Verb) -> Option<String> {
    Some(match verb {
        Verb::HostFacts(_) => "read the facts of the host".into(),
        Verb::FileRead(args) => format!("read file {}", args.path),
        Verb::FileList(args) => format!("list directory {}", args.path),
        Verb::FileStat(args) => format!("read the metadata of {}", args.path),
        Verb::FileSearch(args) => format!("search for files in {}", args.path),
        Verb::ProcessList(_) => "list processes".into(),
        Verb::ServiceList(_) => "list services".into(),
        Verb::ServiceStatus(args) => format!("read the status of service {}", args.name),
        Verb::LogRead(args) => format!("read log {}", source(&args.path, &args.service)),
        Verb::LogFollow(args) => format!("follow log {}", source(&args.path, &args.service)),
        Verb::PackageList(_) => "list packages".into(),
        Verb::NetworkSockets(_) => "list listening sockets".into(),
        Verb::NetworkInterfaces(_) => "list network interfaces".into(),
        Verb::DiskUsage(_) => "read the usage of disks".into(),
        Verb::UserList(_) => "list users".into(),
        Verb::ContainerList(_) => "list containers".into(),
        Verb::CertList(_) => "list certificates".into(),
        Verb::NetDns(args) => format!("resolve {}", args.name),
        Verb::NetTcp(args) => format!("connect to {} port {}", args.host, args.port),
        Verb::NetHttp(args) => format!("ask {}", args.url),
        _ => return None,
    })
}

fn change(verb: &Verb) -> Option<String> {
    Some(match verb {
        Verb::ShellRun(args) => format!("run {}", command(&args.argv)),
        Verb::ShellScript(args) => {
            format!("run a script of {} lines with {}", args.script.lines().count(), args.interpreter)
        }
        Verb::ServiceStart(args) => format!("start service {}", args.name),
        Verb::ServiceStop(args) => format!("stop service {}", args.name),
        Verb::ServiceRestart(args) => format!("restart service {}", args.name),
        Verb::ServiceReload(args) => format!("reload service {}", args.name),
        Verb::ServiceEnable(args) => format!("enable service {} at boot", args.name),
        Verb::ServiceDisable(args) => format!("disable service {} at boot", args.name),
        Verb::FileWrite(args) => format!("write file {} ({} bytes)", args.path, args.bytes().len()),
        Verb::FileDelete(args) => format!("delete file {}", args.path),
        Verb::PackageInstall(args) => match &args.version {
            Some(version) => format!("install package {} {version}", args.name),
            None => format!("install package {}", args.name),
        },
        Verb::PackageRemove(args) => format!("remove package {}", args.name),
        Verb::PackageUpgrade(args) => format!("upgrade package {}", args.name),
        Verb::ProcessSignal(args) => format!("send {} to process {}", args.signal.word(), args.pid),
        Verb::SysctlSet(args) => format!("set {} to {}", args.key, args.value),
        Verb::HostReboot(_) => "reboot the host".into(),
        Verb::TaskUndo(args) => format!("undo {}", args.task),
        _ => return None,
    })
}

fn source(path: &Option<String>, service: &Option<String>) -> String {
    match (path, service) {
        (Some(path), _) => path.clone(),
        (None, Some(service)) => format!("of service {service}"),
        (None, None) => String::new(),
    }
}

/// The arguments as a shell would be given them.
fn command(argv: &[String]) -> String {
    let words: Vec<String> = argv.iter().map(|arg| quote(arg)).collect();
    words.join(" ")
}

fn quote(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    match !arg.is_empty() && arg.chars().all(plain) {
        true => arg.to_owned(),
        false => format!("'{}'", arg.replace('\'', "'\\''")),
    }
}
