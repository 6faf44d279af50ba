//! Secrets that are shown once: API keys `lk_…` and registration tokens `lt_…`.
//!
//! Owns their text. The store keeps the SHA-256 of the secret half only: 256 random bits need no slow hash.

use crate::problem::Problem;
use legator_core::digest::Digest;
use legator_core::ids::{KeyId, TokenId};

/// 32 fresh secret bytes.
pub fn fresh() -> Result<[u8; 32], Problem> {
    use rand::TryRngCore as _;
    let mut secret = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut secret).map_err(|error| Problem::internal(&error))?;
    Ok(secret)
}

/// The text of an API key.
pub fn key_text(id: KeyId, secret: &[u8; 32]) -> String {
    format!("lk_{:032x}_{}", id.bits(), hex::encode(secret))
}

/// The text of a registration token; it carries the fingerprint's first half, so that a probe knows the authority it looks for.
pub fn token_text(id: TokenId, secret: &[u8; 32], fingerprint: &Digest) -> String {
    let pin: String = fingerprint.hex().chars().take(32).collect();
    format!("lt_{:032x}_{}_{pin}", id.bits(), hex::encode(secret))
}

/// The id and the hash of the secret of an API key's text.
pub fn parse_key(text: &str) -> Option<(KeyId, Digest)> {
    let (id, secret) = text.strip_prefix("lk_")?.split_once('_')?;
    let id: KeyId = format!("key_{id}").parse().ok()?;
    let secret = legator_wire::keys::parse_hex(secret).ok()?;
    Some((id, Digest::of(&secret)))
}

/// Whether two digests are the same, in a time that says nothing about where they differ.
pub fn same(one: &Digest, other: &Digest) -> bool {
    let pairs = one.bytes().iter().zip(other.bytes());
    std::hint::black_box(pairs.fold(0u8, |differ, (a, b)| differ | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_and_nothing_else_is_one() {
        let text = key_text(KeyId::new(7), &[3; 32]);
        assert_eq!(parse_key(&text), Some((KeyId::new(7), Digest::of(&[3; 32]))));
        let token = token_text(TokenId::new(7), &[3; 32], &Digest::of(b"x"));
        for bad in [
            "",
            "lk_",
            "lk__",
            &text.to_uppercase(),
            &format!("{text}0"),
            &token,
            &text.replace("lk_", "lt_"),
        ] {
            assert_eq!(parse_key(bad), None, "{bad}");
        }
    }
}
