//! Signed envelopes: DSSE 1.0 (payload type, exact payload bytes, signature over both).
//!
//! Owns sealing and opening. Invariant: an envelope carries exactly one signature, and opening it demands the payload type
//! and the key that the caller names; nothing inside an envelope is read before that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use legator_core::digest::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::keys::{PublicKey, Signer};

/// Bytes as base64 with padding, in JSON: written in the standard alphabet, read in that or the URL-safe one (DSSE), never a mix,
/// never with line breaks or stray bits.
pub mod b64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes bytes as base64.
    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD
            .decode(&text)
            .or_else(|error| URL_SAFE.decode(&text).map_err(|_| error))
            .map_err(serde::de::Error::custom)
    }
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sig {
    /// The fingerprint of the key that signed.
    pub keyid: Digest,
    /// 64 bytes.
    #[serde(with = "b64")]
    pub sig: Vec<u8>,
}

/// A payload and its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// What the payload is, such as `application/vnd.legator.grant.v1+json`.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The payload's bytes, as signed.
    #[serde(with = "b64")]
    pub payload: Vec<u8>,
    /// Exactly one.
    pub signatures: Vec<Sig>,
}

/// Something that is signed: JSON with a payload type of its own.
pub trait Payload: Serialize + DeserializeOwned {
    /// Its payload type.
    const TYPE: &'static str;
}

/// Why an envelope does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    /// Another payload type.
    #[error("payload type {found:?} where {wanted:?} belongs")]
    Type {
        /// What the envelope says.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// Not exactly one signature.
    #[error("{0} signatures where one belongs")]
    Count(usize),
    /// Another key, or not its signature.
    #[error("the signature is not of the key {0}")]
    Signature(Digest),
    /// Signed, and still not what it should be.
    #[error("the payload does not parse: {0}")]
    Payload(String),
}

/// What is signed: DSSE's pre-authentication encoding.
fn encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// Seals a payload.
    pub fn seal<P: Payload>(payload: &P, key: &dyn Signer) -> Self {
        let bytes = serde_json::to_vec(payload).unwrap_or_default();
        Self::seal_bytes(P::TYPE, bytes, key)
    }

    /// Seals these very bytes.
    pub fn seal_bytes(payload_type: &str, payload: Vec<u8>, key: &dyn Signer) -> Self {
        let sig = key.sign(&encoding(payload_type, &payload));
        let signature = Sig { keyid: key.public().fingerprint(), sig };
        Self { payload_type: payload_type.to_owned(), payload, signatures: vec![signature] }
    }

    /// The payload, if it is of type `P` and signed by `key`.
    pub fn open<P: Payload>(&self, key: &PublicKey) -> Result<P, Unsealed> {
        if self.payload_type != P::TYPE {
            let found = self.payload_type.chars().take(120).collect();
            return Err(Unsealed::Type { found, wanted: P::TYPE });
        }
        let [signature] = self.signatures.as_slice() else {
            return Err(Unsealed::Count(self.signatures.len()));
        };
        let keyid = key.fingerprint();
        let message = encoding(&self.payload_type, &self.payload);
        if signature.keyid != keyid || !key.verify(&message, &signature.sig) {
            return Err(Unsealed::Signature(keyid));
        }
        serde_json::from_slice(&self.payload).map_err(|error| Unsealed::Payload(error.to_string()))
    }

    /// What the payload claims, unproven: only to find out which key must have signed it.
    pub fn claimed<P: Payload>(&self) -> Option<P> {
        if self.payload_type == P::TYPE { serde_json::from_slice(&self.payload).ok() } else { None }
    }

    /// The digest of the payload's bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// The envelope as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Bytes as base64 text.
pub fn to_b64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes from base64 text.
pub fn from_b64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::keys::ProbeKey;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: String,
    }
    impl Payload for Note {
        const TYPE: &'static str = "application/vnd.legator.note.v1+json";
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Other {
        text: String,
    }
    impl Payload for Other {
        const TYPE: &'static str = "application/vnd.legator.other.v1+json";
    }

    fn sealed() -> (Envelope, ProbeKey) {
        let key = ProbeKey::from_secret(&[7; 32]);
        (Envelope::seal(&Note { text: "hello".into() }, &key), key)
    }

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world".to_vec();
        assert_eq!(encoding("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn an_envelope_opens_for_its_type_and_key_only() {
        let (envelope, key) = sealed();
        assert_eq!(envelope.open::<Note>(&key.public()).unwrap(), Note { text: "hello".into() });
        assert!(matches!(envelope.open::<Other>(&key.public()), Err(Unsealed::Type { .. })));
        let other = ProbeKey::from_secret(&[8; 32]).public();
        assert!(matches!(envelope.open::<Note>(&other), Err(Unsealed::Signature(_))));
    }

    #[test]
    fn none_two_or_a_renamed_signature_do_not_open() {
        let (envelope, key) = sealed();
        let none = Envelope { signatures: vec![], ..envelope.clone() };
        assert_eq!(none.open::<Note>(&key.public()), Err(Unsealed::Count(0)));
        let mut two = envelope.clone();
        two.signatures.push(two.signatures[0].clone());
        assert_eq!(two.open::<Note>(&key.public()), Err(Unsealed::Count(2)));
        let mut renamed = envelope;
        renamed.signatures[0].keyid = Digest::of(b"another");
        assert!(renamed.open::<Note>(&key.public()).is_err());
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused(place in 0usize..1000, bit in 0u8..8) {
            let (mut envelope, key) = sealed();
            let bytes = if place % 2 == 0 { &mut envelope.payload } else { &mut envelope.signatures[0].sig };
            let place = place / 2 % bytes.len();
            bytes[place] ^= 1 << bit;
            prop_assert!(envelope.open::<Note>(&key.public()).is_err());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,300}") {
            let _ = serde_json::from_str::<Envelope>(&text);
        }
    }
}
