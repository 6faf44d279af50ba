//! How long to wait before the next connection: decorrelated jitter.
//!
//! Owns the numbers. Invariant: a herd of probes spreads over half a minute, and what a server asks for is bounded.

use std::time::Duration;

use crate::system;

/// The shortest pause.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// The longest pause of its own choice.
pub const PAUSE_MAX: Duration = Duration::from_secs(20);
/// The longest pause that a server can ask for.
pub const AFTER_MAX: Duration = Duration::from_secs(600);

/// The pause so far.
#[derive(Debug)]
pub(super) struct Pace {
    last: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { last: PAUSE_MIN }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Pace {
    /// It went well for a while.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Between the shortest pause and three times the last one.
    pub(super) fn next(&mut self) -> Duration {
        let high = millis(self.last).saturating_mul(3).min(millis(PAUSE_MAX));
        self.last = Duration::from_millis(system::between(millis(PAUSE_MIN), high));
        self.last
    }

    /// What the server asks for, and a fifth more at random so that not all come back at once.
    pub(super) fn after(&mut self, asked: Duration) -> Duration {
        let asked = millis(asked.min(AFTER_MAX));
        Duration::from_millis(system::between(asked, asked.saturating_add(asked / 5)))
    }

    /// After a refusal: soon where time alone may heal it, seldom where a person has to.
    pub(super) fn denied(&mut self, code: &str) -> Duration {
        match code {
            "revoked" | "cloned" => Duration::from_millis(system::between(15_000, 60_000)),
            _ => self.next().max(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_differ_and_stay_bounded() {
        let mut pace = Pace::default();
        let pauses: Vec<Duration> = (0..200).map(|_| pace.next()).collect();
        assert!(pauses.iter().all(|pause| (PAUSE_MIN..=PAUSE_MAX).contains(pause)));
        assert!(pauses.iter().max() > Some(&Duration::from_secs(5)));
        let distinct: std::collections::BTreeSet<_> = pauses.iter().collect();
        assert!(distinct.len() > 100);
        assert!(pace.after(Duration::from_secs(86_400)) <= AFTER_MAX * 2);
        pace.reset();
        assert!(pace.next() <= PAUSE_MIN * 3);
    }
}
