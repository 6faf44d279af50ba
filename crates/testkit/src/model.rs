//! A scripted language model over real HTTP, in two dialects: OpenAI's chat completions and Anthropic's messages.
//!
//! Owns how a provider behaves and misbehaves: streams, tool calls, malformed JSON, silence, 429, a cut connection. Keeps what it was asked.
//! Invariant: it listens on loopback only and ends with its handle.

mod dialect;
mod obedient;

pub use obedient::Obedient;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::stream::{self, StreamExt};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// What the model does when it is asked once.
#[derive(Debug, Clone, PartialEq)]
pub enum Play {
    /// It says this.
    Text(String),
    /// It calls tools: name and arguments; and says something before.
    Calls(String, Vec<(String, Value)>),
    /// It calls a tool with these bytes as arguments, whether they are JSON or not.
    RawCall(String, String),
    /// Its stream holds this line of data.
    RawEvent(String),
    /// It says this and then nothing, with the stream open.
    Stall(String),
    /// It takes the request and never answers.
    Silence,
    /// It says this and closes the connection before the end.
    CutOff(String),
    /// It says that it is asked too often, with this `retry-after`.
    TooMany(Option<u64>),
    /// It answers this status with this body.
    Status(u16, String),
    /// It talks without end.
    Endless,
}

impl Play {
    /// It calls one tool.
    pub fn call(tool: &str, args: Value) -> Self {
        Self::Calls(String::new(), vec![(tool.to_owned(), args)])
    }

    /// It says this.
    pub fn say(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// One request as the model got it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The credential, as the header holds it.
    pub credential: Option<String>,
    /// The body.
    pub body: Value,
}

type Mind = Box<dyn FnMut(&Value) -> Play + Send>;

struct Shared {
    mind: Mutex<Mind>,
    asked: Mutex<Vec<Asked>>,
}

/// A running model.
pub struct Model {
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Model {
    /// A model that plays these in order, the last one for ever.
    pub async fn scripted(plays: Vec<Play>) -> std::io::Result<Self> {
        let mut next = 0;
        Self::start(move |_| {
            let play = plays.get(next.min(plays.len().saturating_sub(1))).cloned();
            next += 1;
            play.unwrap_or(Play::Silence)
        })
        .await
    }

    /// A model that decides by what it is asked.
    pub async fn start(mind: impl FnMut(&Value) -> Play + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { mind: Mutex::new(Box::new(mind)), asked: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let router = Router::new()
            .route("/v1/chat/completions", post(openai))
            .route("/v1/messages", post(anthropic))
            .with_state(shared.clone());
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            tokio::select! {
                () = stopped => {}
                served = axum::serve(listener, router).into_future() => drop(served),
            }
        });
        Ok(Self { address, shared, stop })
    }

    /// Its address for OpenAI's dialect.
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Its address for Anthropic's dialect.
    pub fn anthropic_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The settings of a brain that uses it, by name.
    pub fn settings(&self) -> impl Fn(&str) -> Option<String> + use<> {
        let url = self.openai_url();
        move |name| match name {
            "LEGATOR_LLM_PROVIDER" => Some("openai".to_owned()),
            "LEGATOR_LLM_URL" => Some(url.clone()),
            "LEGATOR_LLM_MODEL" => Some("scripted".to_owned()),
            _ => None,
        }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn openai(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let play = decide(&shared, "/v1/chat/completions", headers.get("authorization"), &body);
    perform(play, dialect::openai).await
}

async fn anthropic(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let play = decide(&shared, "/v1/messages", headers.get("x-api-key"), &body);
    perform(play, dialect::anthropic).await
}

fn decide(shared: &Shared, path: &str, credential: Option<&axum::http::HeaderValue>, body: &[u8]) -> Play {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let credential = credential.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let play = (shared.mind.lock().unwrap_or_else(PoisonError::into_inner))(&body);
    let asked = Asked { path: path.to_owned(), credential, body };
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    play
}

type Dialect = fn(&Play) -> Vec<String>;

async fn perform(play: Play, dialect: Dialect) -> Response {
    match &play {
        Play::Silence => std::future::pending().await,
        Play::TooMany(after) => {
            let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", (*after).into());
            }
            response
        }
        Play::Status(status, body) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, body.clone()).into_response()
        }
        _ => events(&play, dialect(&play)),
    }
}

/// The events one by one, so that the client sees a stream; then what the play does at its end.
fn events(play: &Play, events: Vec<String>) -> Response {
    let pieces = stream::iter(events).then(|event| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok::<_, std::io::Error>(Bytes::from(event))
    });
    let body = match play {
        Play::Stall(_) => Body::from_stream(pieces.chain(stream::pending())),
        Play::CutOff(_) => {
            let broken = stream::once(async { Err(std::io::Error::other("cut")) });
            Body::from_stream(pieces.chain(broken))
        }
        Play::Endless => {
            let piece = dialect::openai_text(&"word ".repeat(100));
            Body::from_stream(stream::repeat(piece).map(|piece| Ok::<_, Infallible>(Bytes::from(piece))))
        }
        _ => Body::from_stream(pieces),
    };
    ([("content-type", "text/event-stream")], body).into_response()
}
