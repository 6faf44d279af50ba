//! The settings of `legator`: flag over environment over file over default.
//!
//! Owns what each setting is called, what it may be and where it came from. Reads nothing itself: flags, environment and file are
//! given. Invariant: a setting of trust that is empty, of a wrong type or unreadable is an error, never a default.

mod layers;
mod show;
#[cfg(test)]
mod tests;

pub use layers::{Layers, Raw, Source};
pub use show::show;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Why the settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A setting that does not exist.
    #[error("{origin}: there is no setting {name:?}; there are {known}")]
    Unknown {
        /// Where it stands.
        origin: String,
        /// What it is called there.
        name: String,
        /// What there is.
        known: String,
    },
    /// A value that the setting cannot have.
    #[error("{name} ({origin}): {why}")]
    Bad {
        /// The setting.
        name: &'static str,
        /// Where it stands.
        origin: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A file that cannot be read or is not TOML.
    #[error("the configuration file {path}: {why}")]
    File {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// Settings that do not go together.
    #[error("{0}")]
    Clash(String),
}

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder, made when it is missing.
    Dir(PathBuf),
    /// Nowhere lasting.
    Memory,
}

/// Where the authority key comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Made on the first start and kept in the data folder.
    Made,
    /// A file with 64 hex digits that only its owner can read.
    File(PathBuf),
    /// The 32 secret bytes themselves.
    Secret([u8; 32]),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Made => f.write_str("made on first start"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Secret(_) => f.write_str("(64 hex digits)"),
        }
    }
}

/// Certificate and key of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM, the server's certificate first.
    pub cert: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// Whether people have to show a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Yes.
    Required,
    /// No: whoever reaches the loopback address is the person `local`.
    Off,
}

/// What `legator up` runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the data is.
    pub place: Place,
    /// Where the authority key comes from.
    pub signing_key: KeySource,
    /// Whether people have to show a key.
    pub auth: Auth,
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// TLS, if it is spoken here.
    pub tls: Option<Tls>,
    /// Names under which people reach this server, besides the loopback ones.
    pub public_names: Vec<String>,
    /// The filter of the log, as `tracing` reads it.
    pub log: String,
    /// Settings of the language model by the names of their variables: `LEGATOR_LLM_PROVIDER` …
    pub llm: BTreeMap<String, String>,
}

/// The settings, in the order in which they are shown.
pub const NAMES: [&str; 8] =
    ["data_dir", "signing_key", "auth", "listen", "tls_cert", "tls_key", "public_url", "log"];

/// The prefix of settings of the language model, which the brain reads.
pub const MODEL_PREFIX: &str = "llm_";

/// Resolves the settings from their layers.
pub fn resolve(layers: &Layers) -> Result<Settings, ConfigError> {
    layers.check_names()?;
    let auth = auth(layers)?;
    let listen = listen(layers)?;
    let settings = Settings {
        place: place(layers)?,
        signing_key: signing_key(layers)?,
        auth,
        tls: tls(layers)?,
        public_names: public_names(layers)?,
        log: layers.text("log")?.map_or_else(|| "info".to_owned(), |(text, _)| text),
        llm: layers.with_prefix(MODEL_PREFIX)?,
        listen,
    };
    check_reach(&settings)?;
    Ok(settings)
}

fn place(layers: &Layers) -> Result<Place, ConfigError> {
    match layers.text("data_dir")? {
        Some((text, _)) if text == ":memory:" => Ok(Place::Memory),
        Some((text, _)) => Ok(Place::Dir(PathBuf::from(text))),
        None => layers.default_dir.clone().map(Place::Dir).ok_or_else(|| {
            ConfigError::Clash("there is no home folder to keep data in: set --data-dir (or :memory:)".into())
        }),
    }
}

