//! The edge: holds probes' WebSockets and bridges them to the bus.
//!
//! Owns connections, their limits and their order. Decides nothing and stores nothing: what comes up goes to the workers as signed by
//! the probe, what goes down was signed by the authority. Never sees the store.
//! Invariant: nothing from a connection goes anywhere before its probe has proven the key of its credential on that very connection.

mod admit;
mod beat;
mod commands;
mod counters;
mod guard;
mod handshake;
mod metered;
mod pace;
mod routes;
mod session;
mod trust;
mod up;

use axum::Router;
use axum::routing::get;
use legator_bus::Bus;
use legator_core::clock::Clock;
use legator_core::ids::InstanceId;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use admit::{Admitted, Demand, NotProven, check};
pub use trust::Trust;

/// Why the edge cannot run.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The bus does not take its subscriptions.
    #[error("the edge cannot listen on the bus: {0}")]
    Bus(#[from] legator_bus::BusError),
}

/// Limits of an edge. The defaults are those of production.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections of one address that have not proven a key yet, at most.
    pub unproven_per_address: usize,
    /// The same for addresses of this machine itself.
    pub unproven_on_loopback: usize,
    /// Connections of all addresses that have not proven a key yet, at most.
    pub unproven_in_all: usize,
    /// How long each step of the handshake may take.
    pub step: Duration,
    /// A ping goes down this often.
    pub ping_every: Duration,
    /// Nothing heard for so long closes a session.
    pub silent_after: Duration,
    /// No word from a worker for so long: nobody new is admitted.
    pub trust_for: Duration,
    /// How often the workers are told who is alive.
    pub beat_every: Duration,
    /// How often probes send their figures.
    pub probe_beat: Duration,
    /// A frame that is not taken for so long closes the session.
    pub slow_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            unproven_per_address: 64,
            unproven_on_loopback: 4096,
            unproven_in_all: 8192,
            step: Duration::from_secs(5),
            ping_every: Duration::from_secs(30),
            silent_after: Duration::from_secs(75),
            trust_for: Duration::from_secs(10),
            beat_every: Duration::from_secs(1),
            probe_beat: Duration::from_secs(30),
            slow_after: Duration::from_secs(10),
        }
    }
}

/// One edge. Cheap to clone.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) instance: InstanceId,
    pub(crate) settings: Settings,
    pub(crate) trust: trust::Held,
    pub(crate) routes: routes::Routes,
    pub(crate) guard: Arc<guard::Guard>,
    pub(crate) pulses: beat::Pulses,
    pub(crate) odd: up::OddRate,
    pub(crate) draining: CancellationToken,
    pub(crate) sessions: TaskTracker,
}

impl Edge {
    /// An edge with this identity of its run; it admits nobody before `run` has heard from a worker.
    pub fn new(bus: Bus, clock: Arc<dyn Clock>, instance: InstanceId, settings: Settings) -> Self {
        let guard = guard::Guard::new(&settings);
        Self(Arc::new(Inner {
            bus,
            clock,
            instance,
            trust: trust::Held::new(settings.trust_for),
            settings,
            routes: routes::Routes::default(),
            guard: Arc::new(guard),
            pulses: beat::Pulses::default(),
            odd: up::OddRate::default(),
            draining: CancellationToken::new(),
            sessions: TaskTracker::new(),
        }))
    }

    /// Keeps in touch with the workers and obeys their commands until `shutdown`; then sends every probe away and waits for them.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), EdgeError> {
        let commands = commands::listen(&self.0).await?;
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = beat::run(&self.0) => {}
            () = commands::obey(&self.0, commands) => {}
        }
        self.0.draining.cancel();
        self.0.sessions.close();
        let _ = tokio::time::timeout(self.0.settings.step, self.0.sessions.wait()).await;
        Ok(())
    }

    /// Whether new probes are admitted: a worker was heard from, lately, and no drain has begun.
    pub fn is_ready(&self) -> bool {
        self.0.trust.is_fresh() && !self.0.draining.is_cancelled()
    }

    /// How many sessions are held.
    pub fn sessions(&self) -> usize {
        self.0.routes.len()
    }

    /// This run of the edge.
    pub fn instance(&self) -> InstanceId {
        self.0.instance
    }
}

/// The one door of an edge: `GET /probe/v1/connect`, a WebSocket. The server has to serve with upgrades, and should give the
/// peer's address as `ConnectInfo<SocketAddr>`; connections without one share one address's limits.
pub fn router(edge: Edge) -> Router {
    Router::new().route("/probe/v1/connect", get(handshake::connect)).with_state(edge)
}
