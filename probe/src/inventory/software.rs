//! Services, packages and what is not installed yet.
//!
//! Owns the fixed programs that are asked (`systemctl`, and the package manager in the cage). Never changes a package or a service.

use legator_core::inventory::{Listing, Package, Service, Updates, text};
use legator_core::time::Timestamp;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::collect::ask;
use super::system;
use crate::cage::{BelowFull, Confine, Limits, Order};
use crate::disk::glimpse;
use crate::verbs::HostServices;

const DATABASE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const PROGRAM_WAIT: Duration = Duration::from_secs(60);

/// Services with their state.
pub(super) async fn services(host: Option<&HostServices>) -> Listing<Service> {
    if system::init() == "systemd" {
        let argv =
            ["list-units", "--type=service", "--all", "--plain", "--no-legend", "--no-pager", "--full"];
        if let Some(output) = program("systemctl", &argv).await {
            return Listing::bounded(units(&output));
        }
    }
    let value = match host {
        Some(host) => ask(host, "service.list").await.unwrap_or_default(),
        None => Value::Null,
    };
    Listing::bounded(listed(&value))
}

/// A fixed program's output; it needs the service manager's socket, so it is not caged. Nothing when it fails or takes too long.
async fn program(name: &str, argv: &[&str]) -> Option<String> {
    let run = tokio::process::Command::new(name)
        .args(argv)
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PROGRAM_WAIT, run).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Lines of `systemctl list-units`: unit, load, active, sub, description.
pub(super) fn units(output: &str) -> Vec<Service> {
    let one = |line: &str| {
        let fields: Vec<&str> = line.trim_start_matches(['●', '*', ' ']).split_ascii_whitespace().collect();
        let (unit, load, active) = (fields.first()?, fields.get(1)?, fields.get(2)?);
        (*load != "not-found").then(|| Service {
            name: text(unit.strip_suffix(".service").unwrap_or(unit)),
            manager: "systemd".to_owned(),
            state: text(active),
            enabled: None,
        })
    };
    output.lines().filter_map(one).collect()
}

/// What `service.list` gives.
fn listed(value: &Value) -> Vec<Service> {
    let manager = text(value.get("manager").and_then(Value::as_str).unwrap_or("unknown"));
    let failed = |name: &str| Path::new("/run/openrc/failed").join(name).exists();
    let one = |item: &Value| {
        let name = item.get("name")?.as_str()?;
        let active = item.get("active").and_then(Value::as_bool).unwrap_or(false);
        let state = if failed(name) {
            "failed"
        } else if active {
            "active"
        } else {
            "inactive"
        };
        let enabled = item.get("enabled").and_then(Value::as_bool);
        Some(Service { name: text(name), manager: manager.clone(), state: state.to_owned(), enabled })
    };
    let items = value.get("services").and_then(Value::as_array).cloned().unwrap_or_default();
    items.iter().filter_map(one).collect()
}

/// Installed packages: dpkg and apk by their files, rpm through its own program.
pub(super) async fn packages(host: &HostServices) -> Listing<Package> {
    let read = tokio::task::spawn_blocking(|| {
        if let Some(content) = glimpse("/var/lib/dpkg/status", DATABASE_BYTES_MAX) {
            return Some(dpkg(&content));
        }
        glimpse("/lib/apk/db/installed", DATABASE_BYTES_MAX).map(|content| apk(&content))
    });
    let mut found = match read.await.ok().flatten() {
        Some(found) => found,
        None => of_verb(&ask(host, "package.list").await.unwrap_or_default()),
    };
    found.sort_by(|a, b| (&a.name, &a.arch).cmp(&(&b.name, &b.arch)));
    Listing::bounded(found)
}

fn field<'a>(paragraph: &'a str, name: &str) -> &'a str {
    paragraph.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}

