//! Requests that are sent twice with the same `Idempotency-Key` act once.
//!
//! Owns the header and the replayed answer. Never keeps an answer that shows a secret: a repeat of such a request is told that it was done.
//! Invariant: a key stands for one method, address and body of one caller; with another it is refused.

use crate::auth::identify;
use crate::problem::{Finished, Problem};
use crate::{Api, input};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use legator_core::digest::Digest;
use legator_core::error::Failure;
use legator_core::ids::TraceId;
use legator_store::idempotency::{self, Begun, Key};

/// The largest answer that is kept, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Stands for an answer that is not kept; no JSON is this text.
const NOT_KEPT: &str = "not kept";
const KEY_BYTES_MAX: usize = 200;

/// On an answer that shows a secret: it is not kept.
#[derive(Debug, Clone, Copy)]
pub struct ShownOnce;

/// Lets a request through once for each key.
pub async fn once(State(api): State<Api>, request: Request, next: Next) -> Response {
    let is_act = !matches!(*request.method(), Method::GET | Method::HEAD);
    match request.headers().contains_key("idempotency-key") && is_act {
        true => guarded(api, request, next).await.unwrap_or_else(IntoResponse::into_response),
        false => next.run(request).await,
    }
}

async fn guarded(api: Api, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let key = key(&parts.headers)?;
    let trace = parts.extensions.get::<TraceId>().copied().unwrap_or(TraceId::new(0));
    let caller = identify(&api, &parts.headers, trace).await?;
    let bytes = input::whole(&parts.headers, body).await?;
    let query = parts.uri.query().unwrap_or_default();
    let content = Digest::of_parts(&[query.as_bytes(), b"\0", &bytes]);
    let route = format!("{} {}", parts.method, parts.uri.path());
    let scope = Key { tenant: caller.tenant, person: caller.person, route, key };
    match idempotency::begin(&api.store, &scope, &content).await? {
        Begun::New => {}
        Begun::Running => {
            return Err(Failure::conflict(
                "still-running",
                "the first request with this key is not done yet",
            )
            .into());
        }
        Begun::Other => {
            let failure = Failure::invalid("key-reused", "this Idempotency-Key was used for another request");
            return Err(failure.hint("make a fresh key for each request").into());
        }
        Begun::Answered { status, answer } => return replay(status, answer),
    }
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    remember(&api, &scope, response).await
}

fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut all = headers.get_all("idempotency-key").iter();
    let text = all.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fits = (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    match fits && all.next().is_none() {
        true => Ok(text.to_owned()),
        false => Err(Failure::invalid(
            "bad-idempotency-key",
            "an Idempotency-Key is 1 to 200 visible ASCII characters",
        )
        .into()),
    }
}

fn replay(status: u16, answer: String) -> Result<Response, Problem> {
    if answer == NOT_KEPT {
        let failure = Failure::conflict(
            "answered-once",
            "this request was done; its answer was shown once and is not kept",
        );
        return Err(failure.into());
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    let mut response = (status, answer).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response.extensions_mut().insert(Finished);
    Ok(response)
}

/// Keeps the answer of an act that was done. A failure leaves the key free, so that the same request can be sent again.
async fn remember(api: &Api, scope: &Key, response: Response) -> Result<Response, Problem> {
    if !response.status().is_success() {
        idempotency::abandon(&api.store, scope).await?;
        return Ok(response);
    }
    let status = response.status().as_u16();
    if response.extensions().get::<ShownOnce>().is_some() {
        idempotency::finish(&api.store, scope, status, NOT_KEPT).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 8 << 20).await.map_err(|error| Problem::internal(&error))?;
    let text = std::str::from_utf8(&bytes).ok().filter(|text| text.len() <= ANSWER_BYTES_MAX);
    idempotency::finish(&api.store, scope, status, text.unwrap_or(NOT_KEPT)).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}
