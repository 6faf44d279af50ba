//! Choices taken from bytes, so that a fuzzer that changes bytes changes choices.
//!
//! Owns the reader. Never ends: when the bytes are used up, every further choice is the first one.

/// Bytes, read as choices.
#[derive(Debug, Clone)]
pub struct Dice<'a>(&'a [u8]);

impl<'a> Dice<'a> {
    /// The choices in these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte; zero after the last.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Two bytes as a number.
    pub fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// One of `count` choices, from zero; zero when there are none.
    pub fn of(&mut self, count: usize) -> usize {
        let wide = if count > 256 { self.number() } else { usize::from(self.byte()) };
        wide.checked_rem(count).unwrap_or(0)
    }

    /// Whether bytes are left.
    pub const fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }
}
