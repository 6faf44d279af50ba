//! What handlers take in: bodies, queries, path segments, pages.
//!
//! Owns the extractors and their limits. Invariant: whatever a handler gets was parsed into its type, whole and in time;
//! what does not parse is a problem body, never a guess.

use crate::problem::Problem;
use crate::strict;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use legator_core::error::Failure;
use serde::de::DeserializeOwned;
use std::str::FromStr;
use std::time::Duration;

/// The largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// A body has to be whole after so long.
const BODY_TIME: Duration = Duration::from_secs(5);

/// A JSON body.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        must_be_json(&parts.headers)?;
        let bytes = whole(&parts.headers, body).await?;
        Ok(Self(strict::read(&bytes)?))
    }
}

/// A JSON body that may be left out.
#[derive(Debug, Clone)]
pub struct MaybeJson<T>(pub T);

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = whole(&parts.headers, body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        must_be_json(&parts.headers)?;
        // As the document says: nothing, or null, is the same as leaving it out.
        if bytes.trim_ascii() == b"null" {
            return Ok(Self(T::default()));
        }
        Ok(Self(strict::read(&bytes)?))
    }
}

/// All bytes of a body, at most `BODY_BYTES_MAX`, not encoded, in time.
pub async fn whole(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    if headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        let detail = "a body with a content encoding is not taken";
        return Err(Problem::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded-body", detail));
    }
    let too_large = || {
        let detail = format!("a body has at most {BODY_BYTES_MAX} bytes");
        Problem::http(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
    };
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(too_large()),
        Ok(Err(_)) => {
            Err(Problem::http(StatusCode::BAD_REQUEST, "broken-body", "the body did not arrive whole"))
        }
        Err(_) => {
            let detail = "the body did not arrive in time";
            Err(Problem::http(StatusCode::REQUEST_TIMEOUT, "slow-body", detail))
        }
    }
}

fn is_limit(error: &axum::Error) -> bool {
    use std::error::Error as _;
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = inner.source();
    }
    false
}

fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let essence = |value: &str| value.split(';').next().map(|part| part.trim().to_ascii_lowercase());
    let kind = all.next().and_then(|value| value.to_str().ok()).and_then(essence);
    match (kind.as_deref(), all.next()) {
        (Some("application/json"), None) => Ok(()),
        _ => {
            let detail = "the body has to be sent as Content-Type: application/json";
            Err(Problem::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail))
        }
    }
}

/// The query; members that `T` does not know are refused by it.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<S: Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let bad = |why: String| {
            Problem::from(Failure::invalid("bad-query", format!("the query does not fit: {why}")))
        };
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(bad("a text with a NUL".into()));
        }
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        read.map(|axum::extract::Query(query)| Self(query)).map_err(|error| bad(error.body_text()))
    }
}

/// The one segment of the path that names a thing. What is no id names nothing: 404.
#[derive(Debug, Clone, Copy)]
pub struct Id<T>(pub T);

impl<S: Send + Sync, T: FromStr + Send> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let nothing = || Problem::from(Failure::not_found("thing"));
        let axum::extract::Path(text) = text.map_err(|_| nothing())?;
        text.parse().map(Self).map_err(|_| nothing())
    }
}

/// A note or reason of a person: at most 500 characters, none of which controls a terminal.
pub fn check_note(text: Option<&str>) -> Result<(), Failure> {
    let fits = text.is_none_or(|text| {
        text.chars().count() <= 500 && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
    });
    match fits {
        true => Ok(()),
        false => {
            Err(Failure::invalid("bad-text", "a note is at most 500 characters, without control characters"))
        }
    }
}

/// A name that people read: 1 to 100 characters, nothing that hides or turns text.
pub fn check_name(text: &str) -> Result<(), Failure> {
    let plain = |c: char| c == ' ' || (!c.is_whitespace() && !c.is_control() && !is_format(c));
    let fits = (1..=100).contains(&text.chars().count()) && text.chars().all(plain) && text.trim() == text;
    match fits {
        true => Ok(()),
        false => {
            Err(Failure::invalid("bad-name", "a name is 1 to 100 characters, without control characters"))
        }
    }
}

/// Characters that are not seen and change how their neighbours look (Unicode's Cf as far as it turns or hides text).
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Labels: at most 64, keys and values in the grammar of selectors.
pub fn check_labels(labels: &std::collections::BTreeMap<String, String>) -> Result<(), Failure> {
    let part = |text: &str, max: usize| {
        text.len() <= max && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
    };
    let reserved = ["id", "name", "level", "os", "status", "cage"];
    let fits = |(key, value): (&String, &String)| {
        !key.is_empty() && part(key, 63) && part(value, 253) && !reserved.contains(&key.as_str())
    };
    match labels.len() <= 64 && labels.iter().all(fits) {
        true => Ok(()),
        false => Err(Failure::invalid("bad-labels", "labels are at most 64 pairs of letters, digits and -_./")
            .hint("a key has 1 to 63 characters and is none of id, name, level, os, status, cage; a value has at most 253")),
    }
}
