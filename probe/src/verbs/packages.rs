//! The package verbs: list, install, remove, upgrade.
//!
//! Owns the commands of apt, dnf, apk and zypper, and the reading of what is installed. Never passes a name that a package manager would read
//! as something else. Invariant: verified means that the package database, read again, says so.

pub(super) mod database;

use legator_core::verbs::{PackageInstall, PackageList, PackageName};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::program::{self, End};
use super::told::Told;
use super::{Done, Step, Stop, Work, blocking, shell};
use crate::cage::{BelowFull, Confine, Limits, Order};
use crate::preimage::{Image, Past};
use database::Database;

const PACKAGES_MAX: usize = 20_000;

/// `package.list`.
pub(super) async fn list(work: &Work<'_>, args: &PackageList) -> Step<Value> {
    let (manager, all) = installed(work).await?;
    let wanted =
        all.into_iter().filter(|(name, _)| args.name.as_ref().is_none_or(|part| name.contains(part)));
    let mut items: Vec<Value> =
        wanted.map(|(name, version)| json!({ "name": name, "version": version })).collect();
    let left_out = items.len().saturating_sub(PACKAGES_MAX);
    items.truncate(PACKAGES_MAX);
    Ok(json!({ "manager": manager.word(), "packages": items, "left_out": left_out }))
}

/// All installed packages with their versions.
async fn installed(work: &Work<'_>) -> Step<(Database, Vec<(String, String)>)> {
    let database =
        Database::here().ok_or_else(|| Stop::not_applicable("no known package database is on this host"))?;
    if database != Database::Rpm {
        return blocking::run(work.call, move || Ok((database, database.read()?))).await;
    }
    let argv = ["rpm", "-qa", "--qf", "%{NAME} %{EVR}\\n"];
    let text = caged(work, &argv).await?;
    Ok((database, database::pairs(&text)))
}

/// The output of a fixed program that only reads, in the cage.
async fn caged(work: &Work<'_>, argv: &[&str]) -> Step<String> {
    let order = Order {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        cwd: None,
        confine: Confine::Observe,
        timeout: work.call.timeout.duration(),
        secrets: std::sync::Arc::clone(&work.host.secrets),
        limits: Limits { below_full: BelowFull::RunAnyway, ..Limits::default() },
    };
    let (exit, text, error) = work.host.cage.capture(order).await.map_err(shell::not_run)?;
    match exit.success() {
        true => Ok(String::from_utf8_lossy(&text).into_owned()),
        false => Err(Stop::Failed(String::from_utf8_lossy(&error).trim().chars().take(500).collect())),
    }
}

/// The version of one package; nothing when it is not installed.
async fn version(work: &Work<'_>, name: &str) -> Step<Option<String>> {
    let (_, all) = installed(work).await?;
    Ok(all.into_iter().find(|(own, _)| own == name).map(|(_, version)| version))
}

fn state(name: &str, version: Option<&String>) -> Value {
    json!({ "name": name, "installed": version.is_some(), "version": version })
}

/// `package.install`.
pub(super) async fn install(
    work: &Work<'_>,
    args: &PackageInstall,
    told: &mut Told,
    cancel: watch::Receiver<bool>,
) -> Step<Done> {
    let before = version(work, &args.name).await?;
    let argv = commands()?.install(&args.name, args.version.as_deref());
    let end = program::run(&argv, work.call.timeout.duration(), told, cancel).await?;
    let after = version(work, &args.name).await?;
    if let (None, Some(after)) = (&before, &after) {
        let past = Past::Package { name: args.name.clone(), after: after.clone() };
        let image = Image { task: work.task, made_at: work.host.clock.now(), past, content: Vec::new() };
        // Without it the change stands, and cannot be undone.
        let _ = work.host.preimages.save(&image, 0);
    }
    let held = after.as_ref().is_some_and(|after| args.version.as_ref().is_none_or(|wanted| wanted == after));
    Ok(judged((&args.name, before, after), held, end, "the package is not installed as it was asked for"))
}

/// `package.remove`.
pub(super) async fn remove(
    work: &Work<'_>,
    args: &PackageName,
    told: &mut Told,
    cancel: watch::Receiver<bool>,
) -> Step<Done> {
    let before = must_be_installed(work, &args.name).await?;
    let argv = commands()?.remove(&args.name);
    let end = program::run(&argv, work.call.timeout.duration(), told, cancel).await?;
    let after = version(work, &args.name).await?;
    let held = after.is_none();
    Ok(judged((&args.name, before, after), held, end, "the package is still installed"))
}

/// `package.upgrade`.
pub(super) async fn upgrade(
    work: &Work<'_>,
    args: &PackageName,
    told: &mut Told,
    cancel: watch::Receiver<bool>,
) -> Step<Done> {
    let before = must_be_installed(work, &args.name).await?;
    let commands = commands()?;
    let end = program::run(&commands.upgrade(&args.name), work.call.timeout.duration(), told, cancel).await?;
    let after = version(work, &args.name).await?;
    let held = after.is_some() && !is_outdated(work, commands, &args.name).await?;
    Ok(judged((&args.name, before, after), held, end, "the package manager still prefers another version"))
}

