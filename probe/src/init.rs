//! Installing the probe: enrol, write `probe.toml`, copy the program, register the service; and taking all of it away again.
//!
//! Owns the files outside the state folder. Invariant: what was installed is proven readable, by the user that the service runs as,
//! before it is started.

pub mod service;

use legator_core::level::Level;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::{DEFAULT_PATH, Settings, Source};
use crate::disk;
use crate::enrol::Token;
use crate::error::ProbeError;
use crate::identity::{Identity, StateDir};
use crate::run::{Resolved, joined};
use service::Manager;

/// Where the program is put.
pub const PROGRAM: &str = "/usr/local/bin/legator-probe";

/// What to install.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The folder that stands for `/`; for tests and for images.
    pub root: PathBuf,
    /// The server.
    pub server: String,
    /// The registration token.
    pub token: Token,
    /// The host's name.
    pub name: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The state folder.
    pub state_dir: PathBuf,
    /// The highest level of the host's own file.
    pub max_level: Level,
    /// Certificates to trust.
    pub ca: Option<PathBuf>,
    /// The user that the service runs as.
    pub user: String,
    /// What starts services.
    pub manager: Manager,
    /// Whether to start it now.
    pub start: Start,
}

/// Whether a service is started when it is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Enabled and started.
    Now,
    /// Files only.
    Later,
}

/// A path below the folder that stands for `/`.
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Installs. What was done, a line each.
///
/// # Errors
/// Refused or unreachable; a file that cannot be written; a service that cannot read its own configuration.
pub async fn install(plan: &Plan) -> Result<Vec<String>, ProbeError> {
    let account = account(&plan.root, &plan.user)?;
    let state_path = below(&plan.root, &plan.state_dir);
    let identity = enrol(plan, &state_path).await?;
    let config = below(&plan.root, Path::new(DEFAULT_PATH));
    write_config(plan, &identity, &config, account)?;
    hand_over(&state_path, account)?;
    let program = copy_program(&plan.root)?;
    let unit = service::write(&plan.root, plan.manager, &plan.user)?;
    prove(&program, &config, &state_path, account)?;
    let mut done = vec![
        format!("enrolled as {} ({})", identity.name, identity.host),
        format!("wrote {}", config.display()),
        format!("installed {} and {}", program.display(), unit.display()),
    ];
    if plan.start == Start::Now {
        service::start(plan.manager)?;
        done.push("started legator-probe".to_owned());
    }
    Ok(done)
}

async fn enrol(plan: &Plan, state_path: &Path) -> Result<Identity, ProbeError> {
    let state = StateDir::open(state_path)?;
    let settings = Settings {
        server: Some(plan.server.clone()),
        name: plan.name.clone(),
        labels: plan.labels.clone(),
        ca: plan.ca.clone(),
        ..Settings::without_file()
    };
    let resolved = Resolved {
        source: Source::Fixed(Box::new(settings.clone())),
        settings,
        state_dir: state_path.to_path_buf(),
        token: Some(plan.token.clone()),
    };
    Ok(joined(&state, &resolved).await?.0)
}

fn write_config(plan: &Plan, identity: &Identity, path: &Path, account: Account) -> Result<(), ProbeError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ProbeError::file("make", folder))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
            .map_err(ProbeError::file("open", folder))?;
    }
    let text = config_text(plan, identity);
    let wrong = |detail| ProbeError::Config { path: path.display().to_string(), detail };
    Settings::parse(&text).map_err(wrong)?;
    disk::replace(path, text.as_bytes(), 0o640)?;
    // Root owns what decides over the probe; the service's group may read it.
    chown(path, None, Some(account.gid)).map_err(ProbeError::file("hand over", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).map_err(ProbeError::file("open", path))
}

fn config_text(plan: &Plan, identity: &Identity) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = format!(
        "# Legator's probe on this host. Changes hold from the next task on; unknown keys are errors.\n\
         server = {}\nname = {}\nstate_dir = {}\n\
         # observe, diagnose or remediate: nothing above it runs here, whatever a server says.\nmax_level = {}\n",
        quoted(&plan.server),
        quoted(&identity.name),
        quoted(&plan.state_dir.to_string_lossy()),
        quoted(plan.max_level.word()),
    );
    if let Some(ca) = &plan.ca {
        text.push_str(&format!("ca = {}\n", quoted(&ca.to_string_lossy())));
    }
    text.push_str(
        "# Demand approvers' own signatures for every change here, counted by person:\n\
         # quorum = 1\n# [[approver]]\n# person = \"alice\"\n# keys = [\"<64 hex digits of legatorctl keys show>\"]\n",
    );
    if !plan.labels.is_empty() {
        text.push_str("\n[labels]\n");
        let lines = plan.labels.iter().map(|(name, value)| format!("{} = {}\n", quoted(name), quoted(value)));
        text.extend(lines);
    }
    text
}

