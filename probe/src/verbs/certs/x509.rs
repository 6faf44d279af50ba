//! The few fields of an X.509 certificate (RFC 5280) that are told: subject, beginning, end.
//!
//! Owns a reader of DER that takes hostile bytes. Never checks a signature. Invariant: reads no byte outside of its input.

use legator_core::time::Timestamp;

/// What is told of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verbs) struct Certificate {
    /// The last common name of the subject; empty when it has none.
    pub(in crate::verbs) subject: String,
    pub(in crate::verbs) begins: Timestamp,
    pub(in crate::verbs) ends: Timestamp,
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// 2.5.4.3, the attribute commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// A value: its tag, its content, and what comes after it.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = next(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// Reads a certificate.
pub(in crate::verbs) fn parse(der: &[u8]) -> Option<Certificate> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut body, _) = expect(certificate, SEQUENCE)?;
    // The version is optional, and tagged.
    if let Some((0xa0, _, rest)) = next(body) {
        body = rest;
    }
    for _ in ["serial number", "signature", "issuer"] {
        (_, _, body) = next(body)?;
    }
    let (validity, body) = expect(body, SEQUENCE)?;
    let (begin_tag, begin, rest) = next(validity)?;
    let (end_tag, end, _) = next(rest)?;
    let (subject, _) = expect(body, SEQUENCE)?;
    Some(Certificate {
        subject: common_name(subject).unwrap_or_default(),
        begins: time(begin_tag, begin)?,
        ends: time(end_tag, end)?,
    })
}

fn common_name(mut names: &[u8]) -> Option<String> {
    let mut found = None;
    while let Some((_, set, rest)) = next(names) {
        names = rest;
        let Some((pair, _)) = expect(set, SEQUENCE) else { continue };
        if let Some((COMMON_NAME, rest)) = expect(pair, 0x06)
            && let Some((_, text, _)) = next(rest)
        {
            found = Some(String::from_utf8_lossy(text).chars().take(256).collect());
        }
    }
    found
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, bytes: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, text.len()) {
        // RFC 5280, 4.1.2.5.1: 50 and above is the last century.
        (UTC_TIME, 12) => {
            let (year, rest) = text.split_at(2);
            (if year >= "50" { format!("19{year}") } else { format!("20{year}") }, rest)
        }
        (GENERALIZED_TIME, 14) => (text.get(..4)?.to_owned(), text.get(4..)?),
        _ => return None,
    };
    let part = |from: usize| rest.get(from..from + 2);
    let text = format!("{year}-{}-{}T{}:{}:{}Z", part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times() {
        let at = |tag, text: &str| time(tag, text.as_bytes()).map(|time| time.to_string());
        assert_eq!(at(UTC_TIME, "260102030405Z").as_deref(), Some("2026-01-02T03:04:05.000Z"));
        assert_eq!(at(UTC_TIME, "990102030405Z").as_deref(), Some("1999-01-02T03:04:05.000Z"));
        assert_eq!(at(GENERALIZED_TIME, "20510102030405Z").as_deref(), Some("2051-01-02T03:04:05.000Z"));
        for bad in ["", "Z", "2601020304Z", "26010203040aZ", "261302030405Z", "260102030405"] {
            assert_eq!(at(UTC_TIME, bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_hurt(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let mut framed = vec![SEQUENCE, 0x81, 200];
            framed.extend(bytes);
            let _ = parse(&framed);
        }
    }
}
