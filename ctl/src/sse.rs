//! Server-sent events (WHATWG HTML §9.2), resumed by their last id when the connection breaks.
//!
//! Owns the reader. Bounded: one event is at most 2 MiB, and a stream that cannot be resumed ends with a fault.

use crate::client::Client;
use crate::exit::{Exit, Fault};
use reqwest::{Method, Response};
use std::time::Duration;

const EVENT_BYTES_MAX: usize = 2 * 1024 * 1024;
const ATTEMPTS_MAX: u32 = 10;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its kind; `message` when the server names none.
    pub kind: String,
    /// Its data.
    pub data: String,
    /// Its id.
    pub id: Option<String>,
}

/// Lines in, events out.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    event: Event,
}

impl Parser {
    /// Takes in bytes and gives the events that they complete; `None` when an event grows too large.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Vec<Event>> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.trim_end_matches(['\n', '\r'])));
        }
        (self.buffer.len() + self.event.data.len() <= EVENT_BYTES_MAX).then_some(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let done = std::mem::take(&mut self.event);
            return (!done.data.is_empty() || !done.kind.is_empty()).then_some(done);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

/// A stream that comes back where it broke off.
pub struct Stream {
    client: Client,
    path: String,
    last: Option<String>,
    open: Option<Response>,
    parser: Parser,
    ready: std::collections::VecDeque<Event>,
    attempts: u32,
}

impl Stream {
    /// The stream at this path, after the event of this id.
    pub fn new(client: &Client, path: &str, last: Option<String>) -> Self {
        let (client, path) = (client.clone(), path.to_owned());
        Self {
            client,
            path,
            last,
            open: None,
            parser: Parser::default(),
            ready: Default::default(),
            attempts: 0,
        }
    }

    /// The next event. A stream that the server ended is opened again after the last event.
    pub async fn next(&mut self) -> Result<Event, Fault> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if event.id.is_some() {
                    self.last.clone_from(&event.id);
                }
                self.attempts = 0;
                return Ok(event);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Fault> {
        let response = match self.open.take() {
            Some(response) => response,
            None => self.connect().await?,
        };
        self.read(response).await
    }

    async fn read(&mut self, mut response: Response) -> Result<(), Fault> {
        match response.chunk().await {
            Ok(Some(bytes)) => {
                let events = self
                    .parser
                    .push(&bytes)
                    .ok_or_else(|| Fault::failed("the stream holds an event over 2 MiB"))?;
                self.ready.extend(events);
                self.open = Some(response);
            }
            // The end and a cut are one: go on after the last event.
            Ok(None) | Err(_) => self.parser = Parser::default(),
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<Response, Fault> {
        loop {
            let mut request =
                self.client.request(Method::GET, &self.path).header("accept", "text/event-stream");
            if let Some(last) = &self.last {
                request = request.header("last-event-id", last);
            }
            self.attempts += 1;
            match self.client.send(request).await {
                Err(fault) if fault.exit == Exit::Unreachable && self.attempts < ATTEMPTS_MAX => {
                    let wait = Duration::from_millis(100 * u64::from(2u32.pow(self.attempts.min(6))));
                    tokio::time::sleep(wait).await;
                }
                Ok(_) if self.attempts >= ATTEMPTS_MAX => {
                    return Err(Fault::failed("the stream ends again and again"));
                }
                answer => return answer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_come_whole_whatever_the_pieces() {
        let text = ": hello\n\nid: 7\nevent: task\ndata: {\"a\":1}\n\ndata: x\ndata: y\n\n";
        let expected = vec![
            Event { kind: "task".into(), data: "{\"a\":1}".into(), id: Some("7".into()) },
            Event { data: "x\ny".into(), ..Event::default() },
        ];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let events: Vec<Event> =
                text.as_bytes().chunks(size).flat_map(|piece| parser.push(piece).unwrap()).collect();
            assert_eq!(events, expected, "pieces of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        assert!(parser.push(&vec![b'x'; EVENT_BYTES_MAX + 1]).is_none());
    }
}
