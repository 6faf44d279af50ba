//! Arguments of the verbs that look: levels observe and diagnose.
//!
//! Owns the shapes only. Invariant: no field here names something to be changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Bounded;
use crate::span::Span;
use crate::verbs::bounds::{self, Checked};

/// Arguments of `file.read`. Links are followed, unless `state` is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRead {
    /// The file.
    pub path: String,
    /// Where to begin, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// How many bytes at most, up to 4194304. When absent, the first and the last 262144 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Read it as the state before a change: no link is followed, an absent file is a state too, and the receipt holds it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub state: bool,
}

/// Arguments of `file.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileList {
    /// The directory.
    pub path: String,
    /// How many entries at most: 1000 when absent, at most 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Arguments of `file.stat`. The last link is not followed: its target is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileStat {
    /// The file.
    pub path: String,
}

/// Arguments of `file.search`. No link is followed, and other file systems are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSearch {
    /// The directory to begin in.
    pub path: String,
    /// What the name must match; `*` and `?` as in a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the content must hold, as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// How many finds at most: 200 when absent, at most 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Arguments of `process.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessList {
    /// Only processes whose name or command line holds this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many at most: 500 when absent, at most 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// The name of a service, with or without `.service`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceName {
    /// The service.
    pub name: String,
}

/// Arguments of `log.read`: the last lines of a file, or of a service in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogRead {
    /// The log file; or `service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The service in the journal; or `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How many lines at most: 200 when absent, at most 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// Only lines that hold this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// Arguments of `log.follow`: what is added to a log from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogFollow {
    /// The log file; or `service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The service in the journal; or `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How long to follow: 30s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Span>,
}

/// Arguments of `package.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageList {
    /// Only packages whose name holds this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The kind of a DNS record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// An IPv4 address.
    #[default]
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name.
    Cname,
    /// Who takes mail.
    Mx,
    /// Name servers.
    Ns,
    /// Text.
    Txt,
    /// The name of an address.
    Ptr,
}

/// Arguments of `net.dns`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetDns {
    /// The name to ask for.
    pub name: String,
    /// The kind of record.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordType>,
    /// The address of the server to ask, with or without a port; the host's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// Arguments of `net.tcp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetTcp {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How long to wait: 10s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Span>,
}

/// An HTTP method that asks and does not change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// With the body.
    #[default]
    Get,
    /// Without the body.
    Head,
}

/// Arguments of `net.http`. Redirects are told, not followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetHttp {
    /// The address, `http://` or `https://`.
    pub url: String,
    /// The method: GET when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// How long to wait: 30s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Span>,
}

impl Bounded for FileRead {
    fn check(&self) -> Checked {
        bounds::path("path", &self.path)?;
        bounds::number("bytes", self.bytes, 1..=4 * 1024 * 1024)?;
        match self.state && (self.offset.is_some() || self.bytes.is_some()) {
            true => Err(bounds::bad("state reads the whole file: leave out offset and bytes")),
            false => Ok(()),
        }
    }
}

impl Bounded for FileList {
    fn check(&self) -> Checked {
        bounds::path("path", &self.path)?;
        bounds::number("limit", self.limit, 1..=10_000)
    }
}

impl Bounded for FileStat {
    fn check(&self) -> Checked {
        bounds::path("path", &self.path)
    }
}

impl Bounded for FileSearch {
    fn check(&self) -> Checked {
        bounds::path("path", &self.path)?;
        self.name.iter().try_for_each(|name| bounds::line("name", name, 1..=255))?;
        self.contains.iter().try_for_each(|text| bounds::line("contains", text, 1..=1024))?;
        if self.name.is_none() && self.contains.is_none() {
            return Err(bounds::bad("give name or contains, or both"));
        }
        bounds::number("limit", self.limit, 1..=10_000)
    }
}

impl Bounded for ProcessList {
    fn check(&self) -> Checked {
        self.name.iter().try_for_each(|name| bounds::line("name", name, 1..=255))?;
        bounds::number("limit", self.limit, 1..=10_000)
    }
}

impl Bounded for ServiceName {
    fn check(&self) -> Checked {
        bounds::word("name", &self.name, "_.@:-")
    }
}

fn log_source(path: Option<&String>, service: Option<&String>) -> Checked {
    match (path, service) {
        (Some(path), None) => bounds::path("path", path),
        (None, Some(service)) => bounds::word("service", service, "_.@:-"),
        _ => Err(bounds::bad("give either path or service")),
    }
}

impl Bounded for LogRead {
    fn check(&self) -> Checked {
        log_source(self.path.as_ref(), self.service.as_ref())?;
        self.contains.iter().try_for_each(|text| bounds::line("contains", text, 1..=1024))?;
        bounds::number("lines", self.lines, 1..=10_000)
    }
}

impl Bounded for LogFollow {
    fn check(&self) -> Checked {
        log_source(self.path.as_ref(), self.service.as_ref())?;
        bounds::timeout(self.timeout)
    }
}

impl Bounded for PackageList {
    fn check(&self) -> Checked {
        self.name.iter().try_for_each(|name| bounds::word("name", name, "+._:~-"))
    }
}

impl Bounded for NetDns {
    fn check(&self) -> Checked {
        bounds::word("name", &self.name, "_.-:")?;
        let server = self.server.as_deref().map(|server| {
            server.parse::<std::net::IpAddr>().is_ok() || server.parse::<std::net::SocketAddr>().is_ok()
        });
        match server {
            Some(false) => Err(bounds::bad("server must be an IP address, with or without a port")),
            _ => Ok(()),
        }
    }
}

impl Bounded for NetTcp {
    fn check(&self) -> Checked {
        host("host", &self.host)?;
        bounds::number("port", Some(self.port.into()), 1..=65_535)?;
        bounds::timeout(self.timeout)
    }
}

fn host(field: &str, text: &str) -> Checked {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => bounds::word(field, text, "_.-"),
    }
}

impl Bounded for NetHttp {
    fn check(&self) -> Checked {
        bounds::line("url", &self.url, 8..=4096)?;
        let rest = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://"));
        let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        if authority.is_empty() || self.url.contains(' ') || !self.url.is_ascii() {
            return Err(bounds::bad(
                "url must begin with http:// or https:// and a host, in ASCII without spaces",
            ));
        }
        if authority.contains('@') {
            return Err(bounds::bad("url must not hold a user or password"));
        }
        bounds::timeout(self.timeout)
    }
}
