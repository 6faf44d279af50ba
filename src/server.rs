//! Listening and serving: our own accept loop, since a server that trusts its clients to be quick is stopped by slow ones.
//!
//! Owns sockets, TLS and every deadline of a connection. Never looks into a request.
//! Invariant: a connection that has not sent a whole request head, or does not take its answer, is closed within 10 s.

mod listen;
mod misdialled;
mod patient;
mod seats;
mod tls;

pub use listen::listen;
pub use tls::{TlsError, acceptor};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use patient::Patient;
use seats::{Seat, Seats};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// Limits of the server. The defaults are those of production.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A request head has to be whole after so long; an idle connection is closed after it too.
    pub head: Duration,
    /// A TLS handshake has to be done after so long.
    pub handshake: Duration,
    /// An answer that is not taken for so long closes the connection.
    pub write: Duration,
    /// The largest request head, in bytes.
    pub head_bytes_max: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// Connections of one address at the same time.
    pub per_address: usize,
    /// How long open requests may take to end once the server stops.
    pub drain: Duration,
}

impl Limits {
    /// The limits of a process that may have so many files open.
    pub fn for_files(files: u64) -> Self {
        let connections = usize::try_from(files).unwrap_or(usize::MAX).saturating_mul(3) / 4;
        let connections = connections.clamp(256, 60_000);
        Self {
            head: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            write: Duration::from_secs(10),
            head_bytes_max: 16 * 1024,
            connections,
            per_address: connections / 2,
            drain: Duration::from_secs(10),
        }
    }
}

/// What all connections of a server share.
pub struct Server {
    /// What answers.
    pub router: Router,
    /// TLS, if it is spoken here.
    pub tls: Option<TlsAcceptor>,
    /// The limits.
    pub limits: Limits,
    /// Ends accepting, then idle connections, then the rest.
    pub stop: CancellationToken,
}

/// Serves on these listeners until `stop`, then lets open requests end.
pub async fn serve(server: Server, listeners: Vec<TcpListener>) {
    let seats = Arc::new(Seats::new(server.limits.connections, server.limits.per_address));
    let server = Arc::new(server);
    let connections = TaskTracker::new();
    let accepting = TaskTracker::new();
    for listener in listeners {
        accepting.spawn(accept(Arc::clone(&server), listener, Arc::clone(&seats), connections.clone()));
    }
    accepting.close();
    accepting.wait().await;
    connections.close();
    if tokio::time::timeout(server.limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections were cut: they did not end in time");
    }
}

async fn accept(server: Arc<Server>, listener: TcpListener, seats: Arc<Seats>, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = server.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match Seats::take(&seats, peer.ip()) {
                Some(seat) => drop(connections.spawn(converse(Arc::clone(&server), stream, peer, seat))),
                // The socket is dropped, which closes it at once and keeps the queue short.
                None => metrics::counter!("legator_http_connections_refused_total").increment(1),
            },
            Err(error) => {
                tracing::warn!(%error, "accepting failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(server: Arc<Server>, stream: TcpStream, peer: SocketAddr, seat: Seat) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = &server.tls else {
        return speak(&server, Patient::new(stream, server.limits.write), peer, seat).await;
    };
    let shaken = tokio::time::timeout(server.limits.handshake, shake(tls, stream, server.limits.write)).await;
    match shaken {
        // Boxed: the state of TLS is large, and a parked connection should not carry it on its stack frame.
        Ok(Some(stream)) => speak(&server, Box::new(stream), peer, seat).await,
        Ok(None) | Err(_) => metrics::counter!("legator_http_handshakes_failed_total").increment(1),
    }
}

/// The TLS handshake. A client that speaks plain HTTP is told what is spoken here.
async fn shake(
    tls: &TlsAcceptor,
    stream: TcpStream,
    write: Duration,
) -> Option<TlsStream<Patient<TcpStream>>> {
    if misdialled::is_plain(&stream).await {
        misdialled::answer(stream).await;
        return None;
    }
    tls.accept(Patient::new(stream, write)).await.ok()
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    server: &Server,
    stream: S,
    peer: SocketAddr,
    seat: Seat,
) {
    let router = server.router.clone();
    // The seat is held by the service, so that a connection that became a WebSocket keeps it in its request's extensions.
    let seat = Arc::new(seat);
    let service = tower::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(Arc::clone(&seat));
        router.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.limits.head)
        .max_buf_size(server.limits.head_bytes_max)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = server.stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
