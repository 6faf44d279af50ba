//! One streaming request to a provider.
//!
//! Owns the deadlines, the bounded retries and the reading of server-sent events (WHATWG HTML, section 9.2). Never follows a redirect, so a
//! key stays with whom it is for, and reads no proxy from the environment. Invariant: whatever the other side does, it ends.

use std::time::Duration;

use futures::StreamExt;
use legator_core::text;
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::timeout;

use crate::assembly::Assembly;
use crate::llm::{LlmError, Reply};

const CONNECT: Duration = Duration::from_secs(10);
const RETRIES_MAX: u32 = 2;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(20);
const LINE_BYTES_MAX: usize = 512 * 1024;
const STREAM_BYTES_MAX: usize = 8 * 1024 * 1024;
const ERROR_BYTES_MAX: usize = 4 * 1024;

/// A client of one provider.
pub(crate) struct Http {
    client: Client,
    url: String,
    headers: Vec<(&'static str, String)>,
    stall: Duration,
}

/// What an event of a stream says, to put into the assembly.
pub(crate) type Take = fn(&mut Assembly, &Value, &mut (dyn FnMut(&str) + Send)) -> Result<(), LlmError>;

impl Http {
    /// A client that posts to this address and takes so long a silence.
    pub(crate) fn new(
        url: String,
        headers: Vec<(&'static str, String)>,
        stall: Duration,
    ) -> Result<Self, LlmError> {
        let builder = Client::builder().connect_timeout(CONNECT.min(stall)).no_proxy();
        let builder = builder.redirect(reqwest::redirect::Policy::none()).user_agent("legator");
        let client = builder.build().map_err(|why| LlmError::Unreachable(why.to_string()))?;
        Ok(Self { client, url, headers, stall })
    }

    /// Posts the body and reads the stream to its end.
    pub(crate) async fn stream(
        &self,
        body: &Value,
        take: Take,
        said: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Reply, LlmError> {
        let response = self.begin(body).await?;
        let mut events = Events::default();
        let mut assembly = Assembly::default();
        let mut bytes = response.bytes_stream();
        loop {
            let next = timeout(self.stall, bytes.next()).await.map_err(|_| LlmError::Stalled(self.stall))?;
            let chunk = match next {
                Some(Ok(chunk)) => chunk,
                Some(Err(_)) => return Err(LlmError::CutOff),
                None => return assembly.reply(),
            };
            events.push(&chunk)?;
            while let Some(data) = events.next()? {
                if data == "[DONE]" {
                    assembly.finished = true;
                    return assembly.reply();
                }
                let event: Value = serde_json::from_str(&data)
                    .map_err(|_| LlmError::Unreadable(format!("an event is no JSON: {}", brief(&data))))?;
                if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
                    return Err(said_no(error));
                }
                take(&mut assembly, &event, said)?;
            }
        }
    }

    async fn begin(&self, body: &Value) -> Result<Response, LlmError> {
        let mut tries = 0;
        loop {
            let mut request = self.client.post(&self.url).json(body);
            for (name, value) in &self.headers {
                request = request.header(*name, value);
            }
            let sent =
                timeout(self.stall, request.send()).await.map_err(|_| LlmError::Stalled(self.stall))?;
            let response = sent.map_err(|why| LlmError::Unreachable(plain(&why)))?;
            let status = response.status().as_u16();
            if status == 200 {
                return Ok(response);
            }
            let after = retry_after(&response);
            if !matches!(status, 429 | 503 | 529) {
                return Err(LlmError::Status { status, detail: self.why(response).await });
            }
            let wait = after.unwrap_or(Duration::from_secs(1) * (tries + 1));
            if tries >= RETRIES_MAX || wait > RETRY_AFTER_MAX {
                return Err(LlmError::RateLimited { after });
            }
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    /// What a refusal says, cut and without credentials.
    async fn why(&self, response: Response) -> String {
        let mut stream = response.bytes_stream();
        let mut body = Vec::new();
        while let Ok(Some(Ok(chunk))) = timeout(Duration::from_secs(5), stream.next()).await {
            body.extend_from_slice(&chunk);
            if body.len() >= ERROR_BYTES_MAX {
                break;
            }
        }
        body.truncate(ERROR_BYTES_MAX);
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = value.pointer("/error/message").or_else(|| value.get("error")).and_then(Value::as_str);
        brief(&message.map_or_else(|| String::from_utf8_lossy(&body).into_owned(), str::to_owned))
    }
}

fn said_no(error: &Value) -> LlmError {
    let message =
        error.get("message").and_then(Value::as_str).or_else(|| error.as_str()).unwrap_or("no reason given");
    LlmError::Status { status: 200, detail: brief(message) }
}

fn brief(message: &str) -> String {
    text::redact(&text::shown_line(&text::brief(message, 300)))
}

/// Why a request failed, without the address, which may hold a key.
fn plain(why: &reqwest::Error) -> String {
    let kind = if why.is_connect() { "no connection" } else { "no answer" };
    kind.to_owned()
}

fn retry_after(response: &Response) -> Option<Duration> {
    let header = response.headers().get("retry-after")?.to_str().ok()?;
    header.trim().parse().ok().map(Duration::from_secs)
}

/// The `data` of server-sent events, put together from pieces of any size.
#[derive(Default)]
struct Events {
    pending: Vec<u8>,
    read: usize,
    data: String,
}

impl Events {
    fn push(&mut self, chunk: &[u8]) -> Result<(), LlmError> {
        self.read += chunk.len();
        if self.read > STREAM_BYTES_MAX || self.pending.len() + chunk.len() > STREAM_BYTES_MAX {
            return Err(LlmError::TooLong(STREAM_BYTES_MAX));
        }
        self.pending.extend_from_slice(chunk);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<String>, LlmError> {
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if !self.data.is_empty() {
                    return Ok(Some(std::mem::take(&mut self.data)));
                }
                continue;
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
        }
        match self.pending.len() > LINE_BYTES_MAX {
            true => Err(LlmError::TooLong(LINE_BYTES_MAX)),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_they_are_cut() -> Result<(), LlmError> {
        let stream = b": hi\r\nevent: x\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata:[DONE]\n\n";
        for size in 1..stream.len() {
            let mut events = Events::default();
            let mut got = Vec::new();
            for chunk in stream.chunks(size) {
                events.push(chunk)?;
                while let Some(data) = events.next()? {
                    got.push(data);
                }
            }
            assert_eq!(got, ["{\"a\":\n1}", "[DONE]"]);
        }
        Ok(())
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut events = Events::default();
        assert!(events.push(&vec![b'x'; LINE_BYTES_MAX + 1]).is_ok());
        assert!(events.next().is_err());
    }
}
