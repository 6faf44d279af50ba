//! A provider's stream that was recorded, read as one that comes.
//!
//! Owns nothing new: the readers of the live streams, over bytes in pieces. Never waits. Invariant: how the bytes were cut changes nothing.

use crate::assembly::Assembly;
use crate::frames::Frames;
use crate::http::{Protocol, taken};
use crate::llm::{LlmError, Reply};
use crate::settings::Provider;

/// The reply in a stream of this provider, which came in these pieces, and what was said on the way.
///
/// # Errors
/// As a live stream fails.
pub fn reply(provider: Provider, pieces: &[&[u8]]) -> (Result<Reply, LlmError>, String) {
    let mut said = String::new();
    let reply = read(provider.protocol(), pieces, &mut said);
    (reply, said)
}

fn read(protocol: &Protocol, pieces: &[&[u8]], said: &mut String) -> Result<Reply, LlmError> {
    let (mut frames, mut assembly) = (Frames::new(protocol.framing), Assembly::default());
    let mut say = |text: &str| said.push_str(text);
    for piece in pieces {
        frames.push(piece)?;
        while let Some(data) = frames.next()? {
            if taken(&mut assembly, &data, (protocol, &mut say))? {
                return assembly.reply();
            }
        }
    }
    if let Some(data) = frames.rest() {
        taken(&mut assembly, &data, (protocol, &mut say))?;
    }
    assembly.reply()
}
