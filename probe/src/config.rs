//! `probe.toml`: what the host itself decides about its probe.
//!
//! Owns parsing and the rules of trust settings. Never guesses: an unknown key, an empty list of approvers, a wrong type or a file
//! that cannot be read is a refusal. Invariant: a `Settings` with approvers has a quorum between one and their number.

use legator_core::level::Level;
use legator_wire::grant::Approver;
use legator_wire::keys::PublicKey;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cage::Secrets;
use crate::disk;
use crate::error::ProbeError;

#[cfg(test)]
mod tests;

/// Where the file is, unless a flag says otherwise.
pub const DEFAULT_PATH: &str = "/etc/legator/probe.toml";
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Approvers, and keys of one, at most.
const APPROVERS_MAX: usize = 64;

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Option<String>,
    name: Option<String>,
    state_dir: Option<PathBuf>,
    max_level: Option<String>,
    ca: Option<PathBuf>,
    quorum: Option<u8>,
    approver: Option<Vec<Entry>>,
    secrets: Option<Vec<PathBuf>>,
    labels: Option<BTreeMap<String, String>>,
}

/// One `[[approver]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    person: String,
    keys: Vec<PublicKey>,
}

/// What a file says, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's address.
    pub server: Option<String>,
    /// The host's name.
    pub name: Option<String>,
    /// The state folder.
    pub state_dir: Option<PathBuf>,
    /// The highest level that runs here.
    pub max_level: Level,
    /// Certificates that TLS trusts, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Approvers whose signatures are demanded for changes.
    pub approvers: Vec<Approver>,
    /// How many of them.
    pub quorum: u8,
    /// Files that nobody reads.
    pub secrets: Vec<PathBuf>,
    /// Labels that are sent when it enrols.
    pub labels: BTreeMap<String, String>,
}

impl Settings {
    /// What holds where there is no file: only the authority's word.
    pub fn without_file() -> Self {
        Self {
            server: None,
            name: None,
            state_dir: None,
            max_level: Level::Remediate,
            ca: None,
            approvers: Vec::new(),
            quorum: 0,
            secrets: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    /// What this text says.
    ///
    /// # Errors
    /// In a sentence: an unknown key, a wrong type, a trust setting that is missing or empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let level = file.max_level.ok_or("max_level is missing: write observe, diagnose or remediate")?;
        let max_level = level.parse().map_err(|error: legator_core::level::BadLevel| error.to_string())?;
        let (approvers, quorum) = approvers(file.approver, file.quorum)?;
        let settings = Self {
            server: filled("server", file.server)?,
            name: filled("name", file.name)?,
            state_dir: absolute("state_dir", file.state_dir)?,
            max_level,
            ca: absolute("ca", file.ca)?,
            approvers,
            quorum,
            secrets: secrets(file.secrets)?,
            labels: file.labels.unwrap_or_default(),
        };
        Ok(settings)
    }

    /// What the file says; nothing when there is none.
    ///
    /// # Errors
    /// It is there and cannot be read, or is not what it should be.
    pub fn read(path: &Path) -> Result<Option<Self>, ProbeError> {
        let bad = |detail: String| ProbeError::Config { path: path.display().to_string(), detail };
        let Some(bytes) = disk::read(path, FILE_BYTES_MAX)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| bad("not UTF-8".to_owned()))?;
        Self::parse(&text).map(Some).map_err(bad)
    }
}

fn filled(what: &str, text: Option<String>) -> Result<Option<String>, String> {
    match text {
        Some(text) if text.trim().is_empty() => {
            Err(format!("{what} is empty: leave the line out or fill it"))
        }
        other => Ok(other),
    }
}

fn absolute(what: &str, path: Option<PathBuf>) -> Result<Option<PathBuf>, String> {
    match path {
        Some(path) if !path.is_absolute() => {
            Err(format!("{what} has to be a whole path, such as /etc/legator/…"))
        }
        other => Ok(other),
    }
}

fn secrets(listed: Option<Vec<PathBuf>>) -> Result<Vec<PathBuf>, String> {
    let Some(listed) = listed else { return Ok(Vec::new()) };
    if listed.is_empty() {
        return Err(
            "secrets is an empty list: leave the line out for the built-in list, or name files".to_owned()
        );
    }
    Secrets::new(Path::new("/var/lib/legator-probe"), &listed).map_err(|error| error.to_string())?;
    Ok(listed)
}

/// The approvers, and how many of them are demanded. A key stands for one person only.
fn approvers(entries: Option<Vec<Entry>>, quorum: Option<u8>) -> Result<(Vec<Approver>, u8), String> {
    let (entries, quorum) = match (entries, quorum) {
        (None, None) => return Ok((Vec::new(), 0)),
        (None, Some(_)) => return Err("there is a quorum and no [[approver]]".to_owned()),
        (Some(_), None) => {
            return Err("there are approvers and no quorum: write quorum = 1 or more".to_owned());
        }
        (Some(entries), Some(quorum)) => (entries, quorum),
    };
    if entries.is_empty() || entries.len() > APPROVERS_MAX {
        return Err(format!("between 1 and {APPROVERS_MAX} approvers belong here, not {}", entries.len()));
    }
    if quorum == 0 || usize::from(quorum) > entries.len() {
        return Err(format!("quorum = {quorum} is not between 1 and the {} approvers", entries.len()));
    }
    let (mut persons, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for entry in &entries {
        if entry.person.trim().is_empty() || !persons.insert(entry.person.trim().to_lowercase()) {
            return Err(format!("the approver {:?} has no name, or stands here twice", entry.person));
        }
        if entry.keys.is_empty() || entry.keys.len() > APPROVERS_MAX {
            return Err(format!("{:?} has {} keys", entry.person, entry.keys.len()));
        }
        if !entry.keys.iter().all(|key| keys.insert(key.bytes())) {
            return Err(format!("a key of {:?} stands here twice: a key is one person's", entry.person));
        }
    }
    let approvers =
        entries.into_iter().map(|entry| Approver { person: entry.person, keys: entry.keys }).collect();
    Ok((approvers, quorum))
}

/// Where settings come from, again and again: a file that is read before each task, or flags that stay.
#[derive(Debug, Clone)]
pub enum Source {
    /// The file at this path. It was there at the start, so it has to stay there.
    File(PathBuf),
    /// What was given at the start.
    Fixed(Box<Settings>),
}

impl Source {
    /// The settings as they are now: a lowered level holds at once.
    ///
    /// # Errors
    /// The file is gone, cannot be read, or is not what it should be: nothing may run.
    pub fn now(&self) -> Result<Settings, ProbeError> {
        match self {
            Self::Fixed(settings) => Ok(Settings::clone(settings)),
            Self::File(path) => Settings::read(path)?.ok_or_else(|| ProbeError::Config {
                path: path.display().to_string(),
                detail: "it was there when the probe started, and is gone".to_owned(),
            }),
        }
    }
}
