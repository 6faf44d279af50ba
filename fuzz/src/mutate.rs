//! Mutations of a seed for the replay in ordinary tests: the same ones in every run.
//!
//! Owns a small generator (splitmix64) and the kinds of mutation. Never secure, never needed to be.

/// Numbers that look random, the same for the same start.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The numbers of this start.
    pub const fn from(start: u64) -> Self {
        Self(start)
    }

    /// The next one.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One below `count`; zero when `count` is zero.
    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.draw() >> 1).unwrap_or(usize::MAX).checked_rem(count).unwrap_or(0)
    }
}

/// The seed with one to four changes.
pub fn mutated(seed: &[u8], words: &[&str], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        change(&mut bytes, words, numbers);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, words: &[&str], numbers: &mut Numbers) {
    let at = numbers.below(bytes.len());
    let end = (at + 1 + numbers.below(16)).min(bytes.len());
    match numbers.below(8) {
        _ if bytes.is_empty() => bytes.push(u8::try_from(numbers.below(256)).unwrap_or(0)),
        0 => bytes[at] ^= 1 << numbers.below(8),
        1 => bytes[at] = u8::try_from(numbers.below(256)).unwrap_or(0),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let piece = bytes[at..end].to_vec();
            let to = numbers.below(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        4 => bytes.truncate(at),
        5 => {
            let odd = [0, b'\n', b'"', b'\\', 0x1b, 0x7f, 0x80, 0xc3, 0xff, b'9', b'-', b' ', b'{', b'['];
            bytes.insert(at, odd[numbers.below(odd.len())]);
        }
        _ if words.is_empty() => bytes[at] = bytes[at].wrapping_add(1),
        _ => {
            let word = words[numbers.below(words.len())].bytes();
            bytes.splice(at..at, word);
        }
    }
}
