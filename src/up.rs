//! Starting every role in one process, and stopping them in order.
//!
//! Owns that order: ground, worker, edge, brain, API, sockets; and back: not ready, no new connections, drain, roles, database.
//! Invariant: what was acknowledged to anyone is on disk before `shutdown` returns.

mod roles;
mod signals;

pub use signals::Signals;

use crate::config::{Auth, Place, Settings};
use crate::doorstep;
use crate::files;
use crate::ground::{self, Ground, GroundError};
use crate::server::{self, Limits, Server, TlsError};
use legator_store::Store;
use legator_wire::keys::Signer as _;
use roles::Roles;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder, its keys or its database cannot be used.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be had.
    #[error("listening on {at}: {source}")]
    Listen {
        /// Which.
        at: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A role cannot be built.
    #[error("starting the {role}: {why}")]
    Role {
        /// Which.
        role: &'static str,
        /// Why.
        why: String,
    },
}

/// A server that runs.
pub struct Running {
    addresses: Vec<SocketAddr>,
    scheme: &'static str,
    fingerprint: String,
    auth: Auth,
    store: Store,
    roles: Roles,
    stop_serving: CancellationToken,
    serving: JoinHandle<()>,
    _ground: Option<crate::lock::Lock>,
}

/// Checks what can be checked without starting: keys, certificate, settings of the model.
pub fn check(settings: &Settings) -> Result<(), StartError> {
    ground::check(settings)?;
    settings.tls.as_ref().map(server::acceptor).transpose()?;
    roles::check(settings)
}

/// Brings the database up to this version.
pub async fn migrate(settings: Settings) -> Result<(), StartError> {
    ground::prepare(&settings).await?;
    Ok(())
}

/// Starts everything; returns once every address is listened on.
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    // A second call finds the provider installed, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let limits = Limits::for_files(files::raise_limit());
    let tls = settings.tls.as_ref().map(server::acceptor).transpose()?;
    let listeners = listen(&settings)?;
    let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let ground = ground::prepare(&settings).await?;
    let fingerprint = ground.authority.public().fingerprint().to_string();
    let Ground { store, authority, checkpoint, installation, lock } = ground;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let given =
        roles::Given { settings: &settings, store: store.clone(), authority, checkpoint, installation };
    let (roles, router) = roles::start(given).await?;
    let stop_serving = CancellationToken::new();
    if let Place::Dir(dir) = &settings.place {
        tokio::spawn(doorstep::serve(dir.clone(), store.clone(), stop_serving.clone()));
    }
    let server = Server { router, tls, limits, stop: stop_serving.clone() };
    let serving = tokio::spawn(server::serve(server, listeners));
    Ok(Running {
        addresses,
        scheme,
        fingerprint,
        auth: settings.auth,
        store,
        roles,
        stop_serving,
        serving,
        _ground: lock,
    })
}

/// Every address has to be had, but where only the built-in default asks for IPv6 it may be missing from the machine.
fn listen(settings: &Settings) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::new();
    for at in &settings.listen {
        match server::listen(*at) {
            Ok(listener) => listeners.push(listener),
            Err(source) if is_missing_ipv6(at, &source) && !listeners.is_empty() => {
                tracing::info!(%at, "this machine has no such address; going on without it");
            }
            Err(source) => return Err(StartError::Listen { at: *at, source }),
        }
    }
    Ok(listeners)
}

fn is_missing_ipv6(at: &SocketAddr, error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, Unsupported};
    let code = error.raw_os_error();
    at.is_ipv6()
        && at.ip().is_loopback()
        && (matches!(error.kind(), AddrNotAvailable | Unsupported) || code == Some(97))
}

impl Running {
    /// The addresses that are listened on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The first address as a URL.
    pub fn url(&self) -> String {
        self.addresses.first().map_or_else(String::new, |at| format!("{}://{at}", self.scheme))
    }

    /// The store, for tests that look into it or tamper with it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The authority's fingerprint.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What is printed for who started it.
    pub fn greeting(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.addresses.iter().map(|at| format!("listening on {}://{at}", self.scheme)).collect();
        lines.push(format!("authority {}", self.fingerprint));
        if self.auth == Auth::Off {
            lines.push("no authentication: whoever reaches a loopback address of this machine acts as the person `local`".to_owned());
        }
        lines
    }

    /// Stops: not ready, streams end, probes are sent away, no new connections, open requests end, then the other roles.
    pub async fn shutdown(self) {
        self.roles.drain();
        // Who asks /readyz in this moment learns that others should be asked from now on.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let rest = self.roles.stop_edge().await;
        self.stop_serving.cancel();
        let _ = self.serving.await;
        rest.stop().await;
    }
}
