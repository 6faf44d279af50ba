//! Joining, and staying joined: enrolment and renewal over HTTP.
//!
//! Owns the token's form, TLS's roots and the two requests. Invariant: an answer whose authority is not the one in the token is thrown away.

use legator_core::digest::Digest;
use legator_core::ids::TokenId;
use legator_core::time::Timestamp;
use legator_wire::credential::{Admission, Enrolment, Renewal};
use legator_wire::dsse::Envelope;
use legator_wire::keys::{ProbeKey, Signer as _};
use legator_wire::trust;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::disk;
use crate::error::ProbeError;
use crate::identity::Identity;

#[cfg(test)]
mod tests;

const ANSWER_BYTES_MAX: usize = 64 * 1024;
const ROOTS_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Where systems keep the roots that they trust.
const SYSTEM_ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// A registration token: `lt_<id>_<secret>_<fingerprint>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    fingerprint: String,
}

impl std::str::FromStr for Token {
    type Err = ProbeError;
    fn from_str(text: &str) -> Result<Self, ProbeError> {
        let hex = |part: &str, digits: usize| {
            part.len() == digits && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let parts: Vec<&str> = text.trim().split('_').collect();
        let &["lt", id, secret, fingerprint] = parts.as_slice() else { return Err(ProbeError::BadToken) };
        let known: Result<TokenId, _> = format!("{}_{id}", TokenId::PREFIX).parse();
        if known.is_err() || !hex(secret, 64) || !hex(fingerprint, 32) {
            return Err(ProbeError::BadToken);
        }
        Ok(Self { text: text.trim().to_owned(), fingerprint: fingerprint.to_owned() })
    }
}

impl Token {
    /// Whether an authority of this fingerprint made it.
    fn is_of(&self, authority: &Digest) -> bool {
        authority.hex().starts_with(&self.fingerprint)
    }
}

/// The way to a server: its address and what TLS trusts.
#[derive(Clone)]
pub struct Server {
    base: String,
    tls: Arc<ClientConfig>,
    http: reqwest::Client,
}

impl Server {
    /// The server at `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    /// Another scheme, or roots that cannot be read.
    pub fn new(address: &str, ca: Option<&Path>) -> Result<Self, ProbeError> {
        let base = address.trim_end_matches('/').to_owned();
        let rest = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
        let plain = |rest: &str| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']);
        if !rest.is_some_and(plain) {
            return Err(ProbeError::BadServer(address.chars().take(120).collect()));
        }
        let tls = tls(ca, base.starts_with("https://"))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            .build();
        let http = http.map_err(|error| ProbeError::Tls(error.to_string()))?;
        Ok(Self { base, tls: Arc::new(tls), http })
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.base
    }

    /// The address of its WebSocket for probes.
    pub fn socket(&self) -> String {
        format!("ws{}/probe/v1/connect", self.base.strip_prefix("http").unwrap_or_default())
    }

    /// What TLS trusts.
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }

