//! Accounts, who may become root, how one signs in, and what runs by the clock.
//!
//! Owns the reading of these files. Never reads a password or a key.

use legator_core::inventory::{Listing, Schedule, Ssh, SudoRule, User, text};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::glimpse;

const FILE_BYTES_MAX: u64 = 1024 * 1024;
const FILES_MAX: usize = 500;
/// What a schedule runs, in characters: enough to know it by.
const WHAT_CHARS_MAX: usize = 160;

/// Files of a folder, sorted, hidden ones left out.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let plain = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let mut paths: Vec<PathBuf> =
        plain.map(|entry| entry.path()).filter(|path| path.is_file()).take(FILES_MAX).collect();
    paths.sort();
    paths
}

/// Lines that say something: no comments, continued lines joined.
fn meaningful(content: &str) -> Vec<String> {
    let joined = content.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

pub(super) fn users() -> Listing<User> {
    let content = glimpse("/etc/passwd", FILE_BYTES_MAX).unwrap_or_default();
    let groups = glimpse("/etc/group", FILE_BYTES_MAX).unwrap_or_default();
    let rules: Vec<String> = sudo_rules().items.into_iter().map(|rule| rule.rule).collect();
    Listing::bounded(parse_users(&content, &groups, &rules))
}

pub(super) fn parse_users(passwd: &str, groups: &str, rules: &[String]) -> Vec<User> {
    let ruled: BTreeSet<&str> =
        rules.iter().filter_map(|rule| rule.split_ascii_whitespace().next()).collect();
    let member = |name: &str, gid: &str| {
        groups.lines().any(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let &[group, _, id, members] = fields.as_slice() else { return false };
            let inside = id == gid || members.split(',').any(|one| one == name);
            inside && ruled.contains(format!("%{group}").as_str())
        })
    };
    let user = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, uid, gid, _, _, shell] = fields.as_slice() else { return None };
        let uid: u32 = uid.parse().ok()?;
        let login = !shell.is_empty() && !shell.ends_with("/nologin") && !shell.ends_with("/false");
        let sudo = uid == 0 || ruled.contains(name) || ruled.contains("ALL") || member(name, gid);
        Some(User { name: text(name), uid, shell: text(shell), login, sudo })
    };
    passwd.lines().filter_map(user).collect()
}

/// Rules of sudo: who may become whom. Settings and aliases are left out.
pub(super) fn sudo_rules() -> Listing<SudoRule> {
    let mut rules = Vec::new();
    for path in std::iter::once(PathBuf::from("/etc/sudoers")).chain(files("/etc/sudoers.d")) {
        let content = glimpse(&path, FILE_BYTES_MAX).unwrap_or_default();
        let lines = meaningful(&content).into_iter().filter(|line| line.contains('=') && is_rule(line));
        rules.extend(lines.map(|line| SudoRule { file: text(&path.to_string_lossy()), rule: text(&line) }));
    }
    Listing::bounded(rules)
}

fn is_rule(line: &str) -> bool {
    let settings =
        ["Defaults", "User_Alias", "Runas_Alias", "Host_Alias", "Cmnd_Alias", "Cmd_Alias", "@include"];
    !settings.iter().any(|word| line.starts_with(word))
}

/// The SSH server's settings: the first value of a keyword counts (sshd_config(5)), those of `Match` blocks do not.
pub(super) fn ssh() -> Ssh {
    let Some(main) = glimpse("/etc/ssh/sshd_config", FILE_BYTES_MAX) else { return Ssh::default() };
    let mut all = Vec::new();
    for line in meaningful(&main) {
        match line.split_ascii_whitespace().next().map(str::to_ascii_lowercase).as_deref() {
            Some("include") => {
                let included = files("/etc/ssh/sshd_config.d").into_iter();
                let read = included.filter_map(|path| glimpse(path, FILE_BYTES_MAX));
                all.extend(read.flat_map(|content| meaningful(&content)));
            }
            Some("match") => break,
            _ => all.push(line),
        }
    }
    parse_ssh(&all)
}

pub(super) fn parse_ssh(lines: &[String]) -> Ssh {
    let value = |name: &str| {
        lines.iter().find_map(|line| {
            let (word, rest) = line.split_once(|c: char| c.is_ascii_whitespace() || c == '=')?;
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '=');
            word.eq_ignore_ascii_case(name).then(|| rest.trim().trim_matches('"').to_ascii_lowercase())
        })
    };
    Ssh {
        installed: true,
        permit_root_login: text(&value("PermitRootLogin").unwrap_or_else(|| "prohibit-password".to_owned())),
        password_authentication: value("PasswordAuthentication").is_none_or(|value| value != "no"),
    }
}

/// Cron's files and systemd's timers that are wanted.
pub(super) fn schedules() -> Listing<Schedule> {
    let mut found = Vec::new();
    for path in std::iter::once(PathBuf::from("/etc/crontab")).chain(files("/etc/cron.d")) {
        found.extend(cron(&path, Owner::Named));
    }
    for folder in ["/var/spool/cron/crontabs", "/var/spool/cron"] {
        files(folder).iter().for_each(|path| found.extend(cron(path, Owner::OfFile)));
    }
    for often in ["hourly", "daily", "weekly", "monthly"] {
        for path in files(&format!("/etc/cron.{often}")) {
            let what = text(&path.file_name().unwrap_or_default().to_string_lossy());
            found.push(Schedule { source: format!("/etc/cron.{often}"), when: often.to_owned(), what });
        }
    }
    found.extend(timers());
    Listing::bounded(found)
}

/// Whether a cron file's lines name their user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Named,
    OfFile,
}

fn cron(path: &Path, owner: Owner) -> Vec<Schedule> {
    let content = glimpse(path, FILE_BYTES_MAX).unwrap_or_default();
    meaningful(&content).iter().filter_map(|line| cron_line(&path.to_string_lossy(), line, owner)).collect()
}

pub(super) fn cron_line(source: &str, line: &str, owner: Owner) -> Option<Schedule> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let times = if line.starts_with('@') { 1 } else { 5 };
    let skipped = times + usize::from(owner == Owner::Named);
    let starts = |c: char| c.is_ascii_digit() || c == '*' || c == '@';
    if fields.len() <= skipped || !line.starts_with(starts) {
        return None; // A variable, or no line of cron.
    }
    let when = fields.get(..times)?.join(" ");
    let what: String = fields.get(skipped..)?.join(" ").chars().take(WHAT_CHARS_MAX).collect();
    Some(Schedule { source: text(source), when: text(&when), what: text(&what) })
}

fn timers() -> Vec<Schedule> {
    let wanted = ["/etc/systemd/system/timers.target.wants", "/usr/lib/systemd/system/timers.target.wants"];
    let mut paths: Vec<PathBuf> = wanted.iter().flat_map(|folder| files(folder)).collect();
    paths.dedup_by_key(|path| path.file_name().map(std::ffi::OsStr::to_owned));
    let timer = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let content = glimpse(&path, FILE_BYTES_MAX)?;
        let lines = meaningful(&content);
        let value = |wanted: &str| lines.iter().find_map(|line| line.strip_prefix(wanted).map(str::to_owned));
        let when = ["OnCalendar=", "OnUnitActiveSec=", "OnBootSec="].iter().find_map(|key| value(key))?;
        let what = value("Unit=").unwrap_or_else(|| name.replace(".timer", ".service"));
        Some(Schedule { source: text(&name), when: text(&when), what: text(&what) })
    };
    paths.into_iter().filter_map(timer).collect()
}
