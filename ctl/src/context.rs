//! Which server, with which key: flags, then the environment, then the stored contexts.
//!
//! Owns the contexts file (TOML, mode 0600). It also remembers, a context, the pinned authority and the latest checkpoint seen.

use crate::client::Client;
use crate::exit::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where Legator listens when nothing is said.
pub const SERVER: &str = "http://127.0.0.1:8080";

/// One server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Its address.
    pub server: String,
    /// The API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The fingerprint of its authority, pinned at login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// PEM file of a private CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The latest checkpoint seen, as its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// The contexts file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The one in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All of them.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// The folder for files of this program.
pub fn folder() -> Result<PathBuf, Fault> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LEGATOR_CONFIG_DIR")
        .or_else(|| set("XDG_CONFIG_HOME").map(|dir| dir.join("legator")))
        .or_else(|| set("HOME").map(|dir| dir.join(".config/legator")))
        .ok_or_else(|| Fault::usage("no folder for settings: set HOME or LEGATOR_CONFIG_DIR"))
}

impl Contexts {
    /// The stored contexts; none when there is no file.
    pub fn load() -> Result<Self, Fault> {
        let path = folder()?.join("contexts.toml");
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|error| Fault::usage(format!("{} does not parse: {error}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Fault::failed(format!("{}: {error}", path.display()))),
        }
    }

    /// Stores them, readable by this user alone.
    pub fn save(&self) -> Result<(), Fault> {
        let dir = folder()?;
        fs::create_dir_all(&dir)?;
        let text = toml::to_string_pretty(self).map_err(|error| Fault::failed(error.to_string()))?;
        write_private(&dir.join("contexts.toml"), text.as_bytes())
    }

    /// The context of this name, or the current one.
    pub fn pick(&self, name: Option<&str>) -> Result<Option<&Context>, Fault> {
        let Some(name) = name.or(self.current.as_deref()) else { return Ok(None) };
        let found = self.contexts.get(name);
        found.map(Some).ok_or_else(|| {
            Fault::usage(format!("there is no context {name:?}")).hint("legatorctl contexts list")
        })
    }
}

/// Writes a file whole or not at all, mode 0600.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let fault = |error: std::io::Error| Fault::failed(format!("{}: {error}", path.display()));
    let draft = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(fault)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fault)?;
    fs::rename(&draft, path).map_err(fault)
}

/// What the flags and the environment say.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// `--server` or `LEGATOR_SERVER`.
    pub server: Option<String>,
    /// `LEGATOR_KEY`, or the content of `--key-file`.
    pub key: Option<String>,
    /// `--context` or `LEGATOR_CONTEXT`.
    pub context: Option<String>,
    /// `--ca` or `LEGATOR_CA`.
    pub ca: Option<PathBuf>,
}

/// The context to use: a stored one, with what was wished laid over it.
pub fn resolve(wish: &Wish) -> Result<Context, Fault> {
    let stored = Contexts::load()?.pick(wish.context.as_deref())?.cloned();
    let mut context = stored.unwrap_or_else(|| Context { server: SERVER.to_owned(), ..Context::default() });
    if let Some(server) = &wish.server {
        // A key belongs to its server: it is never sent to another.
        if *server != context.server {
            context = Context { server: server.clone(), ..Context::default() };
        }
    }
    context.key = wish.key.clone().or(context.key);
    context.ca = wish.ca.clone().or(context.ca);
    Ok(context)
}

/// A client of a context.
pub fn client(context: &Context) -> Result<Client, Fault> {
    let read =
        |path: &PathBuf| fs::read(path).map_err(|error| Fault::usage(format!("{}: {error}", path.display())));
    let pem = context.ca.as_ref().map(read).transpose()?;
    Client::new(&context.server, context.key.clone(), pem.as_deref())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_contexts_file_survives_and_unknown_words_are_refused() {
        let one = Context { server: "https://a".into(), key: Some("lk_x".into()), ..Context::default() };
        let all = Contexts { current: Some("a".into()), contexts: BTreeMap::from([("a".into(), one)]) };
        let text = toml::to_string_pretty(&all).unwrap();
        assert_eq!(toml::from_str::<Contexts>(&text).unwrap(), all);
        assert!(toml::from_str::<Contexts>("curent = \"a\"").is_err());
        assert!(all.pick(Some("b")).is_err());
    }
}
