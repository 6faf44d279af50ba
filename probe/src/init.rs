//! Installing the probe: enrol, write `probe.toml`, copy the program, register the service; and taking all of it away again.
//!
//! Owns the files outside the state folder. Invariant: what was installed is proven readable, by the user that the service runs as,
//! before it is started.

pub mod service;

use legator_core::level::Level;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::{DEFAULT_PATH, Settings, Source};
use crate::disk;
use crate::enrol::Token;
use crate::error::ProbeError;
use crate::identity::{Identity, StateDir};
use crate::run::{Resolved, joined};
use crate::status;
use service::Manager;

/// Where the program is put.
pub const PROGRAM: &str = "/usr/local/bin/legator-probe";

/// The state folder of an installed service.
pub const STATE: &str = "/var/lib/legator-probe";

/// What to install.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The folder that stands for `/`; for tests and for images.
    pub root: PathBuf,
    /// The server; not needed where the host is enrolled.
    pub server: Option<String>,
    /// The registration token; not needed where the host is enrolled.
    pub token: Option<Token>,
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

/// Installs, or brings an installation up to date. What was done, a line each.
///
/// # Errors
/// Not root; refused or unreachable; a file that cannot be written; a service that cannot read its own configuration. Whatever was not
/// there before is taken away again, but for the state of a host that is enrolled by then.
pub async fn install(plan: &Plan) -> Result<Vec<String>, ProbeError> {
    needs_root("init")?;
    service::checked_user(&plan.user)?;
    let account = account(&plan.root, &plan.user)?;
    let places = Places::of(plan);
    // Before anything is made: a file that is there has to be right, and one that is not there has to come out right.
    let known = Settings::read(&places.config)?;
    if let Some(other) =
        known.as_ref().and_then(|known| known.state_dir.as_ref().filter(|dir| **dir != plan.state_dir))
    {
        let detail = format!("its state_dir is {}: edit it, or leave --state-dir out", other.display());
        return Err(ProbeError::Config { path: places.config.display().to_string(), detail });
    }
    config_text(plan, plan.name.as_deref().unwrap_or("x"), &places.config)?;
    let fresh = places.missing();
    let ran = plan.start == Start::Now && status::is_running(&places.state);
    if ran {
        service::pause(plan.manager);
    }
    let done = lay_down(plan, &places, account, known.is_some()).await;
    if done.is_err() {
        take_back(&places, &fresh);
        if ran {
            // What ran before goes on as it was; if it does not, the first error is the one to tell.
            let _ = service::start(plan.manager);
        }
    }
    let mut done = done?;
    if plan.start == Start::Now {
        service::start(plan.manager)?;
        service::runs(plan.manager, &places.state).await?;
        done.push("started legator-probe".to_owned());
    }
    Ok(done)
}

async fn lay_down(
    plan: &Plan,
    places: &Places,
    account: Account,
    has_config: bool,
) -> Result<Vec<String>, ProbeError> {
    let identity = enrol(plan, &places.state).await?;
    let mut done = vec![format!("enrolled as {} ({})", identity.name, identity.host)];
    if has_config {
        // It may hold approvers and a lowered level by now: those are the host's own.
        hold_config(&places.config, account)?;
        done.push(format!("kept {} as it was: edit it to change it", places.config.display()));
    } else {
        write_config(plan, &identity, &places.config, account)?;
        done.push(format!("wrote {}", places.config.display()));
    }
    hand_over(&places.state, account)?;
    copy_program(&places.program)?;
    service::write(&plan.root, plan.manager, &plan.user)?;
    prove(places, account)?;
    done.push(format!("installed {} and {}", places.program.display(), places.unit.display()));
    Ok(done)
}

/// Where everything of an installation is.
struct Places {
    config: PathBuf,
    program: PathBuf,
    unit: PathBuf,
    state: PathBuf,
}

impl Places {
    fn of(plan: &Plan) -> Self {
        Self {
            config: below(&plan.root, Path::new(DEFAULT_PATH)),
            program: below(&plan.root, Path::new(PROGRAM)),
            unit: service::path(&plan.root, plan.manager),
            state: below(&plan.root, &plan.state_dir),
        }
    }

    /// What is not there yet, the folders that will have to be made included.
    fn missing(&self) -> Vec<PathBuf> {
        let ends = [&self.config, &self.program, &self.unit, &self.state];
        let mut missing: Vec<PathBuf> = ends
            .iter()
            .flat_map(|end| end.ancestors())
            .filter(|path| !path.exists())
            .map(Into::into)
            .collect();
        missing.sort();
        missing.dedup();
        missing
    }
}

/// Takes away what an installation that failed has made. Enrolment cannot be taken back, so its state stays.
fn take_back(places: &Places, fresh: &[PathBuf]) {
    if crate::identity::identity(&places.state).is_ok_and(|known| known.is_some()) {
        tracing::warn!(state = %places.state.display(), "the host is enrolled, and its state stays: init again needs no token");
    } else if fresh.contains(&places.state) {
        let _ = fs::remove_dir_all(&places.state);
    }
    // The longest paths first; a folder goes only when it is empty.
    for path in fresh.iter().rev() {
        let _ = fs::remove_file(path);
        let _ = fs::remove_dir(path);
    }
}

fn needs_root(doing: &'static str) -> Result<(), ProbeError> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(ProbeError::NotRoot(doing)) }
}

