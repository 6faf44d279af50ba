//! Signed checkpoints of the audit log, and the verification of an export that trusts nothing but a pinned fingerprint.
//!
//! Owns the signatures of C2SP notes (Ed25519) and the authority's word for the key that makes them. Never reads a file.
//! Invariant: a checkpoint counts only if its key was signed by the authority whose fingerprint the reader brought along.

#[cfg(test)]
mod tests;

use crate::dsse::{Envelope, Payload};
use crate::keys::{AuthorityKey, CheckpointKey, PublicKey, Signer};
use legator_core::audit::{BadCheckpoint, Broken, Checkpoint, Line, Note, NoteSignature, Report, Verifier};
use legator_core::digest::Digest;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The authority's word for a key that signs checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointKeyStatement {
    /// Of which installation.
    pub installation: String,
    /// The key.
    pub key: PublicKey,
    /// Since when.
    pub made_at: Timestamp,
}

impl Payload for CheckpointKeyStatement {
    const TYPE: &'static str = "application/vnd.legator.checkpoint-key.v1+json";
}

/// Why a note proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNote {
    /// No note.
    #[error(transparent)]
    Form(#[from] BadCheckpoint),
    /// No signature of a trusted key.
    #[error("no trusted key signed this checkpoint")]
    Signature,
}

/// The authority's envelope over a checkpoint key.
pub fn certify(installation: &str, key: &PublicKey, authority: &AuthorityKey, now: Timestamp) -> Envelope {
    let statement = CheckpointKeyStatement { installation: installation.to_owned(), key: *key, made_at: now };
    Envelope::seal(&statement, authority)
}

/// The hash that names a key in a note (C2SP signed-note): of its name, the algorithm's number 1 (Ed25519) and its bytes.
fn key_hash(name: &str, key: &PublicKey) -> [u8; 4] {
    let digest = Digest::of_parts(&[name.as_bytes(), b"\n", &[1], &key.bytes()]);
    let [a, b, c, d, ..] = *digest.bytes();
    [a, b, c, d]
}

/// The signed note of a checkpoint. The key's name in it is the log's origin.
pub fn sign(checkpoint: &Checkpoint, key: &CheckpointKey) -> String {
    let body = checkpoint.body();
    let name = checkpoint.origin.clone();
    let signature = key.sign(body.as_bytes());
    let hash = key_hash(&name, &key.public());
    Note { body, signatures: vec![NoteSignature { name, hash, signature }] }.text()
}

/// The checkpoint of a note, if one of these keys signed it. Signatures of other keys are ignored, as the specification demands.
pub fn open(note: &str, keys: &[PublicKey]) -> Result<Checkpoint, BadNote> {
    let note = Note::parse(note)?;
    let checkpoint = Checkpoint::parse(&note.body)?;
    let signed = |key: &PublicKey| {
        let hash = key_hash(&checkpoint.origin, key);
        note.signatures.iter().any(|one| {
            one.name == checkpoint.origin
                && one.hash == hash
                && key.verify(note.body.as_bytes(), &one.signature)
        })
    };
    if keys.iter().any(signed) { Ok(checkpoint) } else { Err(BadNote::Signature) }
}

/// Verifies an export, line by line.
pub struct ExportVerifier {
    pin: Digest,
    since: Option<String>,
    keys: Vec<PublicKey>,
    log: Option<Verifier>,
    line: u64,
}

impl ExportVerifier {
    /// Trusts the authority with this fingerprint only. `since` is the note of a checkpoint that was verified and remembered before.
    pub fn new(pin: Digest, since: Option<String>) -> Self {
        Self { pin, since, keys: Vec::new(), log: None, line: 0 }
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// The first thing that is wrong. Nothing after it means anything.
    pub fn line(&mut self, text: &str) -> Result<(), Broken> {
        self.line += 1;
        let line: Line = serde_json::from_str(text)
            .map_err(|why| Broken::Line { line: self.line, why: why.to_string() })?;
        match line {
            Line::Log { version, origin, tenant } => {
                if version != 1 || self.log.is_some() {
                    return Err(Broken::Line {
                        line: self.line,
                        why: "not a first line of version 1".into(),
                    });
                }
                self.log = Some(Verifier::of_origin(origin, tenant));
                Ok(())
            }
            Line::Key { authority, envelope } => self.key(&authority, &envelope),
            Line::Record(record) => self.ready()?.record(&record),
            Line::Checkpoint { note } => {
                let checkpoint = self.open(&note)?;
                self.ready()?.checkpoint(checkpoint)
            }
        }
    }

    fn key(&mut self, authority: &str, envelope: &str) -> Result<(), Broken> {
        let bad = Broken::Key { line: self.line };
        let authority: PublicKey = authority.parse().map_err(|_| bad.clone())?;
        if authority.fingerprint() != self.pin {
            return Err(bad);
        }
        let envelope: Envelope = serde_json::from_str(envelope).map_err(|_| bad.clone())?;
        let statement: CheckpointKeyStatement = envelope.open(&authority).map_err(|_| bad)?;
        self.keys.push(statement.key);
        Ok(())
    }

    fn open(&self, note: &str) -> Result<Checkpoint, Broken> {
        open(note, &self.keys).map_err(|_| Broken::Unsigned { line: self.line })
    }

    /// The log, which starts from what is remembered.
    fn ready(&mut self) -> Result<&mut Verifier, Broken> {
        let since = self.since.take().map(|note| self.open(&note)).transpose()?;
        let missing = Broken::Line { line: self.line, why: "the first line does not name a log".into() };
        let log = self.log.as_mut().ok_or(missing)?;
        if let Some(since) = since {
            log.since(since)?;
        }
        Ok(log)
    }

    /// After the last line.
    pub fn finish(mut self) -> Result<Report, Broken> {
        self.ready()?;
        let missing = Broken::Line { line: self.line, why: "the export is empty".into() };
        self.log.ok_or(missing)?.finish()
    }
}

/// Verifies a whole export.
pub fn verify<'a>(
    lines: impl Iterator<Item = &'a str>,
    pin: Digest,
    since: Option<String>,
) -> Result<Report, Broken> {
    let mut verifier = ExportVerifier::new(pin, since);
    for line in lines {
        verifier.line(line)?;
    }
    verifier.finish()
}
