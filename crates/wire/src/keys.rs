//! Ed25519 keys (RFC 8032), one type a role, so that one role's key cannot sign for another by mistake.
//!
//! Owns parsing and fingerprints. Never makes randomness: a secret key comes from 32 given bytes.
//! Invariant: a `PublicKey` is a canonical point of full order; weak keys do not parse.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use legator_core::digest::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why bytes are no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not 64 lower-case hex digits.
    #[error("a key is 64 lower-case hex digits")]
    NotHex,
    /// No point of the curve, or one of small order.
    #[error("not a usable Ed25519 public key")]
    Weak,
}

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key that these 32 bytes are.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BadKey> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| BadKey::Weak)?;
        if key.is_weak() || key.to_bytes() != *bytes {
            return Err(BadKey::Weak);
        }
        Ok(Self(key))
    }

    /// Its 32 bytes.
    pub fn bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Its 64 hex digits.
    pub fn hex(&self) -> String {
        hex::encode(self.0.to_bytes())
    }

    /// The digest of its bytes: how a key is pinned and named.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.0.to_bytes())
    }

    /// The same key for X25519 (RFC 7748): what is sealed to it, its holder alone opens.
    pub fn agreement(&self) -> [u8; 32] {
        self.0.to_montgomery().to_bytes()
    }

    /// Whether `signature`, 64 bytes, is this key's over `message` (strict: no other form of the same signature).
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        Self::from_bytes(&parse_hex(text)?)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.hex()
    }
}

impl TryFrom<String> for PublicKey {
    type Error = BadKey;
    fn try_from(text: String) -> Result<Self, BadKey> {
        text.parse()
    }
}

/// 32 bytes from 64 lower-case hex digits.
pub fn parse_hex(text: &str) -> Result<[u8; 32], BadKey> {
    let mut bytes = [0; 32];
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(BadKey::NotHex);
    }
    hex::decode_to_slice(text, &mut bytes).map_err(|_| BadKey::NotHex)?;
    Ok(bytes)
}

/// A key that can sign an envelope.
pub trait Signer {
    /// Its public half.
    fn public(&self) -> PublicKey;
    /// The 64 bytes of its signature over these.
    fn sign(&self, message: &[u8]) -> Vec<u8>;
}

// Five roles, one shape: distinct types are the point, so a function would not do.
macro_rules! secret_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(SigningKey);

        impl $name {
            /// The key over these 32 secret bytes.
            pub fn from_secret(secret: &[u8; 32]) -> Self {
                Self(SigningKey::from_bytes(secret))
            }

            /// The 32 secret bytes, for the file that keeps them.
            pub fn secret(&self) -> [u8; 32] {
                self.0.to_bytes()
            }

            /// The secret half of `PublicKey::agreement`.
            pub fn agreement(&self) -> [u8; 32] {
                self.0.to_scalar_bytes()
            }
        }

        impl Signer for $name {
            fn public(&self) -> PublicKey {
                PublicKey(self.0.verifying_key())
            }

            fn sign(&self, message: &[u8]) -> Vec<u8> {
                self.0.sign(message).to_bytes().to_vec()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.public())
            }
        }
    };
}

secret_key!(/// The installation's key: signs grants, orders and credentials. Only the worker role constructs one.
    AuthorityKey);
secret_key!(/// A host's key, made there; it never leaves the host.
    ProbeKey);
secret_key!(/// A person's own key for approvals.
    ApproverKey);
secret_key!(/// The notary's key for checkpoints.
    CheckpointKey);
secret_key!(/// The installation's data key: what is sealed to it waits in the database. It signs nothing.
    DataKey);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_of_small_order_does_not_parse() {
        let mut one = [0u8; 32];
        assert_eq!(PublicKey::from_bytes(&one), Err(BadKey::Weak));
        one[0] = 1;
        assert_eq!(PublicKey::from_bytes(&one), Err(BadKey::Weak));
        assert_eq!("00".parse::<PublicKey>(), Err(BadKey::NotHex));
    }

    #[test]
    fn a_signature_holds_for_its_bytes_and_key_only() {
        let key = ProbeKey::from_secret(&[7; 32]);
        let other = ProbeKey::from_secret(&[8; 32]);
        let signature = key.sign(b"hello");
        assert!(key.public().verify(b"hello", &signature));
        assert!(!key.public().verify(b"hallo", &signature));
        assert!(!other.public().verify(b"hello", &signature));
        assert!(!key.public().verify(b"hello", &[0; 64]));
        assert!(!key.public().verify(b"hello", b""));
        assert_eq!(key.public().hex().parse::<PublicKey>().unwrap(), key.public());
    }
}
