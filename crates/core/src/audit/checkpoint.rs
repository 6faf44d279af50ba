//! Checkpoints as C2SP tlog-checkpoint notes: origin, size, root, and the moment as an extension line.
//!
//! Owns the text and its parser. Never signs; the signatures are raw bytes here.

use crate::digest::Digest;
use crate::merkle::Tree;
use crate::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The most bytes of a note.
const NOTE_BYTES_MAX: usize = 16 << 10;
/// The most signatures of a note.
const SIGNATURES_MAX: usize = 16;

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint: {0}")]
pub struct BadCheckpoint(pub &'static str);

/// What a log looked like at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many records, and the root over them.
    pub tree: Tree,
    /// When it was made.
    pub at: Timestamp,
}

impl Checkpoint {
    /// The signed text: with its last line feed, without signatures.
    pub fn body(&self) -> String {
        let root = STANDARD.encode(self.tree.root.bytes());
        format!("{}\n{}\n{root}\nat {}\n", self.origin, self.tree.size, self.at)
    }

    /// The checkpoint that this text is. Only exactly the form of `body` is taken.
    pub fn parse(body: &str) -> Result<Self, BadCheckpoint> {
        let lines: Vec<&str> = body.split('\n').collect();
        let [origin, size, root, at, ""] = lines.as_slice() else {
            return Err(BadCheckpoint("not four lines"));
        };
        let root = STANDARD.decode(root).map_err(|_| BadCheckpoint("the root is not base64"))?;
        let root: [u8; 32] = root.try_into().map_err(|_| BadCheckpoint("the root is not 32 bytes"))?;
        let at = at.strip_prefix("at ").and_then(|at| at.parse().ok()).ok_or(BadCheckpoint("no time"))?;
        let size = size.parse().map_err(|_| BadCheckpoint("the size is no number"))?;
        let tree = Tree { size, root: Digest::from_bytes(root) };
        let checkpoint = Self { origin: (*origin).to_owned(), tree, at };
        if checkpoint.body() != body || origin.is_empty() {
            return Err(BadCheckpoint("not in the canonical form"));
        }
        Ok(checkpoint)
    }
}

/// One signature of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// The first four bytes of the key's hash.
    pub hash: [u8; 4],
    /// The signature.
    pub signature: Vec<u8>,
}

/// A checkpoint with signatures that nobody checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text.
    pub body: String,
    /// One or more.
    pub signatures: Vec<NoteSignature>,
}

impl Note {
    /// The text of the note.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.body);
        for signature in &self.signatures {
            let bytes: Vec<u8> = signature.hash.iter().chain(&signature.signature).copied().collect();
            text.push_str(&format!("\u{2014} {} {}\n", signature.name, STANDARD.encode(bytes)));
        }
        text
    }

    /// The note that this text is.
    pub fn parse(text: &str) -> Result<Self, BadCheckpoint> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(BadCheckpoint("too long"));
        }
        let (body, lines) = text.split_once("\n\n").ok_or(BadCheckpoint("no signature"))?;
        let lines = lines.strip_suffix('\n').ok_or(BadCheckpoint("no line feed at the end"))?;
        let signatures: Vec<NoteSignature> = lines.split('\n').map(signature).collect::<Result<_, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(BadCheckpoint("too many signatures"));
        }
        Ok(Self { body: format!("{body}\n"), signatures })
    }
}

fn signature(line: &str) -> Result<NoteSignature, BadCheckpoint> {
    let bad = BadCheckpoint("a signature line is malformed");
    let (name, bytes) =
        line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' ')).ok_or_else(|| bad.clone())?;
    let bytes = STANDARD.decode(bytes).map_err(|_| bad.clone())?;
    let (hash, signature) = bytes.split_first_chunk::<4>().ok_or(bad)?;
    Ok(NoteSignature { name: name.to_owned(), hash: *hash, signature: signature.to_vec() })
}
