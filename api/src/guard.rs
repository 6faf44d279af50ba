//! Who may speak to this server at all, before anyone asks who they are.
//!
//! Owns the checks of `Host` (against DNS rebinding), of `Origin` and `Sec-Fetch-Site` (against foreign pages), the request's
//! trace id and the headers that every answer carries. Never reads `X-Forwarded-*` or any other header that names the caller.
//! Invariant: a page of another origin gets nothing from any route, WebSockets included.

use crate::Api;
use crate::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use legator_core::ids::TraceId;
use std::net::IpAddr;

/// The header in which the trace id goes out.
pub const TRACE_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The names under which this server may be addressed.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Host names, lower case, without port, besides the loopback ones.
    pub hosts: Vec<String>,
    /// Any address is a name of ours: true when it listens beyond loopback, where an address cannot be rebound.
    pub any_address: bool,
}

impl Names {
    /// Whether `authority` (`name`, `name:port`, `[address]:port`) is one of ours.
    pub fn has(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let host = host.to_ascii_lowercase();
        if host == "localhost" || self.hosts.contains(&host) {
            return true;
        }
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host);
        bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || self.any_address)
    }
}

/// The host of an authority; `None` when it is none, or names a user.
fn host_of(authority: &str) -> Option<&str> {
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let (host, port) = match authority.rfind(':') {
        Some(at) if !authority.ends_with(']') => (authority.get(..at)?, authority.get(at + 1..)?),
        _ => (authority, "1"),
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    (digits && port.parse::<u16>().is_ok()).then_some(host)
}

/// The outermost layer: a trace id, and the headers that every answer carries.
pub async fn stand(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let trace = TraceId::fresh(api.store.ids());
    request.extensions_mut().insert(trace);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    if let Ok(value) = HeaderValue::from_str(&trace.to_string()) {
        headers.insert(TRACE_HEADER, value);
    }
    response
}

/// Lets nobody in who addresses another server or speaks for a foreign page.
pub async fn check_request(State(api): State<Api>, request: Request, next: Next) -> Response {
    match check(request.headers(), request.uri(), &api.settings.names) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether these headers may come in.
fn check(headers: &HeaderMap, uri: &Uri, names: &Names) -> Result<(), Problem> {
    // With both lengths given, the framework keeps this one only: a proxy before us may have believed the other.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let detail = "a request says its length by Content-Length, and by nothing else";
        return Err(Problem::http(StatusCode::BAD_REQUEST, "length-needed", detail));
    }
    let host = the_host(headers, uri)?;
    if !names.has(host) {
        let detail = "this server is not addressed by that name";
        return Err(Problem::http(StatusCode::MISDIRECTED_REQUEST, "other-host", detail)
            .hint("use localhost, or set public_url to the name that people use"));
    }
    let foreign = |detail: &str| Problem::http(StatusCode::FORBIDDEN, "foreign-origin", detail);
    for origin in headers.get_all(header::ORIGIN) {
        let own = origin.to_str().ok().and_then(|origin| authority_of(origin));
        if !own.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
            return Err(foreign("a page of another origin may not speak to this server"));
        }
    }
    for site in headers.get_all("sec-fetch-site") {
        if !matches!(site.as_bytes(), b"same-origin" | b"none") {
            return Err(foreign("a page of another site may not speak to this server"));
        }
    }
    Ok(())
}

/// The one authority that the request names.
fn the_host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Result<&'a str, Problem> {
    let bad = |detail: &str| Problem::http(StatusCode::BAD_REQUEST, "bad-host", detail);
    let mut all = headers.get_all(header::HOST).iter();
    let (Some(first), None) = (all.next(), all.next()) else {
        return Err(bad("a request carries exactly one Host header"));
    };
    let host = first.to_str().map_err(|_| bad("the Host header is not text"))?;
    match uri.authority() {
        Some(authority) if authority.as_str() != host => Err(bad("the address and the Host header differ")),
        _ => Ok(host),
    }
}

fn authority_of(origin: &str) -> Option<&str> {
    origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn status(pairs: &[(&'static str, &str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let names = Names { hosts: vec!["legator.example".into()], any_address: false };
        check(&headers, &Uri::from_static("/healthz"), &names).map_or_else(|p| p.status().as_u16(), |()| 200)
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let good =
            ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "legator.example:443"];
        let bad = [
            "rebind.example",
            "localhost.evil.example",
            "evil@localhost",
            "10.0.0.1",
            "0.0.0.0",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "",
            "127.0.0.1.evil.example",
            "[::1",
            "legator.example.",
            "xlegator.example",
        ];
        for host in good {
            assert_eq!(status(&[("host", host)]), 200, "{host}");
        }
        for host in bad {
            assert_eq!(status(&[("host", host)]), 421, "{host}");
        }
        assert_eq!(status(&[]), 400);
        assert_eq!(status(&[("host", "localhost"), ("host", "localhost")]), 400);
    }

    #[test]
    fn a_foreign_page_is_turned_away() {
        let table = [
            ("origin", "http://localhost:8080", 200),
            ("origin", "http://localhost:8081", 403),
            ("origin", "http://127.0.0.1:8080", 403),
            ("origin", "https://evil.example", 403),
            ("origin", "null", 403),
            ("origin", "localhost:8080", 403),
            ("sec-fetch-site", "same-origin", 200),
            ("sec-fetch-site", "none", 200),
            ("sec-fetch-site", "same-site", 403),
            ("sec-fetch-site", "cross-site", 403),
            ("sec-fetch-site", "", 403),
        ];
        for (name, value, expected) in table {
            assert_eq!(status(&[("host", "localhost:8080"), (name, value)]), expected, "{name}: {value}");
        }
    }
}
