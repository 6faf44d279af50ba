//! Credentials of probes: EdDSA JWTs by the authority, bound to the probe's key (RFC 7800).
//!
//! Owns their making; edges check them. Never reads them back: a renewal is proven by the key, not by an old credential.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use legator_core::ids::{HostId, TenantId};
use legator_core::time::Timestamp;
use legator_wire::credential::{AUDIENCE, CREDENTIAL_LIFE, Claims, Confirmation};
use legator_wire::keys::{AuthorityKey, PublicKey};

/// What stands before the 32 secret bytes in PKCS#8, version 1, of an Ed25519 key (RFC 8410 §7).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Whose credential.
pub struct Bearer {
    /// The host.
    pub host: HostId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its key.
    pub key: PublicKey,
}

/// A credential that begins now, and when it ends.
pub fn issue(
    authority: &AuthorityKey,
    installation: &str,
    bearer: &Bearer,
    now: Timestamp,
) -> Result<(String, Timestamp), jsonwebtoken::errors::Error> {
    let expires_at = now + CREDENTIAL_LIFE;
    let claims = Claims {
        iss: installation.to_owned(),
        sub: bearer.host,
        aud: AUDIENCE.to_owned(),
        tenant: bearer.tenant,
        cnf: Confirmation { key: bearer.key },
        iat: now.seconds(),
        nbf: now.seconds(),
        exp: expires_at.seconds(),
    };
    let der = [&PKCS8_HEAD[..], &authority.secret()[..]].concat();
    let token =
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &EncodingKey::from_ed_der(&der))?;
    Ok((token, expires_at))
}
