//! What a machine says of itself when it joins, brought into bounds.
//!
//! Owns the limits of names and labels. Invariant: labels of the token win over those that came with the machine, and none of
//! the machine's reads like a word of Legator's own.

use legator_core::digest::Digest;
use legator_core::ids::TokenId;
use legator_store::hosts::LABELS_MAX;
use legator_wire::credential::Enrolment;
use legator_wire::keys::parse_hex;
use std::collections::BTreeMap;

const NAME_BYTES_MAX: usize = 128;
const LABEL_BYTES_MAX: usize = 128;
/// Words that a selector asks about and that no label may look like.
const RESERVED: [&str; 9] = ["id", "name", "status", "level", "os", "cage", "tenant", "labels", "legator"];

/// The bounded words of an enrolment.
pub(super) struct Said {
    pub(super) name: String,
    pub(super) hostname: String,
    labels: BTreeMap<String, String>,
}

impl Said {
    /// Nothing when the name that was given or a label is not one. A hostname is never a reason: it is made one.
    pub(super) fn parse(enrolment: &Enrolment) -> Option<Self> {
        let hostname = tidy(&enrolment.hostname);
        let name = match &enrolment.name {
            Some(name) if is_word(name, NAME_BYTES_MAX) => name.clone(),
            Some(_) => return None,
            None => hostname.clone(),
        };
        let labels = enrolment.labels.clone();
        let good = labels.len() <= LABELS_MAX && labels.iter().all(|(key, value)| is_label(key, value));
        good.then_some(Self { name, hostname, labels })
    }

    /// Its labels with those of the token, which win.
    pub(super) fn labels_with(&self, of_token: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.extend(of_token.clone());
        labels
    }
}

/// The id of a registration token's text and the hash of its secret.
pub(super) fn token(text: &str) -> Option<(TokenId, Digest)> {
    let mut parts = text.strip_prefix("lt_")?.split('_');
    let (id, secret, pin) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || pin.len() != 32 {
        return None;
    }
    let id = format!("{}_{id}", TokenId::PREFIX).parse().ok()?;
    Some((id, Digest::of(&parse_hex(secret).ok()?)))
}

fn is_label(key: &str, value: &str) -> bool {
    let first = key.split(['.', '/']).next().unwrap_or_default();
    let value_fits = value.is_empty() || is_word(value, LABEL_BYTES_MAX);
    is_word(key, LABEL_BYTES_MAX) && value_fits && !RESERVED.contains(&first)
}

fn is_word(text: &str, bytes_max: usize) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b':' | b'@');
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    starts && text.len() <= bytes_max && text.bytes().all(inner)
}

fn tidy(hostname: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let text: String = hostname.chars().take(NAME_BYTES_MAX).map(plain).collect();
    let text = text.trim_matches(['-', '.', '_']);
    if text.is_empty() { "host".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use legator_core::time::Timestamp;
    use legator_wire::keys::{ProbeKey, Signer as _};

    fn enrolment(name: Option<&str>, hostname: &str, labels: &[(&str, &str)]) -> Enrolment {
        Enrolment {
            token: String::new(),
            key: ProbeKey::from_secret(&[1; 32]).public(),
            name: name.map(str::to_owned),
            hostname: hostname.to_owned(),
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            made_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn a_hostname_is_made_a_name_and_a_wrong_name_is_refused() {
        let named = |hostname: &str| Said::parse(&enrolment(None, hostname, &[])).unwrap().name;
        assert_eq!(named("web-03"), "web-03");
        assert_eq!(named("\u{1b}[2Jweb\n03"), "2Jweb-03");
        assert_eq!(named(""), "host");
        assert_eq!(named("../../etc"), "etc");
        assert_eq!(named(&"x".repeat(10_000)).len(), NAME_BYTES_MAX);
        for bad in ["", "a b", "*", "a\n", "-x", "\u{202e}x"] {
            assert!(Said::parse(&enrolment(Some(bad), "x", &[])).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn labels_that_read_like_rights_are_refused_and_the_tokens_win() {
        for (key, value) in
            [("level", "remediate"), ("tenant", "x"), ("legator.approved", "true"), ("", "x"), ("a", "b\nc")]
        {
            assert!(Said::parse(&enrolment(None, "x", &[(key, value)])).is_none(), "{key}={value:?}");
        }
        let said = Said::parse(&enrolment(None, "x", &[("env", "prod"), ("role", "web")])).unwrap();
        let token = BTreeMap::from([("env".to_owned(), "test".to_owned())]);
        let labels = said.labels_with(&token);
        assert_eq!(labels.get("env").unwrap(), "test");
        assert_eq!(labels.get("role").unwrap(), "web");
    }

    #[test]
    fn a_tokens_text_has_three_parts() {
        let (id, secret, pin) = ("0".repeat(31) + "7", "ab".repeat(32), "c".repeat(32));
        let (found, hash) = token(&format!("lt_{id}_{secret}_{pin}")).unwrap();
        assert_eq!((found, hash), (TokenId::new(7), Digest::of(&[0xab; 32])));
        let bad = [
            String::new(),
            format!("lk_{id}_{secret}_{pin}"),
            format!("lt_{id}_{secret}"),
            format!("lt_{id}_{secret}_{pin}_x"),
        ];
        for text in bad {
            assert!(token(&text).is_none(), "{text}");
        }
    }
}