async fn enrol(plan: &Plan, state_path: &Path) -> Result<Identity, ProbeError> {
    let state = StateDir::open(state_path)?;
    let settings = Settings {
        server: plan.server.clone(),
        name: plan.name.clone(),
        labels: plan.labels.clone(),
        ca: plan.ca.clone(),
        ..Settings::without_file()
    };
    let resolved = Resolved {
        source: Source::Fixed(Box::new(settings.clone())),
        settings,
        state_dir: state_path.to_path_buf(),
        token: plan.token.clone(),
    };
    let (identity, _) = joined(&state, &resolved).await?;
    // The key is made by enrolment; a host that was enrolled before has to have it still.
    state.key()?;
    Ok(identity)
}

fn write_config(plan: &Plan, identity: &Identity, path: &Path, account: Account) -> Result<(), ProbeError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ProbeError::file("make", folder))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
            .map_err(ProbeError::file("open", folder))?;
    }
    let server = Plan { server: Some(identity.server.clone()), ..plan.clone() };
    let text = config_text(&server, &identity.name, path)?;
    disk::replace(path, text.as_bytes(), 0o600)?;
    hold_config(path, account)
}

/// Root owns what decides over the probe; the group of a service that is not root may read it.
fn hold_config(path: &Path, account: Account) -> Result<(), ProbeError> {
    let mode = if account.uid == 0 { 0o600 } else { 0o640 };
    lchown(path, Some(0), Some(account.gid)).map_err(ProbeError::file("hand over", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(ProbeError::file("close", path))
}

/// What the file says, proven to parse.
fn config_text(plan: &Plan, name: &str, path: &Path) -> Result<String, ProbeError> {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text =
        "# Legator's probe on this host. Changes hold from the next task on; unknown keys are errors.\n"
            .to_owned();
    if let Some(server) = &plan.server {
        text.push_str(&format!("server = {}\n", quoted(server)));
    }
    text.push_str(&format!(
        "name = {}\nstate_dir = {}\n\
         # observe, diagnose or remediate: nothing above it runs here, whatever a server says.\nmax_level = {}\n",
        quoted(name),
        quoted(&plan.state_dir.to_string_lossy()),
        quoted(plan.max_level.word()),
    ));
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
    let wrong = |detail| ProbeError::Config { path: path.display().to_string(), detail };
    Settings::parse(&text).map_err(wrong)?;
    Ok(text)
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
        lchown(&path, Some(account.uid), Some(account.gid)).map_err(ProbeError::file("hand over", &path))?;
        if meta.is_dir() {
            let entries = fs::read_dir(&path).map_err(ProbeError::file("read", &path))?;
            paths.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    Ok(())
}

fn copy_program(target: &Path) -> Result<(), ProbeError> {
    let here = std::env::current_exe().map_err(ProbeError::file("find", "/proc/self/exe"))?;
    if fs::canonicalize(target).is_ok_and(|known| known == here) {
        return Ok(());
    }
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(ProbeError::file("make", folder))?;
    }
    // Under another name first: a program that runs cannot be written over.
    let fresh = target.with_extension("new");
    let copied = fs::copy(&here, &fresh)
        .and_then(|_| fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&fresh, target));
    copied.map_err(|error| {
        let _ = fs::remove_file(&fresh);
        ProbeError::file("write", target)(error)
    })
}

/// Lets the installed program, as the service's user, read its configuration and its state.
fn prove(places: &Places, account: Account) -> Result<(), ProbeError> {
    let (program, config, state) = (&places.program, &places.config, &places.state);
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
    let settings = Settings::read(config)?.ok_or_else(missing)?;
    let identity = crate::identity::identity(state_dir)?.ok_or(ProbeError::NotEnrolled)?;
    crate::enrol::Server::new(&identity.server, settings.ca.as_deref())?;
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

/// Stops and removes the service, the program and the configuration. What was removed and what was kept, a line each.
///
/// # Errors
/// Not root; a file that cannot be removed.
pub fn uninstall(root: &Path, state_dir: Option<&Path>, leave: Leave) -> Result<Vec<String>, ProbeError> {
    needs_root("uninstall")?;
    let config = below(root, Path::new(DEFAULT_PATH));
    let told = Settings::read(&config).ok().flatten().and_then(|settings| settings.state_dir);
    let state = state_dir.map(Path::to_path_buf).or(told).unwrap_or_else(|| STATE.into());
    let state = below(root, &state);
    let manager = (root == Path::new("/")).then(Manager::here);
    if let Some(manager) = manager {
        service::stop(manager);
    }
    let files = [
        service::SYSTEMD_UNIT,
        service::INIT_SCRIPT,
        service::PID_FILE,
        service::LOG_FILE,
        PROGRAM,
        DEFAULT_PATH,
    ];
    let mut told = Vec::new();
    for path in files.iter().map(|path| below(root, Path::new(path))) {
        match fs::remove_file(&path) {
            Ok(()) => told.push(format!("removed {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(ProbeError::file("remove", &path)(error)),
        }
    }
    // Only when nobody else keeps something there.
    let _ = config.parent().map(fs::remove_dir);
    if let Some(manager) = manager {
        service::forget(manager);
    }
    told.extend(leave_state(&state, leave)?);
    Ok(told)
}

/// Removes or keeps the state folder, and says which.
fn leave_state(state: &Path, leave: Leave) -> Result<Option<String>, ProbeError> {
    if !state.is_dir() {
        return Ok(None);
    }
    if leave == Leave::State {
        let kept = "the host's key and its receipts; --purge removes it";
        return Ok(Some(format!("kept {}: {kept}", state.display())));
    }
    if !state.join("lock").is_file() {
        let detail = "no probe ever worked here, so it is not removed".to_owned();
        return Err(ProbeError::State { path: state.to_path_buf(), detail });
    }
    fs::remove_dir_all(state).map_err(ProbeError::file("remove", state))?;
    Ok(Some(format!("removed {}", state.display())))
}
