//! Streams of server-sent events (WHATWG HTML §9.2).
//!
//! Owns the frame around a stream: keep-alive, the end at a drain, the end when its caller loses access, and the bound on what waits.
//! Never ends a stream because it is old: it lives as long as what it follows.

use crate::Api;
use crate::auth;
use crate::problem::Problem;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use legator_core::error::Failure;
use legator_gate::Caller;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;

/// How often a reader looks into the store without having been woken: what a lost wake left behind is found then.
pub const SWEEP: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const RECHECK: Duration = Duration::from_secs(5);
const WAITING_MAX: usize = 64;

/// Where a stream's events go. Sending waits for a slow reader; the source then reads the store later, from where it stopped.
#[derive(Debug, Clone)]
pub struct Sink(Sender<Result<Event, Infallible>>);

/// The reader is gone.
#[derive(Debug, Clone, Copy)]
pub struct Gone;

impl Sink {
    /// Sends an event: its kind, its id, its data as JSON.
    pub async fn send(
        &self,
        kind: Option<&str>,
        id: Option<String>,
        data: &impl serde::Serialize,
    ) -> Result<(), Gone> {
        let text = serde_json::to_string(data).unwrap_or_default();
        let event = Event::default().data(text);
        let event = kind.into_iter().fold(event, |event, kind| event.event(kind));
        let event = id.into_iter().fold(event, |event, id| event.id(id));
        self.0.send(Ok(event)).await.map_err(|_| Gone)
    }
}

/// A response that streams what `source` sends, until it ends, the server stops, or the caller has no access any more.
pub fn stream<F, W>(api: &Api, headers: &HeaderMap, caller: &Caller, source: F) -> Response
where
    F: FnOnce(Sink) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let work = source(Sink(sender.clone()));
    let (api, headers, caller) = (api.clone(), headers.clone(), caller.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = work => {}
            () = sender.closed() => {}
            () = api.draining.cancelled() => {}
            () = access_ends(&api, &headers, &caller) => {}
        }
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive).into_response();
    // A proxy that collects a stream before it passes it on makes it useless.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Returns when the key is over or gives other roles than it did: the client signs in again and learns what it may see now.
async fn access_ends(api: &Api, headers: &HeaderMap, caller: &Caller) {
    loop {
        tokio::time::sleep(RECHECK).await;
        match auth::identify(api, headers, caller.trace).await {
            Ok(now) if now.roles == caller.roles => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// The id after which a client resumes: `Last-Event-ID`.
pub fn last_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = headers.get_all("last-event-id").iter();
    let Some(value) = all.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.len() <= 200 && all.next().is_none());
    match text {
        Some("") => Ok(None),
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(Failure::invalid("bad-last-event-id", "Last-Event-ID is none of this stream").into()),
    }
}
