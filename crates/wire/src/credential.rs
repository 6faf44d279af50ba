//! The credential that admits a probe at an edge: claims of an EdDSA JWT by the authority, bound to the probe's key (RFC 7800).
//!
//! Owns the claims and the forms of enrolment and renewal over HTTP. Signing is the worker's, verifying the edge's.

use crate::dsse::Payload;
use crate::keys::PublicKey;
use legator_core::ids::{HostId, TenantId};
use legator_core::level::Level;
use legator_core::span::Span;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long a credential is good for: 7 days.
pub const CREDENTIAL_LIFE: Span = Span::from_secs(7 * 86_400);
/// The audience claim.
pub const AUDIENCE: &str = "legator-edge";

/// The key that the bearer has to prove (RFC 7800 §3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The probe's public key.
    pub key: PublicKey,
}

/// The claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The installation.
    pub iss: String,
    /// The host.
    pub sub: HostId,
    /// `legator-edge`.
    pub aud: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The probe's key.
    pub cnf: Confirmation,
    /// Issued, seconds since 1970.
    pub iat: i64,
    /// Not before, seconds since 1970.
    pub nbf: i64,
    /// Good until, seconds since 1970.
    pub exp: i64,
}

/// `POST /api/v1/enrol`: what a new probe sends. Signed by its new key: proof that it has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The registration token's secret.
    pub token: String,
    /// The probe's public key.
    pub key: PublicKey,
    /// The name that the operator gave; the hostname when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The machine's hostname.
    pub hostname: String,
    /// Labels that the operator gave on the host.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When, by the host's clock.
    pub made_at: Timestamp,
}

impl Payload for Enrolment {
    const TYPE: &'static str = "application/vnd.legator.enrolment.v1+json";
}

/// `POST /api/v1/renew`: an enrolled probe asks for a fresh credential. Signed by its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// The installation.
    pub installation: String,
    /// The host.
    pub host: HostId,
    /// When, by the host's clock; more than 10 minutes off is refused.
    pub made_at: Timestamp,
}

impl Payload for Renewal {
    const TYPE: &'static str = "application/vnd.legator.renewal.v1+json";
}

/// What both answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The installation.
    pub installation: String,
    /// The authority's public key: its fingerprint has to be the one of the token.
    pub authority: PublicKey,
    /// The host's id.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// The JWT.
    pub credential: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// The highest level that the token allows.
    pub level: Level,
}
