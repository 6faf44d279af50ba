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

/// The text that bytes are, with what is no UTF-8 replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
