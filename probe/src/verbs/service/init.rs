//! Service managers: systemd, OpenRC, and scripts in `/etc/init.d`.
//!
//! Owns their commands, their lists and what is started at boot. Never builds a line for a shell: names are arguments.
//! Invariant: a manager is named only for a service that it really has.

use std::fs;
use std::path::{Path, PathBuf};

use super::Action;
use crate::verbs::{Step, Stop, program};

const UNIT_DIRS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
const SCRIPT_BYTES_MAX: usize = 256 * 1024;
const SERVICES_MAX: usize = 2000;

/// Who starts and stops services here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verbs) enum Manager {
    Systemd,
    OpenRc,
    SysV,
}

fn here() -> Manager {
    // sd_booted(3) and OpenRC's own sign.
    if Path::new("/run/systemd/system").is_dir() {
        Manager::Systemd
    } else if Path::new("/run/openrc").is_dir() {
        Manager::OpenRc
    } else {
        Manager::SysV
    }
}

fn script_of(name: &str) -> PathBuf {
    Path::new("/etc/init.d").join(name)
}

/// The file of a unit; that of the template for an instance.
fn unit_file(name: &str) -> Option<PathBuf> {
    let own = format!("{name}.service");
    let template = name.split_once('@').map(|(stem, _)| format!("{stem}@.service"));
    let names = [Some(own), template];
    let files =
        UNIT_DIRS.iter().flat_map(|dir| names.iter().flatten().map(move |name| Path::new(dir).join(name)));
    files.into_iter().find(|file| file.exists())
}

impl Manager {
    /// The manager that has this service.
    pub(in crate::verbs) fn of(name: &str) -> Option<Self> {
        let manager = here();
        let has = match manager {
            Self::Systemd => unit_file(name).is_some() || script_of(name).is_file(),
            Self::OpenRc | Self::SysV => script_of(name).is_file(),
        };
        has.then_some(manager)
    }

    /// The name under which the manager itself keeps the service: another name is a link to its unit.
    pub(in crate::verbs) fn own_name(self, name: &str) -> String {
        let other = || {
            let target = fs::canonicalize(unit_file(name)?).ok()?;
            target.file_name()?.to_str()?.strip_suffix(".service").map(str::to_owned)
        };
        match self {
            Self::Systemd if !name.contains('@') => other().unwrap_or_else(|| name.to_owned()),
            Self::Systemd | Self::OpenRc | Self::SysV => name.to_owned(),
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "openrc",
            Self::SysV => "sysv",
        }
    }

    /// The command for an action.
    pub(super) fn command(self, action: Action, name: &str) -> Step<Vec<String>> {
        let boot = matches!(action, Action::Enable | Action::Disable);
        let words: Vec<String> = match (self, boot) {
            (Self::Systemd, _) => {
                let systemctl = found(&["/usr/bin/systemctl", "/bin/systemctl"])?;
                let unit = format!("{name}.service");
                vec![systemctl, "--no-ask-password".into(), action.word().into(), "--".into(), unit]
            }
            (Self::OpenRc, false) => {
                vec![found(&["/sbin/rc-service", "/usr/sbin/rc-service"])?, name.into(), action.word().into()]
            }
            (Self::OpenRc, true) => {
                let verb = if action == Action::Enable { "add" } else { "del" };
                vec![
                    found(&["/sbin/rc-update", "/usr/sbin/rc-update"])?,
                    verb.into(),
                    name.into(),
                    "default".into(),
                ]
            }
            (Self::SysV, false) => vec![script_of(name).to_string_lossy().into_owned(), action.word().into()],
            (Self::SysV, true) => {
                let update = found(&["/usr/sbin/update-rc.d", "/sbin/chkconfig", "/usr/sbin/chkconfig"])?;
                let word = match (update.ends_with("chkconfig"), action) {
                    (true, Action::Enable) => "on",
                    (true, _) => "off",
                    // Without any link there is none to enable: the script's own levels are taken.
                    (false, Action::Enable) if !has_links(name) => "defaults",
                    (false, action) => action.word(),
                };
                vec![update, name.into(), word.into()]
            }
        };
        Ok(words)
    }

    /// Whether the service is started at boot.
    pub(super) fn is_enabled(self, name: &str) -> bool {
        match self {
            Self::Systemd => {
                let unit = format!("{name}.service");
                let wants = subdirs("/etc/systemd/system", |dir| {
                    dir.ends_with(".wants") || dir.ends_with(".requires")
                });
                wants.iter().any(|dir| fs::symlink_metadata(dir.join(&unit)).is_ok())
                    || is_enabled_by_links(name)
            }
            Self::OpenRc => subdirs("/etc/runlevels", |_| true).iter().any(|dir| dir.join(name).exists()),
            Self::SysV => is_enabled_by_links(name),
        }
    }
}

