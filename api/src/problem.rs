//! How a failure is told over HTTP: problem bodies after RFC 9457.
//!
//! Owns the one table from kinds to statuses and the middleware that gives every error, also the framework's own, the same form.
//! Invariant: no response of 400 or above leaves without a problem body, and none carries internal text.

use crate::hints;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use legator_core::error::{ErrorKind, Failure};
use legator_core::ids::TraceId;
use serde::Serialize;

/// A failure on its way out, with the status that it has on this door.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    failure: Failure,
}

/// The body of a problem.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `urn:legator:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of failure, in words.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, in a sentence.
    detail: String,
    /// `urn:legator:request:` and the trace of this request, as in the server's log.
    instance: String,
    /// A stable word for programs.
    code: String,
    /// What to do about it.
    hint: String,
    /// The rule that refused, where a policy did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rule: Option<String>,
}

/// The status of each kind.
pub const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden | ErrorKind::Refused => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Expired => StatusCode::GONE,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Problem {
    /// A problem with a status of HTTP's own, such as 415, that no kind has.
    pub fn http(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, failure: Failure::invalid(code, detail) }
    }

    /// A fault of ours: `context` goes to the log, never to the client.
    pub fn internal(context: &dyn std::fmt::Display) -> Self {
        tracing::error!(%context, "internal fault");
        let detail =
            "something went wrong inside Legator; its log has the particulars under this request's id";
        Failure::new(ErrorKind::Internal, "internal", detail).into()
    }

    /// The same, saying what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.failure = self.failure.hint(hint);
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    fn body(&self, trace: TraceId) -> ProblemBody {
        let Failure { code, detail, hint, rule, .. } = self.failure.clone();
        ProblemBody {
            kind: format!("urn:legator:problem:{code}"),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail,
            instance: format!("urn:legator:request:{trace}"),
            code: code.to_owned(),
            hint: hint.unwrap_or_else(|| hints::hint(code, self.status).to_owned()),
            rule,
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        if failure.kind == ErrorKind::Internal {
            tracing::error!(code = failure.code, detail = %failure.detail, "internal fault");
        }
        Self { status: status(failure.kind), failure }
    }
}

impl From<legator_store::StoreError> for Problem {
    fn from(error: legator_store::StoreError) -> Self {
        Failure::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every response of 400 or above its problem body, whoever made it.
pub async fn shape(request: Request, next: Next) -> Response {
    let trace = request.extensions().get::<TraceId>().copied().unwrap_or(TraceId::new(0));
    let response = next.run(request).await;
    if response.status().as_u16() < 400 || response.extensions().get::<Finished>().is_some() {
        return response;
    }
    let problem = response.extensions().get::<Problem>().cloned();
    write(problem.unwrap_or_else(|| of_status(response.status())), response, trace)
}

/// Marks a response whose error body is already in its final form, such as a replayed one.
#[derive(Debug, Clone, Copy)]
pub struct Finished;

fn write(problem: Problem, old: Response, trace: TraceId) -> Response {
    let body = serde_json::to_vec(&problem.body(trace)).unwrap_or_default();
    let mut response = (problem.status, body).into_response();
    for kept in [header::ALLOW, header::RETRY_AFTER, header::CONNECTION] {
        if let Some(value) = old.headers().get(&kept) {
            response.headers_mut().insert(kept, value.clone());
        }
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"legator\""));
    }
    if problem.status == StatusCode::REQUEST_TIMEOUT {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What the framework says by a bare status.
fn of_status(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => ("no-route", "there is nothing at this address"),
        StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "this address does not take this method"),
        StatusCode::PAYLOAD_TOO_LARGE => ("body-too-large", "the body is larger than this address takes"),
        StatusCode::INTERNAL_SERVER_ERROR => ("internal", "something went wrong inside Legator"),
        _ => ("bad-request", "the request is not well formed"),
    };
    Problem::http(status, code, detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_refusal_names_its_rule_and_a_fault_of_ours_says_nothing() {
        let refused = Failure::new(ErrorKind::Refused, "policy-refused", "no").rule("freeze").hint("wait");
        let body = serde_json::to_value(Problem::from(refused).body(TraceId::new(5))).unwrap();
        assert_eq!(body["status"], 403);
        assert_eq!(body["rule"], "freeze");
        assert_eq!(body["type"], "urn:legator:problem:policy-refused");
        let fault = Problem::internal(&"password=hunter2");
        assert!(!serde_json::to_string(&fault.body(TraceId::new(5))).unwrap().contains("hunter2"));
    }
}