/// A user by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

fn account(root: &Path, name: &str) -> Result<Account, ProbeError> {
    let path = Some(below(root, Path::new("/etc/passwd"))).filter(|path| path.is_file());
    let path = path.unwrap_or_else(|| PathBuf::from("/etc/passwd"));
    let content = disk::glimpse(&path, 4 * 1024 * 1024).unwrap_or_default();
    let found = content.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let number = |index: usize| fields.get(index)?.parse().ok();
        (fields.first() == Some(&name)).then(|| Some(Account { uid: number(2)?, gid: number(3)? }))?
    });
    let detail = format!("there is no user {name:?}: make it first, or install for root");
    found.ok_or_else(|| ProbeError::Config { path: path.display().to_string(), detail })
}

/// Gives the state folder and what is in it to the service's user.
fn hand_over(folder: &Path, account: Account) -> Result<(), ProbeError> {
    let mut paths = vec![folder.to_path_buf()];
    while let Some(path) = paths.pop() {
        let meta = fs::symlink_metadata(&path).map_err(ProbeError::file("read", &path))?;
        if meta.is_symlink() {
            continue;
        }
        chown(&path, Some(account.uid), Some(account.gid)).map_err(ProbeError::file("hand over", &path))?;
        if meta.is_dir() {
            let entries = fs::read_dir(&path).map_err(ProbeError::file("read", &path))?;
            paths.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    Ok(())
}

fn copy_program(root: &Path) -> Result<PathBuf, ProbeError> {
    let here = std::env::current_exe().map_err(ProbeError::file("find", "/proc/self/exe"))?;
    let target = below(root, Path::new(PROGRAM));
    if fs::canonicalize(&target).is_ok_and(|known| known == here) {
        return Ok(target);
    }
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(ProbeError::file("make", folder))?;
    }
    // Under another name first: a program that runs cannot be written over.
    let fresh = target.with_extension("new");
    fs::copy(&here, &fresh).map_err(ProbeError::file("write", &fresh))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))
        .map_err(ProbeError::file("open", &fresh))?;
    fs::rename(&fresh, &target).map_err(ProbeError::file("write", &target))?;
    Ok(target)
}

/// Lets the installed program, as the service's user, read its configuration and its state.
fn prove(program: &Path, config: &Path, state: &Path, account: Account) -> Result<(), ProbeError> {
    let mut check = Command::new(program);
    check.arg("check").arg("--config").arg(config).arg("--state-dir").arg(state).env_clear();
    if rustix::process::geteuid().is_root() {
        // The standard library drops supplementary groups with it.
        check.gid(account.gid).uid(account.uid);
    }
    let output = check.output().map_err(ProbeError::file("run", program))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().chars().take(400).collect::<String>();
    let detail = format!("the service would not be able to read its own configuration: {said}");
    Err(ProbeError::Config { path: config.display().to_string(), detail })
}

/// What a service has to be able to read: its configuration, its key, what enrolment told.
///
/// # Errors
/// Any of them is missing, unreadable or damaged.
pub fn check(config: &Path, state_dir: &Path) -> Result<(), ProbeError> {
    let missing =
        || ProbeError::Config { path: config.display().to_string(), detail: "there is no such file".into() };
    Settings::read(config)?.ok_or_else(missing)?;
    crate::identity::identity(state_dir)?.ok_or(ProbeError::NotEnrolled)?;
    let state = StateDir::open(state_dir)?;
    state.key().map(|_| ())
}

/// What is to be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// The state folder stays: the host can be installed again as the same host.
    State,
    /// Nothing stays.
    Nothing,
}

/// Stops and removes the service, the program and the configuration. What was removed, a line each.
///
/// # Errors
/// A file that cannot be removed.
pub fn uninstall(root: &Path, state_dir: &Path, leave: Leave) -> Result<Vec<String>, ProbeError> {
    if root == Path::new("/") {
        service::stop();
    }
    let mut gone = Vec::new();
    let files = [service::SYSTEMD_UNIT, service::INIT_SCRIPT, PROGRAM, DEFAULT_PATH];
    for path in files.iter().map(|path| below(root, Path::new(path))) {
        match fs::remove_file(&path) {
            Ok(()) => gone.push(format!("removed {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(ProbeError::file("remove", &path)(error)),
        }
    }
    let state = below(root, state_dir);
    if leave == Leave::Nothing && state.is_dir() {
        fs::remove_dir_all(&state).map_err(ProbeError::file("remove", &state))?;
        gone.push(format!("removed {}", state.display()));
    }
    Ok(gone)
}
