//! Messages of the domain name system (RFC 1035).
//!
//! Owns making a question and reading an answer, pure. Never trusts a length or a pointer.
//! Invariant: reading ends, whatever the bytes are: pointers only lead backwards, and names and records are counted.

use legator_core::verbs::RecordType;
use serde::Serialize;

const RECORDS_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 255;
const DATA_CHARS_MAX: usize = 4096;

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::verbs) struct Record {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) ttl: u32,
    pub(super) data: String,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verbs) struct Reply {
    pub(super) code: u8,
    /// It did not fit: ask again over TCP.
    pub(super) cut: bool,
    pub(super) records: Vec<Record>,
}

pub(super) const fn number(record: RecordType) -> u16 {
    match record {
        RecordType::A => 1,
        RecordType::Ns => 2,
        RecordType::Cname => 5,
        RecordType::Ptr => 12,
        RecordType::Mx => 15,
        RecordType::Txt => 16,
        RecordType::Aaaa => 28,
    }
}

/// A question with recursion asked for; nothing when the name cannot be one.
pub(in crate::verbs) fn question(id: u16, name: &str, record: RecordType) -> Option<Vec<u8>> {
    let mut bytes = Vec::from(id.to_be_bytes());
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(number(record).to_be_bytes());
    bytes.extend([0, 1]);
    (bytes.len() <= 12 + NAME_BYTES_MAX + 5).then_some(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// Reads the answer to `question`; nothing when it is not one.
pub(in crate::verbs) fn reply(question: &[u8], bytes: &[u8]) -> Option<Reply> {
    let flags = u16_at(bytes, 2)?;
    let asked = question.get(12..)?;
    let same_id = bytes.get(..2)? == question.get(..2)?;
    let same_question = bytes.get(12..12 + asked.len())?.eq_ignore_ascii_case(asked);
    if !same_id || !same_question || flags & 0x8000 == 0 || u16_at(bytes, 4)? != 1 {
        return None;
    }
    let (mut at, mut records) = (12 + asked.len(), Vec::new());
    for _ in 0..usize::from(u16_at(bytes, 6)?).min(RECORDS_MAX) {
        // A record that breaks off ends the list; those before it stand.
        let Some((record, next)) = record(bytes, at) else { break };
        records.push(record);
        at = next;
    }
    Some(Reply { code: (flags & 0xf) as u8, cut: flags & 0x0200 != 0, records })
}

fn record(bytes: &[u8], at: usize) -> Option<(Record, usize)> {
    let (name, at) = self::name(bytes, at)?;
    let kind = u16_at(bytes, at)?;
    let ttl = u32::from_be_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?);
    let length = usize::from(u16_at(bytes, at + 8)?);
    let (from, to) = (at + 10, at + 10 + length);
    let data = bytes.get(from..to)?;
    let (kind, data) = match kind {
        1 => ("A".to_owned(), std::net::Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string()),
        28 => ("AAAA".to_owned(), std::net::Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string()),
        2 => ("NS".to_owned(), self::name(bytes, from)?.0),
        5 => ("CNAME".to_owned(), self::name(bytes, from)?.0),
        12 => ("PTR".to_owned(), self::name(bytes, from)?.0),
        15 => ("MX".to_owned(), format!("{} {}", u16_at(bytes, from)?, self::name(bytes, from + 2)?.0)),
        16 => ("TXT".to_owned(), texts(data)),
        other => (format!("TYPE{other}"), hex::encode(data.get(..data.len().min(64))?)),
    };
    Some((Record { name, kind, ttl, data }, to))
}

fn texts(mut data: &[u8]) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = data.split_first() {
        let (part, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        text.push_str(&String::from_utf8_lossy(part));
        data = rest;
    }
    text.chars().take(DATA_CHARS_MAX).collect()
}

/// A name, and where what follows it begins.
fn name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut labels, mut end, mut length) = (Vec::new(), None, 0);
    loop {
        let first = usize::from(*bytes.get(at)?);
        match first {
            0 => break,
            1..=63 => {
                labels.push(String::from_utf8_lossy(bytes.get(at + 1..at + 1 + first)?).into_owned());
                length += first + 1;
                at += 1 + first;
            }
            0xc0.. => {
                let target = usize::from(u16_at(bytes, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                // Only backwards: else two pointers could lead to each other for ever.
                if target >= at {
                    return None;
                }
                at = target;
            }
            _ => return None,
        }
        if length > NAME_BYTES_MAX {
            return None;
        }
    }
    Some((labels.join("."), end.unwrap_or(at + 1)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn answer(question: &[u8], tail: &[u8]) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2] = 0x81;
        bytes[3] = 0x80;
        bytes[7] = 1;
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn an_address_is_read_from_its_answer() {
        let question = question(7, "example.org", RecordType::A).unwrap();
        let tail = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
        let reply = self::reply(&question, &answer(&question, &tail)).unwrap();
        assert_eq!(reply.records.first().unwrap().data, "192.0.2.1");
        assert_eq!(reply.records.first().unwrap().name, "example.org");
        let mut other = answer(&question, &tail);
        other[0] ^= 1;
        assert_eq!(self::reply(&question, &other), None, "another id");
        let mut other = answer(&question, &tail);
        other[13] ^= 1;
        assert_eq!(self::reply(&question, &other), None, "another question");
    }

    #[test]
    fn names_that_are_none_are_not_asked_for() {
        for bad in ["", ".", "a..b", &"a".repeat(64), &"a.".repeat(140)] {
            assert!(question(1, bad, RecordType::A).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn hostile_answers_end(tail in proptest::collection::vec(any::<u8>(), 0..200), count: u8) {
            let question = question(7, "example.org", RecordType::A).unwrap();
            let mut bytes = answer(&question, &tail);
            bytes[7] = count;
            let _ = reply(&question, &bytes);
        }
    }
}
