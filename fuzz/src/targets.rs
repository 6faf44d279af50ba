//! All targets, by name.
//!
//! Owns the list. Invariant: names are those of the folders of seeds; a target without seeds fails the replay.

mod doors;
mod frames;
mod grants;
mod host;
mod receipts;
mod records;
mod streams;
mod words;

use crate::Target;

/// All of them.
pub static ALL: &[Target] = &[
    frames::UP,
    frames::DOWN,
    frames::ENVELOPE,
    frames::HELLO,
    grants::GRANT,
    grants::GRANT_SEALED,
    receipts::RECEIPT,
    receipts::RECEIPT_SEALED,
    words::SELECTOR,
    words::VERB,
    words::PLAN,
    words::POLICY,
    words::TEXT,
    words::ANSWER,
    words::SMALL,
    records::CHECKPOINT,
    records::MERKLE,
    records::EXPORT,
    streams::PROVIDER,
    streams::SSE,
    host::HOST,
    host::PROBE_TOML,
    host::INVENTORY,
    doors::CURSOR,
    doors::BODY,
    doors::QUERY,
];

/// Whether a number with a fraction or an exponent is in it: such a one may change in its last digit each time that it is read.
fn has_fraction(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(fields) => fields.values().any(has_fraction),
        _ => false,
    }
}

/// The text that bytes are, with what is no UTF-8 replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
