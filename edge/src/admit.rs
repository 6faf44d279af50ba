//! Whether a first frame proves which host it comes from: the credential by the authority, the hello by the key in it.
//!
//! Owns the check, pure and offline. Never asks a worker. Invariant: an `Admitted` names host, tenant and key of a credential that an
//! authority signed, and the bearer signed this connection's nonce with that key.

use crate::trust::Trust;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use legator_core::ids::{HostId, InstanceId, TenantId};
use legator_core::time::Timestamp;
use legator_wire::credential::{AUDIENCE, Claims};
use legator_wire::dsse::Envelope;
use legator_wire::hello::{HELLO_TASKS_MAX, Hello};
use legator_wire::keys::PublicKey;

/// Bytes of a credential, at most.
const CREDENTIAL_BYTES_MAX: usize = 4096;
/// Bytes of a hostname, a version or the name of a missing layer, at most.
const WORD_BYTES_MAX: usize = 255;
/// Clocks of worker and edge may differ by so many seconds.
const LEEWAY_S: i64 = 60;

/// Why a first frame proves nothing. `code` is the word of `Down::Denied`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// No credential of this installation's authority, or its time is over.
    #[error("bad-credential")]
    Credential,
    /// The host was revoked or removed.
    #[error("revoked")]
    Revoked(HostId, TenantId),
    /// Not signed by the key of the credential, or over another connection's nonce, or for another host.
    #[error("bad-signature")]
    Signature(HostId, TenantId),
    /// Signed, and beyond its limits.
    #[error("malformed")]
    Malformed(HostId, TenantId),
}

impl NotProven {
    /// The word that the probe is told.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Credential => "bad-credential",
            Self::Revoked(..) => "revoked",
            Self::Signature(..) => "bad-signature",
            Self::Malformed(..) => "malformed",
        }
    }

    /// The host of the credential, where the credential itself was good.
    pub const fn host(self) -> Option<(HostId, TenantId)> {
        match self {
            Self::Credential => None,
            Self::Revoked(host, tenant) | Self::Signature(host, tenant) | Self::Malformed(host, tenant) => {
                Some((host, tenant))
            }
        }
    }
}

/// A host that has proven itself.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// The host.
    pub host: HostId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its key.
    pub key: PublicKey,
    /// What it said.
    pub hello: Hello,
}

/// What this very connection demands.
pub struct Demand<'a> {
    /// The edge's run.
    pub edge: InstanceId,
    /// The nonce that was sent.
    pub nonce: &'a str,
    /// The edge's clock.
    pub now: Timestamp,
}

/// Checks a first frame.
pub fn check(
    trust: &Trust,
    demand: &Demand<'_>,
    credential: &str,
    envelope: &Envelope,
) -> Result<Admitted, NotProven> {
    let claims = credential_of(trust, demand.now, credential).ok_or(NotProven::Credential)?;
    let (host, tenant, key) = (claims.sub, claims.tenant, claims.cnf.key);
    if trust.revoked.contains(&host) {
        return Err(NotProven::Revoked(host, tenant));
    }
    let hello: Hello = envelope.open(&key).map_err(|_| NotProven::Signature(host, tenant))?;
    let here = hello.installation == trust.installation
        && hello.host == host
        && hello.edge == demand.edge
        && hello.nonce == demand.nonce;
    if !here {
        return Err(NotProven::Signature(host, tenant));
    }
    if !is_bounded(&hello) {
        return Err(NotProven::Malformed(host, tenant));
    }
    Ok(Admitted { host, tenant, key, hello })
}

fn is_bounded(hello: &Hello) -> bool {
    let word = |text: &str| text.len() <= WORD_BYTES_MAX;
    word(&hello.hostname)
        && word(&hello.version)
        && hello.running.len() <= HELLO_TASKS_MAX
        && hello.cage.missing.len() <= 64
        && hello.cage.missing.iter().all(|layer| word(layer))
}

/// The claims, if one of the authorities signed them for this installation and they hold now.
fn credential_of(trust: &Trust, now: Timestamp, credential: &str) -> Option<Claims> {
    if credential.len() > CREDENTIAL_BYTES_MAX {
        return None;
    }
    let validation = validation(&trust.installation);
    let decode = |key: &PublicKey| {
        let key = DecodingKey::from_ed_der(&key.bytes());
        jsonwebtoken::decode::<Claims>(credential, &key, &validation).ok()
    };
    let claims = trust.authorities.iter().find_map(decode)?.claims;
    let now = now.seconds();
    let holds = claims.aud == AUDIENCE
        && claims.iss == trust.installation
        && claims.nbf <= now + LEEWAY_S
        && now < claims.exp
        && claims.iat <= claims.exp;
    holds.then_some(claims)
}

/// One algorithm, every claim required. Times are checked against the edge's clock, not the library's.
fn validation(installation: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.algorithms = vec![Algorithm::EdDSA];
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[installation]);
    validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

#[cfg(test)]
mod tests;
