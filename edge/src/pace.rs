//! How fast one session may talk: above it, it is read more slowly, and its own socket fills.
//!
//! Owns the two buckets, of frames and of bytes. Invariant: a flood costs the session that sends it, and no other.

use std::time::Duration;
use tokio::time::Instant;

const FRAMES_A_SECOND: f64 = 2_000.0;
const BYTES_A_SECOND: f64 = 32.0 * 1024.0 * 1024.0;

pub(crate) struct Pace {
    at: Instant,
    frames: f64,
    bytes: f64,
}

impl Pace {
    /// Two seconds' worth may come at once.
    pub(crate) fn new() -> Self {
        Self { at: Instant::now(), frames: 2.0 * FRAMES_A_SECOND, bytes: 2.0 * BYTES_A_SECOND }
    }

    /// How long to wait after a frame of so many bytes, before the next one is read.
    pub(crate) fn after(&mut self, bytes: usize) -> Option<Duration> {
        let now = Instant::now();
        let passed = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        self.frames = (self.frames + passed * FRAMES_A_SECOND).min(2.0 * FRAMES_A_SECOND) - 1.0;
        self.bytes = (self.bytes + passed * BYTES_A_SECOND).min(2.0 * BYTES_A_SECOND) - bytes as f64;
        let debt = (-self.frames / FRAMES_A_SECOND).max(-self.bytes / BYTES_A_SECOND);
        (debt > 0.0).then(|| Duration::from_secs_f64(debt.min(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_waits_and_a_talk_does_not() {
        let mut pace = Pace::new();
        let waits = (0..5_000).filter(|_| pace.after(100).is_some()).count();
        assert!((900..=1_000).contains(&waits), "{waits}");
        let mut pace = Pace::new();
        for _ in 0..5_000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(pace.after(1_000), None);
        }
        assert!(Pace::new().after(100 * 1024 * 1024).is_some());
    }
}
