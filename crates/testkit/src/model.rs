//! A scripted language model over real HTTP, in three dialects: OpenAI's chat completions, Anthropic's messages, Ollama's chat.
//!
//! Owns how a provider behaves and misbehaves: streams, tool calls, malformed JSON, silence, 429, a cut connection. Keeps what it was asked.
//! Invariant: it listens on loopback only and ends with its handle.

mod dialect;
mod obedient;

pub use dialect::Dialect;
pub use obedient::Obedient;

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// It sends signs of life without end, and nothing else.
    Pings,
    /// Its stream is one line without end.
    Unbroken,
    /// It answers 200 with this content type and these bytes.
    Body(String, String),
    /// It sends the client elsewhere, with this status.
    Redirect(u16, String),
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
    /// How many bytes are sent at once; zero for whole events.
    piece_bytes: AtomicUsize,
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
        let shared = Arc::new(Shared {
            mind: Mutex::new(Box::new(mind)),
            asked: Mutex::default(),
            piece_bytes: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let router = Router::new()
            .route("/v1/chat/completions", post(openai))
            .route("/v1/messages", post(anthropic))
            .route("/api/chat", post(ollama))
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

    /// Its address for a dialect.
    pub fn url(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::OpenAi => format!("http://{}/v1", self.address),
            Dialect::Anthropic | Dialect::Ollama => format!("http://{}", self.address),
        }
    }

    /// From now on it sends so many bytes at once, wherever its events end.
    pub fn in_pieces_of(&self, bytes: usize) {
        self.shared.piece_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Everything that it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The settings of a brain that uses it, by name.
    pub fn settings(&self) -> impl Fn(&str) -> Option<String> + use<> {
        self.settings_in(Dialect::OpenAi)
    }

    /// The same, in a dialect.
    pub fn settings_in(&self, dialect: Dialect) -> impl Fn(&str) -> Option<String> + use<> {
        let url = self.url(dialect);
        move |name| match name {
            "LEGATOR_LLM_PROVIDER" => Some(dialect.word().to_owned()),
            "LEGATOR_LLM_URL" => Some(url.clone()),
            "LEGATOR_LLM_MODEL" => Some("scripted".to_owned()),
            "LEGATOR_LLM_KEY" => (dialect == Dialect::Anthropic).then(|| "scripted-key".to_owned()),
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
    perform(&shared, play, Dialect::OpenAi).await
}

async fn anthropic(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let play = decide(&shared, "/v1/messages", headers.get("x-api-key"), &body);
    perform(&shared, play, Dialect::Anthropic).await
}

async fn ollama(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let play = decide(&shared, "/api/chat", headers.get("authorization"), &body);
    perform(&shared, play, Dialect::Ollama).await
}

fn decide(shared: &Shared, path: &str, credential: Option<&axum::http::HeaderValue>, body: &[u8]) -> Play {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let credential = credential.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let play = (shared.mind.lock().unwrap_or_else(PoisonError::into_inner))(&body);
    let asked = Asked { path: path.to_owned(), credential, body };
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    play
}

async fn perform(shared: &Shared, play: Play, dialect: Dialect) -> Response {
    match &play {
        Play::Silence => std::future::pending().await,
        Play::TooMany(after) => {
            let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", (*after).into());
            }
            response
        }
        Play::Status(code, body) => (status(*code), body.clone()).into_response(),
        Play::Redirect(code, to) => (status(*code), [("location", to.clone())]).into_response(),
        Play::Body(kind, body) => ([("content-type", kind.clone())], body.clone()).into_response(),
        _ => events(&play, dialect, shared.piece_bytes.load(Ordering::Relaxed)),
    }
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The events one by one, so that the client sees a stream; then what the play does at its end.
fn events(play: &Play, dialect: Dialect, piece_bytes: usize) -> Response {
    let events = dialect.events(play);
    let pieces: Vec<Bytes> = match piece_bytes {
        0 => events.into_iter().map(Bytes::from).collect(),
        bytes => events.concat().as_bytes().chunks(bytes).map(Bytes::copy_from_slice).collect(),
    };
    let pieces = stream::iter(pieces).then(|piece| async move {
        tokio::task::yield_now().await;
        Ok::<_, std::io::Error>(piece)
    });
    let for_ever = |piece: String| stream::repeat(Bytes::from(piece)).map(Ok::<_, Infallible>);
    let body = match play {
        Play::Stall(_) => Body::from_stream(pieces.chain(stream::pending())),
        Play::CutOff(_) => {
            let broken = stream::once(async { Err(std::io::Error::other("cut")) });
            Body::from_stream(pieces.chain(broken))
        }
        Play::Endless => Body::from_stream(for_ever(dialect.word_piece(&"word ".repeat(100)))),
        Play::Unbroken => Body::from_stream(for_ever("x".repeat(16 * 1024))),
        Play::Pings => Body::from_stream(for_ever(dialect.ping().to_owned()).then(|ping| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            ping
        })),
        _ => Body::from_stream(pieces),
    };
    ([("content-type", dialect.content_type())], body).into_response()
}