fn found(paths: &[&str]) -> Step<String> {
    let missing = || Stop::not_applicable(format!("none of {} is on this host", paths.join(", ")));
    program::first_of(paths).ok_or_else(missing)
}

fn subdirs(root: &str, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().map_while(Result::ok);
    entries.filter(|entry| wanted(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect()
}

/// Whether a script is registered for any run level, to start or to be ended there.
fn has_links(name: &str) -> bool {
    (0..=6).any(|level| {
        let entries = fs::read_dir(format!("/etc/rc{level}.d")).into_iter().flatten().map_while(Result::ok);
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().get(3..) == Some(name))
    })
}

/// Whether a link `S<two digits><name>` stands in a run level with services, 2 to 5.
fn is_enabled_by_links(name: &str) -> bool {
    (2..=5).any(|level| {
        let entries = fs::read_dir(format!("/etc/rc{level}.d")).into_iter().flatten().map_while(Result::ok);
        entries.into_iter().any(|entry| {
            let link = entry.file_name().to_string_lossy().into_owned();
            link.strip_prefix('S').and_then(|rest| rest.get(2..)) == Some(name)
        })
    })
}

/// The names of all services here, sorted.
pub(super) fn all() -> (Manager, Vec<String>) {
    let manager = here();
    let mut names: Vec<String> = match manager {
        Manager::Systemd => {
            UNIT_DIRS.iter().flat_map(|dir| subdirs(dir, |name| name.ends_with(".service"))).collect()
        }
        Manager::OpenRc | Manager::SysV => {
            subdirs("/etc/init.d", |name| name != "README" && !name.starts_with('.'))
        }
    }
    .into_iter()
    .filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some(name.strip_suffix(".service").unwrap_or(&name).to_owned())
    })
    .filter(|name| !name.ends_with('@'))
    .collect();
    names.sort();
    names.dedup();
    names.truncate(SERVICES_MAX);
    (manager, names)
}

/// What a script in `/etc/init.d` says about its service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::verbs) struct Script {
    pub(super) pid_file: Option<String>,
    pub(super) program: Option<PathBuf>,
}

impl Script {
    /// Reads the script of a service; nothing when there is none.
    pub(super) fn read(name: &str) -> Self {
        let text = fs::read(script_of(name)).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(text.get(..SCRIPT_BYTES_MAX).unwrap_or(&text)), name)
    }

    /// Plain assignments, as Debian's and OpenRC's scripts have them; what would need a shell to know is left out.
    pub(in crate::verbs) fn parse(text: &str, name: &str) -> Self {
        let mut script = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else { continue };
            let value = value.trim().trim_matches(['"', '\'']);
            let value = value.replace("${RC_SVCNAME}", name).replace("$RC_SVCNAME", name);
            let value = value.replace("${NAME}", name).replace("$NAME", name);
            if value.contains(['$', '`', ' ']) || !value.starts_with('/') {
                continue;
            }
            match key {
                "PIDFILE" | "PID" | "pidfile" if script.pid_file.is_none() => script.pid_file = Some(value),
                "DAEMON" | "command" | "EXEC" if script.program.is_none() => {
                    script.program = Some(value.into())
                }
                _ => {}
            }
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_say() {
        let debian = "PATH=/sbin\nDAEMON=/usr/sbin/nginx\nNAME=nginx\nPIDFILE=/run/$NAME.pid\nPID=$(cat x)\n";
        let script = Script::parse(debian, "nginx");
        assert_eq!(script.program, Some("/usr/sbin/nginx".into()));
        assert_eq!(script.pid_file, Some("/run/nginx.pid".into()));
        let openrc = "command=\"/usr/sbin/sshd\"\npidfile=\"/run/${RC_SVCNAME}.pid\"\n";
        assert_eq!(Script::parse(openrc, "sshd").pid_file, Some("/run/sshd.pid".into()));
        assert_eq!(Script::parse("PIDFILE=`x`\nDAEMON=$FOO/bin\n=\n", "x"), Script::default());
    }

    #[test]
    fn a_service_that_is_not_there_has_no_manager() {
        assert_eq!(Manager::of("no-such-service-here"), None);
    }
}