/// Paragraphs of `/var/lib/dpkg/status`.
pub(super) fn dpkg(content: &str) -> Vec<Package> {
    let installed = content.split("\n\n").filter(|one| field(one, "Status:").ends_with(" installed"));
    let package = |one: &str| Package {
        name: text(field(one, "Package:")),
        version: text(field(one, "Version:")),
        arch: text(field(one, "Architecture:")),
    };
    installed.map(package).filter(|package| !package.name.is_empty()).collect()
}

/// Paragraphs of apk's `installed`.
pub(super) fn apk(content: &str) -> Vec<Package> {
    let package = |one: &str| Package {
        name: text(field(one, "P:")),
        version: text(field(one, "V:")),
        arch: text(field(one, "A:")),
    };
    content.split("\n\n").map(package).filter(|package| !package.name.is_empty()).collect()
}

fn of_verb(value: &Value) -> Vec<Package> {
    let items = value.get("packages").and_then(Value::as_array).cloned().unwrap_or_default();
    let word = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).map(text);
    let one = |item: &Value| {
        Some(Package { name: word(item, "name")?, version: word(item, "version")?, arch: String::new() })
    };
    items.iter().filter_map(one).collect()
}

/// What is quick to see of updates, beside what was counted.
pub(super) fn updates(counted: Updates) -> Updates {
    let asks =
        ["/run/reboot-required", "/var/run/reboot-required"].iter().any(|path| Path::new(path).exists());
    let knows = Path::new("/var/lib/dpkg").is_dir();
    let lists = fs::metadata("/var/lib/apt/lists").and_then(|meta| meta.modified()).ok();
    let lists_at = lists.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Updates {
        reboot: (asks || knows).then_some(asks),
        lists_at: lists_at.map(|at| Timestamp::from_millis(i64::try_from(at.as_millis()).unwrap_or(0))),
        ..counted
    }
}

/// Counts what is not installed yet, by the package manager itself, in the cage. Unknown where it has no lists.
pub(super) async fn pending(host: &HostServices) -> Updates {
    let has_lists = fs::read_dir("/var/lib/apt/lists").is_ok_and(|folder| {
        folder.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with("_Packages"))
    });
    let argv = if has_lists {
        vec!["apt-get", "-s", "-o", "Debug::NoLocking=1", "upgrade"]
    } else if Path::new("/lib/apk/db/installed").is_file() {
        vec!["apk", "version", "-q", "-l", "<"]
    } else if Path::new("/usr/bin/dnf").is_file() {
        vec!["dnf", "-q", "-C", "list", "--upgrades"]
    } else {
        return Updates::default();
    };
    let order = Order {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        cwd: None,
        confine: Confine::Observe,
        timeout: PROGRAM_WAIT,
        secrets: Arc::clone(&host.secrets),
        limits: Limits { below_full: BelowFull::RunAnyway, ..Limits::default() },
    };
    match host.cage.capture(order).await {
        Ok((exit, output, _)) if exit.success() => {
            let text = String::from_utf8_lossy(&output);
            if has_lists {
                let (all, security) = apt(&text);
                return Updates { pending: Some(all), security: Some(security), ..Updates::default() };
            }
            Updates { pending: Some(lines(&text)), ..Updates::default() }
        }
        _ => Updates::default(),
    }
}

/// Lines that name a package, which are those with a version in them.
fn lines(output: &str) -> u32 {
    let versioned = |line: &&str| line.contains('-') && line.chars().any(|c| c.is_ascii_digit());
    u32::try_from(output.lines().filter(versioned).count()).unwrap_or(u32::MAX)
}

/// Lines `Inst name [old] (new Debian-Security:12/…)` of a simulated upgrade.
pub(super) fn apt(output: &str) -> (u32, u32) {
    let wanted: Vec<&str> = output.lines().filter(|line| line.starts_with("Inst ")).collect();
    let secure = wanted.iter().filter(|line| line.to_lowercase().contains("security")).count();
    (u32::try_from(wanted.len()).unwrap_or(u32::MAX), u32::try_from(secure).unwrap_or(u32::MAX))
}
