//! Carries a program's output to its reader, in pieces with offsets.
//!
//! Owns the two pumps. Never keeps more than one piece a stream: a full channel makes the program wait.
//! Invariant: the pieces of a stream, put together, are its bytes from offset 0 without gaps, up to the cap.

use super::{Chunk, Stream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, watch};

/// Most bytes of one piece.
const CHUNK_BYTES: usize = 64 << 10;
/// A daemon that an ended program left behind may hold its pipe for ever: so long may it be silent.
const LINGER: Duration = Duration::from_millis(300);

/// What both pumps share.
pub(super) struct Shared {
    pub(super) output: mpsc::Sender<Chunk>,
    /// Bytes that may still be passed on.
    pub(super) left: AtomicU64,
    /// A refusal of the kernel was seen in what the program printed first.
    pub(super) denied: AtomicBool,
    /// Turns true when the program has ended.
    pub(super) ended: watch::Receiver<bool>,
}

/// Reads one stream until it closes, the cap is reached, or the program has ended and the stream stays silent.
pub(super) async fn pump(source: impl AsyncRead + Unpin, stream: Stream, shared: &Shared) {
    let mut source = source;
    let mut ended = shared.ended.clone();
    let mut offset = 0;
    loop {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        let count = tokio::select! {
            read = source.read_buf(&mut bytes) => read.unwrap_or(0),
            () = silent_after(&mut ended) => 0,
        };
        if count == 0 || !take(&shared.left, count as u64) {
            return;
        }
        if offset < CHUNK_BYTES as u64 && refused(&bytes) {
            shared.denied.store(true, Ordering::Relaxed);
        }
        // A reader that is gone loses the output; the program goes on.
        let _ = shared.output.send(Chunk { stream, offset, bytes }).await;
        offset += count as u64;
    }
}

async fn silent_after(ended: &mut watch::Receiver<bool>) {
    if ended.wait_for(|ended| *ended).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(LINGER).await;
}

fn take(left: &AtomicU64, count: u64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count)).is_ok()
}

/// Whether a text that programs print for EACCES and EPERM is in the bytes.
fn refused(bytes: &[u8]) -> bool {
    let texts = [b"Permission denied".as_slice(), b"Operation not permitted"];
    texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == *text))
}
