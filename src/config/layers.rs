//! The layers of settings and the reading of single ones.
//!
//! Owns precedence and types. Invariant: the highest layer that has a setting decides, also when its value is bad.

use super::{ConfigError, MODEL_PREFIX, NAMES, bad};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Variables with our prefix that belong to `legatorctl`, `legator-probe` or a single command.
const OTHERS: [&str; 11] = [
    "CONFIG",
    "CONFIG_DIR",
    "CA",
    "SERVER",
    "KEY",
    "TOKEN",
    "CONTEXT",
    "STATE_DIR",
    "NAME",
    "API_KEY",
    "ADMIN_KEY",
];

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Text: from a flag, the environment or the file.
    Text(String),
    /// A value of the file.
    Toml(toml::Value),
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A flag of this name.
    Flag(String),
    /// A variable of the environment.
    Env(String),
    /// The configuration file.
    File(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

/// Everything that settings come from.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// Flags that were given, by the setting's name.
    pub flags: BTreeMap<String, String>,
    /// The environment's variables `LEGATOR_…`.
    pub env: BTreeMap<String, String>,
    /// The file, if there is one: its path and its content.
    pub file: Option<(String, toml::Table)>,
    /// The folder for data when none is set.
    pub default_dir: Option<PathBuf>,
}

impl Layers {
    /// Every name that is set must be one that there is.
    pub(super) fn check_names(&self) -> Result<(), ConfigError> {
        let known = |name: &str| NAMES.contains(&name) || name.starts_with(MODEL_PREFIX);
        for name in self.env.keys() {
            let short = name.strip_prefix("LEGATOR_").unwrap_or(name);
            if !known(&short.to_ascii_lowercase()) && !OTHERS.contains(&short) {
                return Err(unknown("environment".into(), name));
            }
        }
        if let Some((path, table)) = &self.file
            && let Some(name) = table.keys().find(|name| !known(name))
        {
            return Err(unknown(format!("file {path}"), name));
        }
        Ok(())
    }

    fn raw(&self, name: &str) -> Option<(Raw, Source)> {
        if let Some(text) = self.flags.get(name) {
            return Some((Raw::Text(text.clone()), Source::Flag(name.replace('_', "-"))));
        }
        let variable = format!("LEGATOR_{}", name.to_ascii_uppercase());
        if let Some(text) = self.env.get(&variable) {
            return Some((Raw::Text(text.clone()), Source::Env(variable)));
        }
        let (path, table) = self.file.as_ref()?;
        table.get(name).map(|value| (Raw::Toml(value.clone()), Source::File(path.clone())))
    }

    /// A setting that is a text; an empty one is an error.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<(String, Source)>, ConfigError> {
        let Some((raw, source)) = self.raw(name) else { return Ok(None) };
        match raw {
            Raw::Text(text) | Raw::Toml(toml::Value::String(text)) if !text.trim().is_empty() => {
                Ok(Some((text, source)))
            }
            Raw::Text(_) | Raw::Toml(toml::Value::String(_)) => {
                Err(bad(name, &source, "is empty; set it or leave it out"))
            }
            Raw::Toml(other) => {
                Err(bad(name, &source, format!("is of type {}, a text is needed", other.type_str())))
            }
        }
    }

    /// A setting that is `true` or `false`, and nothing else that someone might read as one of them.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, ConfigError> {
        let Some((raw, source)) = self.raw(name) else { return Ok(None) };
        match raw {
            Raw::Text(text) if text == "true" => Ok(Some(true)),
            Raw::Text(text) if text == "false" => Ok(Some(false)),
            Raw::Toml(toml::Value::Boolean(value)) => Ok(Some(value)),
            Raw::Text(text) => Err(bad(name, &source, format!("is {text:?}; it is either true or false"))),
            Raw::Toml(other) => Err(bad(
                name,
                &source,
                format!("is of type {}; it is either true or false", other.type_str()),
            )),
        }
    }

    /// A setting that is one or more texts: a list in the file, parted by commas elsewhere.
    pub(super) fn list(&self, name: &'static str) -> Result<Option<(Vec<String>, Source)>, ConfigError> {
        let Some((raw, source)) = self.raw(name) else { return Ok(None) };
        let texts: Vec<String> = match raw {
            Raw::Text(text) | Raw::Toml(toml::Value::String(text)) => {
                text.split(',').map(|part| part.trim().to_owned()).collect()
            }
            Raw::Toml(toml::Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(|text| text.trim().to_owned()))
                .collect::<Option<_>>()
                .ok_or_else(|| bad(name, &source, "holds something that is no text"))?,
            Raw::Toml(other) => {
                return Err(bad(
                    name,
                    &source,
                    format!("is of type {}, a list of texts is needed", other.type_str()),
                ));
            }
        };
        match texts.is_empty() || texts.iter().any(String::is_empty) {
            true => Err(bad(name, &source, "is empty; set it or leave it out")),
            false => Ok(Some((texts, source))),
        }
    }

    /// All settings that begin with a prefix, by the names of their variables. Values that are no texts are written as TOML writes them.
    pub(super) fn with_prefix(&self, prefix: &str) -> Result<BTreeMap<String, String>, ConfigError> {
        let variable = |name: &str| format!("LEGATOR_{}", name.to_ascii_uppercase());
        let mut found = BTreeMap::new();
        if let Some((_, table)) = &self.file {
            for (name, value) in table.iter().filter(|(name, _)| name.starts_with(prefix)) {
                let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                found.insert(variable(name), text);
            }
        }
        let prefix = variable(prefix);
        found.extend(
            self.env
                .iter()
                .filter(|(name, _)| name.starts_with(&prefix))
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Ok(found)
    }
}

fn unknown(origin: String, name: &str) -> ConfigError {
    let known = NAMES.join(", ");
    ConfigError::Unknown { origin, name: name.to_owned(), known: format!("{known}, {MODEL_PREFIX}…") }
}
