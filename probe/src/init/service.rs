//! The service's file for systemd, OpenRC and sysv, and starting and stopping it.
//!
//! Owns these texts. Nothing from outside but a checked user name goes into them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{PROGRAM, below};
use crate::config::DEFAULT_PATH;
use crate::disk;
use crate::error::ProbeError;
use crate::status;

/// The unit of systemd.
pub const SYSTEMD_UNIT: &str = "/etc/systemd/system/legator-probe.service";
/// The process id and the output of a service that is started by a script.
pub const PID_FILE: &str = "/run/legator-probe.pid";
/// See [`PID_FILE`].
pub const LOG_FILE: &str = "/var/log/legator-probe.log";
/// The script of OpenRC and sysv.
pub const INIT_SCRIPT: &str = "/etc/init.d/legator-probe";

const LOOK_EACH: Duration = Duration::from_millis(100);
const LOOKS_MAX: usize = 110;
const LOOKS_ENOUGH: usize = 10;

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

/// Only the probe itself is ended with its service: what is caged ends with it by itself, and half an upgrade is worse than one that
/// goes on. One byte is the core limit that the cage wants, and may not raise for a user.
fn systemd(user: &str) -> String {
    format!(
        "[Unit]\nDescription=Legator probe\nWants=network-online.target\nAfter=network-online.target\n\n\
         [Service]\nUser={user}\nExecStart={PROGRAM} run --config {DEFAULT_PATH}\nRestart=always\nRestartSec=2\n\
         LimitCORE=1\nTasksMax=4096\nKillMode=process\nTimeoutStopSec=20\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

/// Supervised, so that it comes back as it does with systemd. OpenRC's supervisor also knows a log and a user everywhere, which Debian's
/// `start-stop-daemon` does not.
fn openrc(user: &str) -> String {
    format!(
        "#!/sbin/openrc-run\n\ndescription=\"Legator probe\"\nsupervisor=supervise-daemon\ncommand={PROGRAM}\n\
         command_args=\"run --config {DEFAULT_PATH}\"\ncommand_user={user}\nrespawn_delay=2\nrespawn_max=0\n\
         pidfile={PID_FILE}\noutput_log={LOG_FILE}\nerror_log={LOG_FILE}\nretry=TERM/20/KILL/5\n\n\
         depend() {{\n\tneed net\n\tafter firewall\n}}\n\n\
         start_pre() {{\n\tcheckpath --file --mode 0640 --owner {user} {LOG_FILE}\n}}\n"
    )
}

fn sysv(user: &str) -> String {
    format!(
        "#!/bin/sh\n### BEGIN INIT INFO\n# Provides:          legator-probe\n# Required-Start:    $network $remote_fs\n\
         # Required-Stop:     $network $remote_fs\n# Default-Start:     2 3 4 5\n# Default-Stop:      0 1 6\n\
         # Short-Description: Legator probe\n### END INIT INFO\n\n\
         PIDFILE={PID_FILE}\nLOG={LOG_FILE}\n\n\
         start() {{\n\t(umask 027; : >>\"$LOG\") && chown {user} \"$LOG\" || return 1\n\
         \tstart-stop-daemon --start --oknodo --background --make-pidfile --pidfile \"$PIDFILE\" \\\n\
         \t\t--chuid {user} --startas /bin/sh -- -c 'exec {PROGRAM} run --config {DEFAULT_PATH} >>{LOG_FILE} 2>&1'\n}}\n\n\
         stop() {{\n\tstart-stop-daemon --stop --oknodo --retry TERM/20/KILL/5 --pidfile \"$PIDFILE\" --remove-pidfile\n}}\n\n\
         case \"$1\" in\n\tstart) start ;;\n\tstop) stop ;;\n\trestart|force-reload) stop; start ;;\n\
         \tstatus) start-stop-daemon --status --pidfile \"$PIDFILE\" ;;\n\
         \t*) echo \"Usage: $0 {{start|stop|restart|status}}\" >&2; exit 2 ;;\nesac\n"
    )
}

/// Says no to what is no user's name: it goes into files that a shell reads.
///
/// # Errors
/// It is none.
pub fn checked_user(user: &str) -> Result<(), ProbeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !user.is_empty() && !user.starts_with('-') && user.chars().all(plain) {
        return Ok(());
    }
    Err(ProbeError::Config { path: "--user".into(), detail: format!("{user:?} is no user's name") })
}

/// Where the service's file of this manager is.
pub fn path(root: &Path, manager: Manager) -> PathBuf {
    below(root, Path::new(file(manager, "").0))
}

/// Writes the service's file. Where it is.
///
/// # Errors
/// It cannot be written, or the user's name is none.
pub fn write(root: &Path, manager: Manager, user: &str) -> Result<PathBuf, ProbeError> {
    checked_user(user)?;
    let (_, mode, content) = file(manager, user);
    let path = path(root, manager);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ProbeError::file("make", folder))?;
    }
    disk::replace(&path, content.as_bytes(), mode)?;
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

/// Sees that a started service works with its state folder, and goes on doing so.
///
/// # Errors
/// It does not within ten seconds, or not for a second on end.
pub async fn runs(manager: Manager, state: &Path) -> Result<(), ProbeError> {
    let mut looks_in_a_row = 0;
    for _ in 0..LOOKS_MAX {
        looks_in_a_row = if status::is_running(state) { looks_in_a_row + 1 } else { 0 };
        if looks_in_a_row >= LOOKS_ENOUGH {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EACH).await;
    }
    let (manager, hint) = match manager {
        Manager::Systemd => ("systemd", "see journalctl -u legator-probe".to_owned()),
        Manager::OpenRc => ("OpenRC", format!("see {LOG_FILE}")),
        Manager::SysV => ("the init script", format!("see {LOG_FILE}")),
    };
    Err(ProbeError::NotRunning { manager, hint })
}

/// Stops a service that is installed already, so that its state folder is free. What is not there is no failure.
pub fn pause(manager: Manager) {
    quietly(match manager {
        Manager::Systemd => &[&["systemctl", "stop", "legator-probe.service"]],
        Manager::OpenRc => &[&["rc-service", "--ifexists", "legator-probe", "stop"]],
        Manager::SysV => &[&[INIT_SCRIPT, "stop"]],
    });
}

/// Stops and disables the service. What is not there is no failure.
pub fn stop(manager: Manager) {
    pause(manager);
    quietly(match manager {
        Manager::Systemd => &[&["systemctl", "disable", "legator-probe.service"]],
        Manager::OpenRc => &[&["rc-update", "--all", "del", "legator-probe"]],
        Manager::SysV => &[],
    });
}

/// After the service's file is gone: lets its manager notice.
pub fn forget(manager: Manager) {
    quietly(match manager {
        Manager::Systemd => {
            &[&["systemctl", "daemon-reload"], &["systemctl", "reset-failed", "legator-probe.service"]]
        }
        Manager::OpenRc => &[],
        Manager::SysV => &[&["update-rc.d", "legator-probe", "remove"]],
    });
}

fn quietly(steps: &[&[&str]]) {
    for argv in steps {
        if let Err(error) = program(argv) {
            tracing::debug!(%error, "while a service is taken away");
        }
    }
}
