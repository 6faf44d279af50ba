//! The service's file for systemd, OpenRC and sysv, and starting and stopping it.
//!
//! Owns these texts. Nothing from outside but a checked user name goes into them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{PROGRAM, below};
use crate::config::DEFAULT_PATH;
use crate::error::ProbeError;

/// The unit of systemd.
pub const SYSTEMD_UNIT: &str = "/etc/systemd/system/legator-probe.service";
/// The script of OpenRC and sysv.
pub const INIT_SCRIPT: &str = "/etc/init.d/legator-probe";

/// What starts services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// systemd.
    Systemd,
    /// OpenRC.
    OpenRc,
    /// Scripts in `/etc/init.d`.
    SysV,
}

impl Manager {
    /// What this machine has.
    pub fn here() -> Self {
        let there = |path: &str| Path::new(path).exists();
        if there("/run/systemd/system") {
            Self::Systemd
        } else if there("/run/openrc") || there("/sbin/openrc-run") {
            Self::OpenRc
        } else {
            Self::SysV
        }
    }

    /// By its word.
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "systemd" => Some(Self::Systemd),
            "openrc" => Some(Self::OpenRc),
            "sysv" => Some(Self::SysV),
            _ => None,
        }
    }
}

/// The file and its mode.
fn file(manager: Manager, user: &str) -> (&'static str, u32, String) {
    match manager {
        Manager::Systemd => (SYSTEMD_UNIT, 0o644, systemd(user)),
        Manager::OpenRc => (INIT_SCRIPT, 0o755, openrc(user)),
        Manager::SysV => (INIT_SCRIPT, 0o755, sysv(user)),
    }
}

fn systemd(user: &str) -> String {
    format!(
        "[Unit]\nDescription=Legator probe\nWants=network-online.target\nAfter=network-online.target\n\n\
         [Service]\nUser={user}\nExecStart={PROGRAM} run --config {DEFAULT_PATH}\nRestart=always\nRestartSec=2\n\
         LimitCORE=0\nTasksMax=4096\nKillMode=mixed\nTimeoutStopSec=20\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

fn openrc(user: &str) -> String {
    format!(
        "#!/sbin/openrc-run\n\ndescription=\"Legator probe\"\ncommand={PROGRAM}\n\
         command_args=\"run --config {DEFAULT_PATH}\"\ncommand_user={user}\ncommand_background=yes\n\
         pidfile=/run/legator-probe.pid\noutput_log=/var/log/legator-probe.log\nerror_log=/var/log/legator-probe.log\n\n\
         depend() {{\n\tneed net\n\tafter firewall\n}}\n"
    )
}

fn sysv(user: &str) -> String {
    format!(
        "#!/bin/sh\n### BEGIN INIT INFO\n# Provides:          legator-probe\n# Required-Start:    $network $remote_fs\n\
         # Required-Stop:     $network $remote_fs\n# Default-Start:     2 3 4 5\n# Default-Stop:      0 1 6\n\
         # Short-Description: Legator probe\n### END INIT INFO\n\n\
         PIDFILE=/run/legator-probe.pid\n\n\
         start() {{\n\tstart-stop-daemon --start --oknodo --background --make-pidfile --pidfile \"$PIDFILE\" \\\n\
         \t\t--chuid {user} --startas /bin/sh -- -c 'exec {PROGRAM} run --config {DEFAULT_PATH} >>/var/log/legator-probe.log 2>&1'\n}}\n\n\
         stop() {{\n\tstart-stop-daemon --stop --oknodo --retry TERM/20/KILL/5 --pidfile \"$PIDFILE\" --remove-pidfile\n}}\n\n\
         case \"$1\" in\n\tstart) start ;;\n\tstop) stop ;;\n\trestart|force-reload) stop; start ;;\n\
         \tstatus) start-stop-daemon --status --pidfile \"$PIDFILE\" ;;\n\
         \t*) echo \"Usage: $0 {{start|stop|restart|status}}\" >&2; exit 2 ;;\nesac\n"
    )
}

/// Writes the service's file. Where it is.
///
/// # Errors
/// It cannot be written, or the user's name is none.
pub fn write(root: &Path, manager: Manager, user: &str) -> Result<PathBuf, ProbeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if user.is_empty() || !user.chars().all(plain) {
        return Err(ProbeError::Config {
            path: "--user".into(),
            detail: format!("{user:?} is no user's name"),
        });
    }
    let (path, mode, content) = file(manager, user);
    let path = below(root, Path::new(path));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ProbeError::file("make", folder))?;
    }
    fs::write(&path, content).map_err(ProbeError::file("write", &path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(ProbeError::file("open", &path))?;
    Ok(path)
}

fn program(argv: &[&str]) -> Result<(), ProbeError> {
    let Some((name, arguments)) = argv.split_first() else { return Ok(()) };
    let output = Command::new(name).args(arguments).output().map_err(ProbeError::file("run", *name))?;
    if output.status.success() {
        return Ok(());
    }
    let detail = String::from_utf8_lossy(&output.stderr).trim().chars().take(300).collect();
    Err(ProbeError::Program { program: argv.join(" "), detail })
}

/// Enables and starts the service.
///
/// # Errors
/// The service manager said no.
pub fn start(manager: Manager) -> Result<(), ProbeError> {
    let steps: &[&[&str]] = match manager {
        Manager::Systemd => {
            &[&["systemctl", "daemon-reload"], &["systemctl", "enable", "--now", "legator-probe.service"]]
        }
        Manager::OpenRc => {
            &[&["rc-update", "add", "legator-probe", "default"], &["rc-service", "legator-probe", "start"]]
        }
        Manager::SysV => &[&["update-rc.d", "legator-probe", "defaults"], &[INIT_SCRIPT, "start"]],
    };
    steps.iter().try_for_each(|argv| program(argv))
}

/// Stops and disables the service, whichever manager it was installed for. What is not there is no failure.
pub fn stop() {
    let steps: &[&[&str]] = match Manager::here() {
        Manager::Systemd => &[&["systemctl", "disable", "--now", "legator-probe.service"]],
        Manager::OpenRc => {
            &[&["rc-service", "legator-probe", "stop"], &["rc-update", "del", "legator-probe"]]
        }
        Manager::SysV => &[&[INIT_SCRIPT, "stop"], &["update-rc.d", "-f", "legator-probe", "remove"]],
    };
    for argv in steps {
        if let Err(error) = program(argv) {
            tracing::debug!(%error, "while it is taken away");
        }
    }
}
