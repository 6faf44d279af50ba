//! Output of hosts as it comes: whole lines under each host's name where there are several, the very bytes where a file takes them.
//!
//! Owns what was printed so far. Invariant: each byte of a stream is printed once, in order; what the live stream lost is printed
//! from the kept output, and what nobody kept is said.

use super::{host_name, kept, tasks};
use crate::out::{self, word};
use legator_core::text::shown_bytes;
use legator_wire::dsse::from_b64;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};

/// The longest line that is held back until its end comes, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// One stream of one task.
#[derive(Debug, Default)]
struct Lane {
    /// Bytes of it that came so far.
    done: u64,
    /// Of these, the ones that wait for the end of their line.
    held: Vec<u8>,
}

/// Where a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

impl Stream {
    const BOTH: [Self; 2] = [Self::Out, Self::Err];

    fn word(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }

    fn parse(word: &str) -> Self {
        if word == "stderr" { Self::Err } else { Self::Out }
    }

    fn is_terminal(self) -> bool {
        match self {
            Self::Out => std::io::stdout().is_terminal(),
            Self::Err => std::io::stderr().is_terminal(),
        }
    }

    fn write(self, bytes: &[u8]) {
        match self {
            Self::Out => out::raw(bytes),
            // Where standard error is closed there is nobody to tell.
            Self::Err => drop(std::io::stderr().write_all(bytes)),
        }
    }
}

/// What was printed so far of each stream of each task.
pub struct Printer {
    lanes: BTreeMap<(String, &'static str), Lane>,
    names: BTreeMap<String, String>,
    many: bool,
}

impl Printer {
    /// A printer for a plan; with several hosts each line begins with the host's name.
    pub fn new(plan: &Value) -> Self {
        let names = tasks(plan).iter().map(|task| (word(task, "id"), host_name(task))).collect();
        Self { lanes: BTreeMap::new(), many: tasks(plan).len() > 1, names }
    }

    /// Prints what is new in a piece of live output.
    pub fn piece(&mut self, event: &Value) {
        let (task, stream) = (word(event, "task"), Stream::parse(&word(event, "stream")));
        let offset = out::at(event, "offset").as_u64().unwrap_or(0);
        let Some(bytes) = out::at(event, "b64").as_str().and_then(from_b64) else { return };
        let done = self.lanes.entry((task.clone(), stream.word())).or_default().done;
        // A gap is left to the kept output; what came before is not printed again.
        if offset > done {
            return;
        }
        let skip = usize::try_from(done - offset).unwrap_or(usize::MAX);
        if let Some(fresh) = bytes.get(skip..) {
            self.take(&task, stream, fresh);
        }
    }

    /// Prints what the live stream did not bring.
    pub fn end(&mut self, task: &Value) {
        let id = word(task, "id");
        for stream in Stream::BOTH {
            self.rest(task, &id, stream);
            let lane = self.lanes.entry((id.clone(), stream.word())).or_default();
            let held = std::mem::take(&mut lane.held);
            lane.done = u64::MAX;
            if !held.is_empty() {
                let line = if self.many { [held, vec![b'\n']].concat() } else { held };
                self.print(&id, stream, &line);
            }
        }
    }

    fn rest(&mut self, task: &Value, id: &str, stream: Stream) {
        let bytes = kept(task, stream.word());
        let told = out::at(task, &format!("output.{}", stream.word()));
        let total = out::at(told, "bytes").as_u64().unwrap_or(bytes.len() as u64);
        let whole = bytes.len() as u64;
        let head = out::at(told, "head").as_u64().unwrap_or(whole).min(whole);
        let done = self.lanes.entry((id.to_owned(), stream.word())).or_default().done;
        let from = |place: u64| bytes.get(usize::try_from(place).unwrap_or(usize::MAX)..).unwrap_or_default();
        let until = usize::try_from(head.saturating_sub(done)).unwrap_or(0);
        let first = from(done).get(..until).unwrap_or_default();
        self.take(id, stream, first);
        // Kept bytes beyond the head are the end of the stream.
        let tail_begins = total.saturating_sub(whole - head);
        let reached = done.max(head);
        if reached < tail_begins {
            let lost = tail_begins - reached;
            out::note(&format!("{}: {lost} bytes of {} were not kept", host_name(task), stream.word()));
        }
        let skip = reached.saturating_sub(tail_begins);
        if head < whole {
            self.take(id, stream, from(head + skip.min(whole - head)));
        }
    }

    fn take(&mut self, id: &str, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let many = self.many;
        let lane = self.lanes.entry((id.to_owned(), stream.word())).or_default();
        lane.done = lane.done.saturating_add(bytes.len() as u64);
        lane.held.extend_from_slice(bytes);
        let ready = match many {
            true => whole_lines(&lane.held),
            false if stream.is_terminal() => whole_characters(&lane.held),
            false => lane.held.len(),
        };
        let rest = lane.held.split_off(ready);
        let ready = std::mem::replace(&mut lane.held, rest);
        self.print(id, stream, &ready);
    }

    fn print(&self, id: &str, stream: Stream, bytes: &[u8]) {
        let safe = if stream.is_terminal() { shown_bytes(bytes).into_bytes() } else { bytes.to_vec() };
        let name = self.names.get(id).map_or(id, String::as_str);
        let text = match self.many {
            true => safe.split_inclusive(|byte| *byte == b'\n').fold(Vec::new(), |mut text, line| {
                text.extend_from_slice(name.as_bytes());
                text.extend_from_slice(b": ");
                text.extend_from_slice(line);
                text
            }),
            false => safe,
        };
        stream.write(&text);
    }
}

/// How many bytes are whole lines; all where a line does not end.
fn whole_lines(bytes: &[u8]) -> usize {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    if bytes.len() - end > LINE_BYTES_MAX { bytes.len() } else { end }
}

/// How many bytes are whole characters: a piece may end within one.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => {
            let tail = bytes.len().saturating_sub(3);
            // After bytes that are no text the end may still be cut within a character.
            let cut = bytes.iter().enumerate().skip(tail).find(|(place, byte)| {
                let length = match **byte {
                    0xc2..=0xdf => 2,
                    0xe0..=0xef => 3,
                    0xf0..=0xf4 => 4,
                    _ => 1,
                };
                place + length > bytes.len()
            });
            cut.map_or(bytes.len(), |(place, _)| place)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_with_lines_or_with_characters() {
        assert_eq!(whole_lines(b"a\nb"), 2);
        assert_eq!(whole_lines(b"ab"), 0);
        assert_eq!(whole_lines(&vec![b'x'; LINE_BYTES_MAX + 1]), LINE_BYTES_MAX + 1);
        for (text, whole) in [
            (&b"a\xc3\xa9"[..], 3),
            (b"a\xc3", 1),
            (b"\xff\xf0\x9f\x98", 1),
            (b"\xff\xf0\x9f\x98\x80", 5),
            (b"\xff\x80", 2),
            (b"", 0),
        ] {
            assert_eq!(whole_characters(text), whole, "{text:?}");
        }
    }
}
