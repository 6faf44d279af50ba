//! The messages of a stream, put together from pieces of any size.
//!
//! Owns both framings: server-sent events (WHATWG HTML, section 9.2) and lines of JSON. Invariant: a message is handed on once it is whole,
//! and nothing grows without bound.

use crate::llm::LlmError;

const LINE_BYTES_MAX: usize = 512 * 1024;
const STREAM_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How a provider tells its messages apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `data:` lines, ended by an empty line.
    Events,
    /// One message a line.
    Lines,
}

/// Bytes in, messages out.
pub(crate) struct Frames {
    framing: Framing,
    pending: Vec<u8>,
    read: usize,
    data: String,
}

impl Frames {
    pub(crate) const fn new(framing: Framing) -> Self {
        Self { framing, pending: Vec::new(), read: 0, data: String::new() }
    }

    /// Takes in what came.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), LlmError> {
        self.read = self.read.saturating_add(chunk.len());
        if self.read > STREAM_BYTES_MAX {
            return Err(LlmError::TooLong(STREAM_BYTES_MAX));
        }
        self.pending.extend_from_slice(chunk);
        Ok(())
    }

    /// The next whole message.
    pub(crate) fn next(&mut self) -> Result<Option<String>, LlmError> {
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            if line.len() > LINE_BYTES_MAX {
                return Err(LlmError::TooLong(LINE_BYTES_MAX));
            }
            let line = String::from_utf8_lossy(&line);
            if let Some(message) = self.line(line.trim_end_matches(['\n', '\r']))? {
                return Ok(Some(message));
            }
        }
        match self.pending.len() > LINE_BYTES_MAX {
            true => Err(LlmError::TooLong(LINE_BYTES_MAX)),
            false => Ok(None),
        }
    }

    fn line(&mut self, line: &str) -> Result<Option<String>, LlmError> {
        if self.framing == Framing::Lines {
            return Ok((!line.trim().is_empty()).then(|| line.to_owned()));
        }
        if line.is_empty() {
            return Ok((!self.data.is_empty()).then(|| std::mem::take(&mut self.data)));
        }
        if let Some(data) = line.strip_prefix("data:") {
            if self.data.len() + data.len() > LINE_BYTES_MAX {
                return Err(LlmError::TooLong(LINE_BYTES_MAX));
            }
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
        Ok(None)
    }

    /// The last line of a stream that ended without its newline.
    pub(crate) fn rest(&mut self) -> Option<String> {
        let rest = String::from_utf8_lossy(&std::mem::take(&mut self.pending)).trim().to_owned();
        (self.framing == Framing::Lines && !rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(framing: Framing, stream: &[u8], size: usize) -> Result<Vec<String>, LlmError> {
        let mut frames = Frames::new(framing);
        let mut got = Vec::new();
        for chunk in stream.chunks(size) {
            frames.push(chunk)?;
            while let Some(data) = frames.next()? {
                got.push(data);
            }
        }
        got.extend(frames.rest());
        Ok(got)
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() -> Result<(), LlmError> {
        let events = b": hi\r\nevent: x\r\ndata: {\"a\":\r\ndata: \"\xc3\xbc\"}\r\n\r\ndata:[DONE]\n\n";
        let lines = b"{\"a\": \"\xc3\xbc\"}\r\n\n{\"done\": true}";
        for size in 1..events.len() {
            assert_eq!(messages(Framing::Events, events, size)?, ["{\"a\":\n\"ü\"}", "[DONE]"]);
            assert_eq!(messages(Framing::Lines, lines, size)?, ["{\"a\": \"ü\"}", "{\"done\": true}"]);
        }
        Ok(())
    }

    #[test]
    fn a_line_without_end_is_refused() {
        for framing in [Framing::Events, Framing::Lines] {
            let mut frames = Frames::new(framing);
            assert!(frames.push(&vec![b'x'; LINE_BYTES_MAX + 1]).is_ok());
            assert!(frames.next().is_err());
        }
    }
}