async fn must_be_installed(work: &Work<'_>, name: &str) -> Step<Option<String>> {
    let before = version(work, name).await?;
    match before.is_some() {
        true => Ok(before),
        false => Err(Stop::not_applicable(format!("package {name} is not installed"))),
    }
}

fn judged(states: (&str, Option<String>, Option<String>), held: bool, end: End, fault: &str) -> Done {
    let (name, before, after) = states;
    let mut done = Done::changed(state(name, before.as_ref()), state(name, after.as_ref()), held);
    done.exit_code = end.code();
    let end_fault = end.fault("the package manager");
    if end_fault.is_some() {
        done.outcome = legator_core::task::Outcome::Failed;
    }
    let faults: Vec<String> = end_fault.into_iter().chain((!held).then(|| fault.to_owned())).collect();
    if faults.is_empty() { done } else { done.detail(faults.join("; ")) }
}

/// Whether the package manager would put another version in its place.
async fn is_outdated(work: &Work<'_>, commands: Commands, name: &str) -> Step<bool> {
    match commands {
        Commands::Apt => {
            let text = caged(work, &["apt-cache", "policy", "--", name]).await?;
            let field = |key: &str| {
                text.lines()
                    .find_map(|line| line.trim().strip_prefix(key))
                    .map(str::trim)
                    .unwrap_or_default()
                    .to_owned()
            };
            Ok(field("Installed:") != field("Candidate:"))
        }
        // These say by their exit code whether the upgrade went through, which is judged beside this.
        Commands::Dnf | Commands::Yum | Commands::Apk | Commands::Zypper => Ok(false),
    }
}

/// The command line of a package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commands {
    Apt,
    Dnf,
    Yum,
    Apk,
    Zypper,
}

fn commands() -> Step<Commands> {
    let known = [
        ("/usr/bin/apt-get", Commands::Apt),
        ("/usr/bin/dnf", Commands::Dnf),
        ("/usr/bin/yum", Commands::Yum),
        ("/sbin/apk", Commands::Apk),
        ("/usr/bin/zypper", Commands::Zypper),
    ];
    let found = known.iter().find(|(path, _)| program::first_of(&[path]).is_some());
    found
        .map(|(_, commands)| *commands)
        .ok_or_else(|| Stop::not_applicable("no known package manager is on this host"))
}

const APT: &[&str] = &[
    "/usr/bin/apt-get",
    "-y",
    "-q",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "DPkg::Lock::Timeout=60",
    "-o",
    // A name is a name: without this, one with a dot that is not known would be read as a regular expression over all packages.
    "APT::Cmd::Pattern-Only=true",
];

impl Commands {
    /// What comes before the verb of the package manager.
    fn begin(self) -> &'static [&'static str] {
        match self {
            Self::Apt => APT,
            Self::Dnf => &["/usr/bin/dnf", "-y"],
            Self::Yum => &["/usr/bin/yum", "-y"],
            Self::Apk => &["/sbin/apk", "--no-interactive"],
            Self::Zypper => &["/usr/bin/zypper", "--non-interactive"],
        }
    }

    fn line(self, words: &[&str], package: String) -> Vec<String> {
        self.begin().iter().chain(words).map(|word| (*word).to_owned()).chain([package]).collect()
    }

    fn install(self, name: &str, version: Option<&str>) -> Vec<String> {
        let (verb, joint): (&[&str], &str) = match self {
            // To install must not mean to remove something else.
            Self::Apt => (&["--no-remove", "install", "--"], "="),
            Self::Dnf | Self::Yum => (&["install", "--"], "-"),
            Self::Apk => (&["add"], "="),
            Self::Zypper => (&["install", "--"], "="),
        };
        let package = version.map_or_else(|| name.to_owned(), |version| format!("{name}{joint}{version}"));
        self.line(verb, package)
    }

    fn remove(self, name: &str) -> Vec<String> {
        let verb: &[&str] = match self {
            Self::Apk => &["del"],
            Self::Apt | Self::Dnf | Self::Yum | Self::Zypper => &["remove", "--"],
        };
        self.line(verb, name.to_owned())
    }

    fn upgrade(self, name: &str) -> Vec<String> {
        let verb: &[&str] = match self {
            Self::Apt => &["--no-remove", "--only-upgrade", "install", "--"],
            Self::Dnf | Self::Yum => &["upgrade", "--"],
            Self::Apk => &["add", "--upgrade"],
            Self::Zypper => &["update", "--"],
        };
        self.line(verb, name.to_owned())
    }
}

/// Takes back an installation: removes the package when it is still the version that was installed.
pub(super) async fn undo_install(
    work: &Work<'_>,
    package: (&str, &str),
    told: &mut Told,
    cancel: watch::Receiver<bool>,
) -> Step<Done> {
    let (name, after) = package;
    match version(work, name).await? {
        Some(now) if now == after => remove(work, &PackageName { name: name.to_owned() }, told, cancel).await,
        now => Err(super::undo::changed(&format!(
            "package {name} is now {}",
            now.as_deref().unwrap_or("not installed")
        ))),
    }
}