    async fn post(&self, path: &str, envelope: &Envelope) -> Result<Admission, ProbeError> {
        let away = |detail: String| ProbeError::Unreachable { server: self.base.clone(), detail };
        let request = self.http.post(format!("{}{path}", self.base)).json(envelope);
        let mut answer = request.send().await.map_err(|error| away(chain(&error)))?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| away(chain(&error)))? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(away("the answer is too large".to_owned()));
            }
            body.extend_from_slice(&piece);
        }
        let status = answer.status();
        if !status.is_success() {
            return Err(ProbeError::Denied { status: status.as_u16(), detail: problem(&body) });
        }
        serde_json::from_slice(&body).map_err(|error| away(format!("the answer is no admission: {error}")))
    }

    /// Joins: sends the enrolment, signed by the new key, and takes the answer only from the token's authority.
    ///
    /// # Errors
    /// Refused, unreachable, or another authority.
    pub async fn enrol(
        &self,
        token: &Token,
        who: &Newcomer<'_>,
        now: Timestamp,
    ) -> Result<Identity, ProbeError> {
        let enrolment = Enrolment {
            token: token.text.clone(),
            key: who.key.public(),
            name: who.name.clone(),
            hostname: crate::metrics::hostname(),
            labels: who.labels.clone(),
            made_at: now,
        };
        let admission = self.post("/api/v1/enrol", &Envelope::seal(&enrolment, who.key)).await?;
        let found = admission.authority.fingerprint();
        if !token.is_of(&found) {
            return Err(ProbeError::OtherAuthority { wanted: token.fingerprint.clone(), found: found.hex() });
        }
        Ok(self.identity(admission))
    }

    /// Asks for a fresh credential. The pinned authority, the host and the level stay as they are.
    ///
    /// # Errors
    /// Refused, unreachable, or an answer that is about something else.
    pub async fn renew(
        &self,
        old: &Identity,
        key: &ProbeKey,
        now: Timestamp,
    ) -> Result<Identity, ProbeError> {
        let renewal = Renewal { installation: old.installation.clone(), host: old.host, made_at: now };
        let admission = self.post("/api/v1/renew", &Envelope::seal(&renewal, key)).await?;
        let same = admission.authority == old.authority
            && admission.installation == old.installation
            && admission.host == old.host;
        if !same {
            let found = admission.authority.fingerprint().hex();
            return Err(ProbeError::OtherAuthority { wanted: old.authority.fingerprint().hex(), found });
        }
        Ok(Identity { level: old.level, server: old.server.clone(), ..self.identity(admission) })
    }

    fn identity(&self, admission: Admission) -> Identity {
        Identity {
            server: self.base.clone(),
            installation: admission.installation,
            authority: admission.authority,
            host: admission.host,
            name: admission.name,
            credential: admission.credential,
            expires_at: admission.expires_at,
            level: admission.level,
        }
    }
}

/// Who wants to join.
#[derive(Debug, Clone)]
pub struct Newcomer<'a> {
    /// Its new key.
    pub key: &'a ProbeKey,
    /// The name that the operator gave.
    pub name: Option<String>,
    /// Labels that the operator gave.
    pub labels: BTreeMap<String, String>,
}

/// An error with its causes, in a line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// What a problem body says, or its first bytes.
pub(crate) fn problem(body: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let field = |name: &str| value.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let detail = field("detail").unwrap_or_else(|| String::from_utf8_lossy(body).chars().take(200).collect());
    let text = match (field("code"), field("hint")) {
        (Some(code), Some(hint)) => format!("{code}: {detail} ({hint})"),
        (Some(code), None) => format!("{code}: {detail}"),
        _ => detail,
    };
    text.chars().filter(|c| !c.is_control()).take(400).collect()
}

/// TLS that trusts the given file alone, or the system's roots. Without TLS in the address nothing has to be trusted.
fn tls(ca: Option<&Path>, needed: bool) -> Result<ClientConfig, ProbeError> {
    if let Some(path) = ca {
        let unusable = |why| ProbeError::Tls(format!("{}: {why}", path.display()));
        return trust::only(&read_pem(path)?).map_err(unusable);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| ProbeError::Tls(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    let system = SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.is_file());
    if let Some(path) = system.filter(|_| needed) {
        // A root that this library cannot use is skipped, as other programs do.
        roots.add_parsable_certificates(certificates(path)?);
    }
    if roots.is_empty() && needed {
        let none = "no certificate to trust was found: name one with ca = in probe.toml";
        return Err(ProbeError::Tls(none.into()));
    }
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn read_pem(path: &Path) -> Result<Vec<u8>, ProbeError> {
    let missing = || ProbeError::Tls(format!("{} is not there", path.display()));
    disk::read(path, ROOTS_BYTES_MAX)?.ok_or_else(missing)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ProbeError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read_pem(path)?).collect();
    all.map_err(|error| ProbeError::Tls(format!("{}: {error}", path.display())))
}
