//! From an HTTP request to a WebSocket (RFC 6455 §4.2).
//!
//! Owns what is refused before a byte of WebSocket is spoken: browsers (an `Origin` or a cookie), too many connections, an edge that
//! knows no worker. Offers no extension, so nothing is ever inflated.

use crate::metered::{Budget, Metered};
use crate::{Edge, counters, guard, session};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper_util::rt::TokioIo;
use legator_wire::frame::{FRAME_BYTES_MAX, UNPROVEN_BYTES_MAX};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Most sessions are idle: small buffers keep them cheap.
const BUFFER_BYTES: usize = 4 * 1024;

/// The stream under a session.
pub(crate) type Socket = WebSocketStream<Metered<TokioIo<hyper::upgrade::Upgraded>>>;

/// A connection that was just upgraded.
pub(crate) struct Fresh {
    pub(crate) socket: Socket,
    /// Lifted once the key is proven.
    pub(crate) budget: Budget,
    /// Given back once the key is proven.
    pub(crate) lease: guard::Lease,
}

/// `GET /probe/v1/connect`.
pub(crate) async fn connect(State(edge): State<Edge>, mut request: Request) -> Response {
    let accept = match accepted(request.headers()) {
        Ok(accept) => accept,
        Err((status, why)) => return refused(status, why),
    };
    if !edge.is_ready() {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "no worker answers at the moment");
    }
    let address = address_of(&request);
    let Some(lease) = edge.0.guard.enter(address) else {
        return refused(StatusCode::TOO_MANY_REQUESTS, "too many connections that have not proven a key");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let tracked = edge.clone();
    edge.0.sessions.spawn(async move {
        let Ok(Ok(io)) = tokio::time::timeout(tracked.0.settings.step, upgrade).await else { return };
        let budget = Budget::bytes(UNPROVEN_BYTES_MAX);
        let stream = Metered::new(TokioIo::new(io), budget.clone());
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await;
        session::serve(&tracked.0, Fresh { socket, budget, lease }).await;
    });
    let headers = [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_ACCEPT, accept.as_str()),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn refused(status: StatusCode, why: &'static str) -> Response {
    counters::denied("handshake");
    (status, [(header::RETRY_AFTER, "5"), (header::CACHE_CONTROL, "no-store")], why).into_response()
}

/// The answer to the request's key, if this is a WebSocket handshake of something that is no browser.
fn accepted(headers: &HeaderMap) -> Result<String, (StatusCode, &'static str)> {
    if headers.contains_key(header::ORIGIN) || headers.contains_key(header::COOKIE) {
        return Err((
            StatusCode::FORBIDDEN,
            "probes only: an Origin or a cookie says that this is a browser",
        ));
    }
    let has = |name: HeaderName, word: &str| {
        let values = headers.get_all(name);
        values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err((StatusCode::UPGRADE_REQUIRED, "this is a WebSocket"));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err((StatusCode::BAD_REQUEST, "Sec-WebSocket-Version has to be 13"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let key = key.ok_or((StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing"))?;
    Ok(derive_accept_key(key.as_bytes()))
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * FRAME_BYTES_MAX)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
}

fn address_of(request: &Request) -> IpAddr {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn good() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, "keep-alive, Upgrade".parse().unwrap());
        headers.insert(header::UPGRADE, "websocket".parse().unwrap());
        headers.insert(header::SEC_WEBSOCKET_VERSION, "13".parse().unwrap());
        headers.insert(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        headers
    }

    #[test]
    fn a_handshake_is_answered_as_the_rfc_shows_and_browsers_are_refused() {
        assert_eq!(accepted(&good()).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let changes = [
            (header::ORIGIN, Some("https://evil.example"), StatusCode::FORBIDDEN),
            (header::ORIGIN, Some("null"), StatusCode::FORBIDDEN),
            (header::ORIGIN, Some(""), StatusCode::FORBIDDEN),
            (header::COOKIE, Some("a=b"), StatusCode::FORBIDDEN),
            (header::UPGRADE, None, StatusCode::UPGRADE_REQUIRED),
            (header::CONNECTION, Some("close"), StatusCode::UPGRADE_REQUIRED),
            (header::SEC_WEBSOCKET_VERSION, Some("8"), StatusCode::BAD_REQUEST),
            (header::SEC_WEBSOCKET_KEY, None, StatusCode::BAD_REQUEST),
            (header::SEC_WEBSOCKET_KEY, Some("short"), StatusCode::BAD_REQUEST),
        ];
        for (name, value, status) in changes {
            let mut headers = good();
            headers.remove(&name);
            if let Some(value) = value {
                headers.insert(&name, value.parse().unwrap());
            }
            assert_eq!(accepted(&headers).unwrap_err().0, status, "{name} {value:?}");
        }
    }
}
