//! The audit log of a tenant: numbered events, the tree over them, and how a copy of it is proven complete.
//!
//! Owns the canonical record, the lines of an export, and their verification. Never signs and never reads a file.
//! Invariant: what is hashed are the exact bytes of an event as it was stored, with its number and its tenant.

mod checkpoint;
mod verify;

#[cfg(test)]
mod tests;

pub use checkpoint::{BadCheckpoint, Checkpoint, Note, NoteSignature};
pub use verify::{Broken, End, Report, Verifier};

use crate::digest::Digest;
use crate::ids::TenantId;
use crate::merkle;
use serde::{Deserialize, Serialize};

/// The first bytes of each canonical record: a hash of it can be mistaken for nothing else.
const RECORD: &str = "legator-audit-record-v1";

/// The leaf hash (RFC 6962 §2.1) of a record: over a fixed word, the number, the tenant and the event's bytes.
pub fn leaf(number: u64, tenant: TenantId, event: &str) -> Digest {
    let head = format!("{RECORD}\n{number}\n{tenant}\n");
    let mut bytes = Vec::with_capacity(head.len() + event.len());
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(event.as_bytes());
    merkle::leaf_hash(&bytes)
}

/// One numbered event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number in its tenant's log, from 1. Its place in the tree is one less.
    pub number: u64,
    /// The event: exactly the text that was stored.
    pub event: String,
    /// Its leaf hash, so that a changed record is found by itself.
    pub leaf: Digest,
}

/// The name of a tenant's log: the first line of each checkpoint.
pub fn origin(installation: &str, tenant: TenantId) -> String {
    let safe =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':') { c } else { '_' };
    let installation: String = installation.chars().take(100).map(safe).collect();
    format!("legator/{installation}/{tenant}")
}

/// One line of an export (JSON Lines): first `log`, then keys, then records with the checkpoints between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Line {
    /// Which log this is.
    Log {
        /// The form of the export; 1.
        version: u32,
        /// The origin that its checkpoints name.
        origin: String,
        /// Whose log.
        tenant: TenantId,
    },
    /// A key that signs checkpoints, with the authority's word for it.
    Key {
        /// The authority's public key, 64 hex digits; believed only if its fingerprint is pinned.
        authority: String,
        /// The authority's envelope over the checkpoint key, as JSON.
        envelope: String,
    },
    /// A numbered event.
    Record(Record),
    /// A signed checkpoint over all records so far, or over fewer.
    Checkpoint {
        /// The note.
        note: String,
    },
}

impl Line {
    /// The line without its end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
