//! One streaming request to a provider.
//!
//! Owns the deadlines and the bounded retries. Never follows a redirect, so a key stays with whom it is for, and reads no proxy from the
//! environment. Invariant: whatever the other side does, it ends.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use legator_core::text;
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::timeout;

use crate::assembly::Assembly;
use crate::frames::{Frames, Framing};
use crate::llm::{Llm, LlmError, Prompt, Reply};

const CONNECT: Duration = Duration::from_secs(10);
const RETRIES_MAX: u32 = 2;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(20);
/// How long more is waited for after the reply is whole: some providers tell the tokens then, some leave the stream open.
const AFTER_THE_END: Duration = Duration::from_secs(2);
const ERROR_BYTES_MAX: usize = 4 * 1024;

/// A client of one provider and model.
pub(crate) struct Http {
    client: Client,
    protocol: &'static Protocol,
    url: String,
    model: String,
    headers: Vec<(&'static str, String)>,
    stall: Duration,
}

/// What a message of a stream says, to put into the assembly.
pub(crate) type Take = fn(&mut Assembly, &Value, &mut (dyn FnMut(&str) + Send)) -> Result<(), LlmError>;

/// How a provider is asked and answers.
pub(crate) struct Protocol {
    /// Where, below the provider's address.
    pub(crate) path: &'static str,
    /// The headers, with this key.
    pub(crate) headers: fn(Option<&str>) -> Vec<(&'static str, String)>,
    /// What this model is sent.
    pub(crate) body: fn(&str, &Prompt) -> Value,
    /// The body in other words, where this refusal asks for them.
    pub(crate) reworded: fn(&LlmError, Value) -> Option<Value>,
    /// How its messages are told apart.
    pub(crate) framing: Framing,
    /// The content types that its streams have.
    pub(crate) kinds: &'static [&'static str],
    /// What a message says.
    pub(crate) take: Take,
}

impl Http {
    /// A client of the provider below this address that takes so long a silence.
    pub(crate) fn new(
        protocol: &'static Protocol,
        (url, model): (&str, &str),
        key: Option<&str>,
        stall: Duration,
    ) -> Result<Self, LlmError> {
        let builder = Client::builder().connect_timeout(CONNECT.min(stall)).no_proxy();
        let builder = builder.redirect(reqwest::redirect::Policy::none()).user_agent("legator");
        let client = builder.build().map_err(|why| LlmError::Unreachable(why.to_string()))?;
        let url = format!("{}{}", url.trim_end_matches('/'), protocol.path);
        Ok(Self { client, protocol, url, model: model.to_owned(), headers: (protocol.headers)(key), stall })
    }

    /// Posts the body and reads the stream to its end.
    async fn stream(&self, body: &Value, said: &mut (dyn FnMut(&str) + Send)) -> Result<Reply, LlmError> {
        let protocol = self.protocol;
        let response = self.begin(body).await?;
        let response = self.is_stream(response).await?;
        let mut frames = Frames::new(protocol.framing);
        let mut assembly = Assembly::default();
        let mut bytes = response.bytes_stream();
        loop {
            let patience = if assembly.finished { AFTER_THE_END.min(self.stall) } else { self.stall };
            let chunk = match timeout(patience, bytes.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                // A whole reply counts, however its stream goes on.
                Ok(Some(Err(_))) | Err(_) if assembly.finished => return assembly.reply(),
                Ok(Some(Err(_))) => return Err(LlmError::CutOff),
                Err(_) => return Err(LlmError::Stalled(self.stall)),
                Ok(None) => {
                    let rest = frames.rest();
                    rest.map(|data| taken(&mut assembly, &data, (protocol, &mut *said))).transpose()?;
                    return assembly.reply();
                }
            };
            frames.push(&chunk)?;
            while let Some(data) = frames.next()? {
                if taken(&mut assembly, &data, (protocol, &mut *said))? {
                    return assembly.reply();
                }
            }
        }
    }

    /// A page or a document is no stream, whatever its status says.
    async fn is_stream(&self, response: Response) -> Result<Response, LlmError> {
        let kind =
            response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind.is_empty() || self.protocol.kinds.contains(&kind.as_str()) {
            return Ok(response);
        }
        let why = self.why(response).await;
        Err(LlmError::Unreadable(format!("it is {}, no stream: {why}", brief(&kind))))
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

impl Llm for Http {
    fn ask<'a>(
        &'a self,
        prompt: &'a Prompt,
        said: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<Reply, LlmError>> {
        async move {
            let body = (self.protocol.body)(&self.model, prompt);
            let refused = match self.stream(&body, said).await {
                Err(refused @ LlmError::Status { .. }) => refused,
                done => return done,
            };
            match (self.protocol.reworded)(&refused, body) {
                Some(other) => self.stream(&other, said).await,
                None => Err(refused),
            }
        }
        .boxed()
    }
}

/// The `Authorization` header of a key.
pub(crate) fn bearer(key: Option<&str>) -> Vec<(&'static str, String)> {
    key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
}

/// A body that is the only one.
pub(crate) fn only(_: &LlmError, _: Value) -> Option<Value> {
    None
}

/// The body with a list of things under this name, unless there are none: some providers refuse an empty list.
pub(crate) fn with(mut body: Value, name: &str, things: Vec<Value>) -> Value {
    if let (Value::Object(body), false) = (&mut body, things.is_empty()) {
        body.insert(name.to_owned(), Value::Array(things));
    }
    body
}

/// Puts one message into the assembly; true when it was the last one.
pub(crate) fn taken(
    assembly: &mut Assembly,
    data: &str,
    (protocol, said): (&Protocol, &mut (dyn FnMut(&str) + Send)),
) -> Result<bool, LlmError> {
    if data == "[DONE]" {
        assembly.finished = true;
        return Ok(true);
    }
    let event: Value = serde_json::from_str(data)
        .map_err(|_| LlmError::Unreadable(format!("an event is no JSON: {}", brief(data))))?;
    if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
        return Err(said_no(error));
    }
    (protocol.take)(assembly, &event, said)?;
    Ok(false)
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
