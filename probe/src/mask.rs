//! Secret values struck out of what a program says.
//!
//! Owns the search. Never changes the length of output, so that offsets stay true. Invariant: a value is struck out also where it comes in
//! pieces, or lies over another one. What a program makes of a value (base64, one letter a line) is not recognised.

use crate::cage::{Chunk, Stream};
use legator_core::verbs::{Secrets, UNSEEN};
use serde_json::Value;
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Pieces between the program and the keeper.
const PIECES_MAX: usize = 16;

/// The same output without these values. Without values it is the same channel.
pub fn over(mut output: mpsc::Receiver<Chunk>, secrets: &Secrets) -> mpsc::Receiver<Chunk> {
    let needles: Vec<Vec<u8>> = secrets.values().map(|known| known.value.clone().into_bytes()).collect();
    if needles.is_empty() {
        return output;
    }
    let (clean, receiver) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        let mut streams = [Stream::Stdout, Stream::Stderr].map(|stream| Held::new(stream, &needles));
        while let Some(chunk) = output.recv().await {
            let [out, err] = &mut streams;
            let held = if chunk.stream == Stream::Stdout { out } else { err };
            for clean_chunk in held.push(&chunk) {
                if clean.send(clean_chunk).await.is_err() {
                    return;
                }
            }
        }
        for held in &mut streams {
            if let Some(rest) = held.release(0) {
                let _ = clean.send(rest).await;
            }
        }
    });
    receiver
}

/// The end of a stream that may be the beginning of a value.
struct Held<'a> {
    stream: Stream,
    needles: &'a [Vec<u8>],
    /// Where `bytes` begin in the stream.
    at: u64,
    bytes: VecDeque<u8>,
    struck: VecDeque<bool>,
}

impl<'a> Held<'a> {
    fn new(stream: Stream, needles: &'a [Vec<u8>]) -> Self {
        Self { stream, needles, at: 0, bytes: VecDeque::new(), struck: VecDeque::new() }
    }

    fn push(&mut self, chunk: &Chunk) -> Vec<Chunk> {
        let mut clean = Vec::new();
        if chunk.offset != self.at + self.bytes.len() as u64 {
            // Something in between was dropped: nothing goes on over the gap.
            clean.extend(self.release(0));
            self.at = chunk.offset;
        }
        self.bytes.extend(&chunk.bytes);
        self.struck.extend(std::iter::repeat_n(false, chunk.bytes.len()));
        self.strike();
        let longest = self.needles.iter().map(Vec::len).max().unwrap_or(1);
        clean.extend(self.release(longest - 1));
        clean
    }

    fn strike(&mut self) {
        let bytes = self.bytes.make_contiguous();
        for needle in self.needles {
            let found = bytes.windows(needle.len()).enumerate().filter(|(_, window)| window == needle);
            for (place, _) in found {
                self.struck.iter_mut().skip(place).take(needle.len()).for_each(|struck| *struck = true);
            }
        }
    }

    /// Lets everything go but the last `kept` bytes.
    fn release(&mut self, kept: usize) -> Option<Chunk> {
        let free = self.bytes.len().saturating_sub(kept);
        let bytes: Vec<u8> = self
            .bytes
            .drain(..free)
            .zip(self.struck.drain(..free))
            .map(|(byte, struck)| if struck { b'*' } else { byte })
            .collect();
        let offset = self.at;
        self.at += free as u64;
        (free > 0).then_some(Chunk { stream: self.stream, bytes, offset })
    }
}

/// A text without these values.
pub fn text(text: &str, secrets: &Secrets) -> String {
    secrets.values().fold(text.to_owned(), |text, known| text.replace(&known.value, UNSEEN))
}

/// A state without these values, also in the names of its fields.
pub fn value(state: Value, secrets: &Secrets) -> Value {
    match state {
        Value::String(found) => Value::String(text(&found, secrets)),
        Value::Array(items) => items.into_iter().map(|item| value(item, secrets)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, field)| (text(&name, secrets), value(field, secrets))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use legator_core::verbs::Revealed;
    use proptest::prelude::*;

    fn secrets(values: &[&str]) -> Secrets {
        let one = |(number, value): (usize, &&str)| {
            (format!("S{number}"), Revealed { salt: String::new(), value: (*value).to_owned() })
        };
        values.iter().enumerate().map(one).collect()
    }

    async fn masked(pieces: Vec<(u64, Vec<u8>)>, secrets: &Secrets) -> Vec<(u64, Vec<u8>)> {
        let (send, output) = mpsc::channel(4);
        let mut clean = over(output, secrets);
        let feed = tokio::spawn(async move {
            for (offset, bytes) in pieces {
                send.send(Chunk { stream: Stream::Stdout, bytes, offset }).await.unwrap();
            }
        });
        let mut got = Vec::new();
        while let Some(chunk) = clean.recv().await {
            got.push((chunk.offset, chunk.bytes));
        }
        feed.await.unwrap();
        got
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_value_in_pieces_is_struck_out_and_nothing_moves(
            around in proptest::collection::vec("[a-d]{0,9}", 1..6),
            piece in 1usize..7,
        ) {
            let known = secrets(&["abcdabcd", "cdab"]);
            let text = around.join("abcdabcd");
            let bytes = text.as_bytes();
            let pieces = bytes.chunks(piece).enumerate().map(|(n, b)| ((n * piece) as u64, b.to_vec())).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let got = runtime.block_on(masked(pieces, &known));
            let mut at = 0;
            let mut all = Vec::new();
            for (offset, bytes) in got {
                prop_assert_eq!(offset, at);
                at += bytes.len() as u64;
                all.extend(bytes);
            }
            prop_assert_eq!(all.len(), bytes.len());
            for needle in ["abcdabcd", "cdab"] {
                prop_assert!(!String::from_utf8_lossy(&all).contains(needle));
                // Exactly the bytes of its occurrences are struck out.
                for (place, _) in text.match_indices(needle) {
                    prop_assert!(all[place..place + needle.len()].iter().all(|byte| *byte == b'*'));
                }
            }
        }
    }

    #[tokio::test]
    async fn output_that_was_dropped_in_between_ends_what_was_held() {
        let known = secrets(&["hunter22"]);
        let got = masked(vec![(0, b"hunt".to_vec()), (100, b"er22 hunter22!".to_vec())], &known).await;
        let at_100: Vec<u8> = got.iter().filter(|(at, _)| *at >= 100).flat_map(|(_, b)| b.clone()).collect();
        assert_eq!((got[0].clone(), at_100), ((0, b"hunt".to_vec()), b"er22 ********!".to_vec()));
        assert_eq!(text("pw=hunter22;", &known), "pw=<secret>;");
        let state = value(serde_json::json!({"hunter22": ["x hunter22", 7]}), &known);
        assert_eq!(state, serde_json::json!({"<secret>": ["x <secret>", 7]}));
    }
}
