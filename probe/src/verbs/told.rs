//! What a verb writes out: two streams of numbered pieces.
//!
//! Owns the offsets. Invariant: pieces of a stream follow each other, without a gap but for what is said to be passed over; none is
//! empty or larger than 64 KiB.

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::cage::{Chunk, Stream};

const PIECE_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Told {
    output: mpsc::Sender<Chunk>,
    stdout: u64,
    stderr: u64,
    lent: bool,
}

impl Told {
    pub(super) fn new(output: mpsc::Sender<Chunk>) -> Self {
        Self { output, stdout: 0, stderr: 0, lent: false }
    }

    /// Where a program writes to that makes up the whole output: from now on the numbers are its own.
    pub(super) fn sender(&mut self) -> mpsc::Sender<Chunk> {
        self.lent = true;
        self.output.clone()
    }

    pub(super) async fn write(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            let at = match stream {
                Stream::Stdout => &mut self.stdout,
                Stream::Stderr => &mut self.stderr,
            };
            let offset = *at;
            *at += piece.len() as u64;
            // A reader that is gone loses the output only; the task goes on.
            let _ = self.output.send(Chunk { stream, offset, bytes: piece.to_vec() }).await;
        }
    }

    pub(super) async fn out(&mut self, bytes: &[u8]) {
        self.write(Stream::Stdout, bytes).await;
    }

    /// Standard output goes on so many bytes further: what lies between is not told.
    pub(super) fn pass_over(&mut self, bytes: u64) {
        self.stdout += bytes;
    }

    /// A sentence for people, unless a program has written its own.
    pub(super) async fn error(&mut self, text: &str) {
        if self.lent {
            return;
        }
        self.write(Stream::Stderr, text.as_bytes()).await;
    }

    /// A value, readable by people and programs.
    pub(super) async fn json(&mut self, value: &Value) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.out(format!("{text}\n").as_bytes()).await;
    }
}

/// Returns once `cancel` is true; never when its sender is gone.
pub(super) async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
        std::future::pending::<()>().await;
    }
}