fn signing_key(layers: &Layers) -> Result<KeySource, ConfigError> {
    let Some((text, source)) = layers.text("signing_key")? else { return Ok(KeySource::Made) };
    if let Some(path) = text.strip_prefix("file:") {
        return match path.is_empty() {
            true => Err(bad("signing_key", &source, "file: names no file")),
            false => Ok(KeySource::File(PathBuf::from(path))),
        };
    }
    let why = "is neither 64 lower-case hex digits nor file:PATH; make one with: openssl rand -hex 32";
    let secret = legator_wire::keys::parse_hex(&text).map_err(|_| bad("signing_key", &source, why))?;
    match secret.iter().all(|byte| *byte == 0) {
        true => Err(bad("signing_key", &source, "is all zeros; make one with: openssl rand -hex 32")),
        false => Ok(KeySource::Secret(secret)),
    }
}

fn auth(layers: &Layers) -> Result<Auth, ConfigError> {
    match layers.flag("auth")? {
        Some(true) => Ok(Auth::Required),
        Some(false) | None => Ok(Auth::Off),
    }
}

fn listen(layers: &Layers) -> Result<Vec<SocketAddr>, ConfigError> {
    let Some((texts, source)) = layers.list("listen")? else {
        return Ok(vec![
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 8080)),
        ]);
    };
    let parse = |text: &String| {
        let why = format!("{text:?} is not ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080");
        text.parse::<SocketAddr>().map_err(|_| bad("listen", &source, why))
    };
    texts.iter().map(parse).collect()
}

fn tls(layers: &Layers) -> Result<Option<Tls>, ConfigError> {
    match (layers.text("tls_cert")?, layers.text("tls_key")?) {
        (Some((cert, _)), Some((key, _))) => Ok(Some(Tls { cert: cert.into(), key: key.into() })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(ConfigError::Clash("tls_cert is set and tls_key is not: set both or none".into()))
        }
        (None, Some(_)) => {
            Err(ConfigError::Clash("tls_key is set and tls_cert is not: set both or none".into()))
        }
    }
}

fn public_names(layers: &Layers) -> Result<Vec<String>, ConfigError> {
    let Some((texts, source)) = layers.list("public_url")? else { return Ok(Vec::new()) };
    texts.iter().map(|text| public_name(text, &source)).collect()
}

/// The host of `https://host[:port][/]`.
fn public_name(text: &str, source: &Source) -> Result<String, ConfigError> {
    let why = || {
        bad("public_url", source, format!("{text:?} is not an address such as https://legator.example.org"))
    };
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(why)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let host = match authority.rfind(':') {
        Some(at) if !authority.ends_with(']') => authority.get(..at).unwrap_or_default(),
        _ => authority,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.[]:".contains(c);
    match !host.is_empty() && host.chars().all(plain) {
        true => Ok(host.to_ascii_lowercase()),
        false => Err(why()),
    }
}

/// Without authentication nobody but this machine may reach the server.
fn check_reach(settings: &Settings) -> Result<(), ConfigError> {
    let open: Vec<String> =
        settings.listen.iter().filter(|at| !is_loopback(at.ip())).map(ToString::to_string).collect();
    if settings.auth == Auth::Required || open.is_empty() {
        return Ok(());
    }
    Err(ConfigError::Clash(format!(
        "listening on {} without authentication would let everyone who reaches it act on every host: \
         add --auth (LEGATOR_AUTH=true) and make the first key with `legator admin bootstrap`, or listen on 127.0.0.1",
        open.join(", ")
    )))
}

/// Whether only this machine reaches the address.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn bad(name: &'static str, source: &Source, why: impl Into<String>) -> ConfigError {
    ConfigError::Bad { name, origin: source.to_string(), why: why.into() }
}

/// A configuration file that was named: its path and its content. One that cannot be read is an error.
pub fn read_file(path: &str) -> Result<(String, toml::Table), ConfigError> {
    let failed = |why: String| ConfigError::File { path: path.to_owned(), why };
    if path.trim().is_empty() {
        return Err(failed("names no file".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| failed(error.to_string()))?;
    Ok((path.to_owned(), table))
}
