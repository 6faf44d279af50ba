//! Lengths of time as people write them: `250ms`, `30s`, `15m`, `1h`, `7d`.
//!
//! Owns the textual form. Invariant: a span is at most 400 days.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const MAX_MS: u64 = 400 * 86_400_000;
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A length of time in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Span(u64);

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration such as 30s, 15m, 1h or 7d (at most 400d)")]
pub struct BadSpan(pub String);

impl Span {
    /// So many milliseconds, at most 400 days.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > MAX_MS { MAX_MS } else { millis })
    }

    /// So many seconds, at most 400 days.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs.saturating_mul(1000))
    }

    /// Milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The same as the standard library's type.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.iter().rev().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size));
        match exact {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "0s"),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Span {
    type Err = BadSpan;
    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(text.chars().take(80).collect());
        let cut = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (digits, unit) = text.split_at(cut);
        let size = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size).ok_or_else(bad)?;
        let count: u64 = digits.parse().map_err(|_| bad())?;
        let millis = count.checked_mul(size).filter(|millis| *millis <= MAX_MS).ok_or_else(bad)?;
        Ok(Self(millis))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl TryFrom<String> for Span {
    type Error = BadSpan;
    fn try_from(text: String) -> Result<Self, BadSpan> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_span_survives_its_text(millis in 0..MAX_MS) {
            let span = Span::from_millis(millis);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "30", "s", "-1s", "1.5h", "1w", "401d", "99999999999999999999s", "1 s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
