//! The roles of one process and how they are wired.
//!
//! Owns construction and the tokens that stop them. Invariant: the authority's key goes to the worker and nowhere else.

use super::StartError;
use crate::config::{self, Settings};
use axum::Router;
use legator_api::{Api, Check, Names};
use legator_bus::Bus;
use legator_core::ids::InstanceId;
use legator_edge::Edge;
use legator_gate::{Auth, Gate};
use legator_store::Store;
use legator_wire::keys::{AuthorityKey, CheckpointKey, Signer as _};
use legator_worker::{Parts, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a role may take to stop.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the roles are built from.
pub(super) struct Given<'a> {
    pub settings: &'a Settings,
    pub store: Store,
    pub authority: AuthorityKey,
    pub checkpoint: CheckpointKey,
    pub installation: String,
}

/// A loop of a role, with the token that stops it.
struct Role {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The roles that run, in the order in which they stop.
pub(super) struct Roles {
    draining: CancellationToken,
    edge: Role,
    brain: Role,
    worker: Role,
}

/// Whether the settings of the roles can be right.
pub(super) fn check(settings: &Settings) -> Result<(), StartError> {
    brain_settings(settings).map(|_| ())
}

fn brain_settings(settings: &Settings) -> Result<legator_brain::Settings, StartError> {
    let read = legator_brain::Settings::from_map(|name| settings.llm.get(name).cloned());
    read.map_err(|error| StartError::Role { role: "brain", why: error.to_string() })
}

/// Starts all roles; returns what serves their requests.
pub(super) async fn start(given: Given<'_>) -> Result<(Roles, Router), StartError> {
    let Given { settings, store, authority, checkpoint, installation } = given;
    let brain = brain_settings(settings)?;
    let draining = CancellationToken::new();
    let bus = Bus::in_process();
    let auth = if settings.auth == config::Auth::Required { Auth::On } else { Auth::Off };
    let gate = Gate::new(store.clone(), installation, auth);
    let facts = facts(settings, auth, (&authority, &checkpoint))?;
    let parts = Parts {
        store: store.clone(),
        bus: bus.clone(),
        gate: gate.clone(),
        authority,
        checkpoint,
        clock: store.shared_clock(),
        ids: store.shared_ids(),
    };
    let (worker, worker_runs) = run("worker", |stop| legator_worker::run(Worker::new(parts), stop));
    let instance = InstanceId::fresh(store.ids());
    let own_edge = Edge::new(bus.clone(), store.shared_clock(), instance, legator_edge::Settings::default());
    let running = own_edge.clone();
    let (edge, _) = run("edge", |stop| async move { told("edge", running.run(stop).await) });
    let model = bus.clone();
    let (brain, _) =
        run("brain", |stop| async move { told("brain", legator_brain::run(brain, model, stop).await) });
    let ready = own_edge.clone();
    let checks: Vec<(&'static str, Check)> = vec![
        ("worker", Arc::new(move || alive(&worker_runs))),
        (
            "edge",
            Arc::new(move || if ready.is_ready() { Ok(()) } else { Err("admits nobody yet".to_owned()) }),
        ),
    ];
    let api = Api {
        gate,
        store,
        bus,
        settings: Arc::new(facts),
        checks: Arc::new(checks),
        metrics: legator_api::exporter(),
        draining: draining.clone(),
    };
    let router = legator_api::router(api, legator_edge::router(own_edge));
    Ok((Roles { draining, edge, brain, worker }, router))
}

fn facts(
    settings: &Settings,
    auth: Auth,
    (authority, checkpoint): (&AuthorityKey, &CheckpointKey),
) -> Result<legator_api::Settings, StartError> {
    let open = settings.listen.iter().any(|at| !config::is_loopback(at.ip()));
    let cursor_key = crate::keys::fresh().map_err(crate::ground::GroundError::from)?;
    Ok(legator_api::Settings {
        auth,
        names: Names { hosts: settings.public_names.clone(), any_address: open },
        cursor_key,
        fingerprint: authority.public().fingerprint(),
        authority: authority.public().hex(),
        notary: checkpoint.public().hex(),
    })
}

/// Runs a role's loop in its own task; the flag says whether it still runs.
fn run<W: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    work: impl FnOnce(CancellationToken) -> W,
) -> (Role, Arc<AtomicBool>) {
    let stop = CancellationToken::new();
    let runs = Arc::new(AtomicBool::new(true));
    let (work, flag) = (work(stop.clone()), Arc::clone(&runs));
    let task = tokio::spawn(async move {
        let _ended = Ended(flag);
        work.await;
    });
    (Role { name, stop, task }, runs)
}

/// Clears the flag also when the work panics.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn alive(runs: &AtomicBool) -> Result<(), String> {
    if runs.load(Ordering::Acquire) { Ok(()) } else { Err("has ended".to_owned()) }
}

fn told<E: std::fmt::Display>(role: &'static str, outcome: Result<(), E>) {
    if let Err(error) = outcome {
        tracing::error!(role, %error, "a role has ended");
    }
}

impl Role {
    async fn end(self) {
        self.stop.cancel();
        if tokio::time::timeout(PATIENCE, self.task).await.is_err() {
            tracing::warn!(role = self.name, "a role was cut: it did not end in time");
        }
    }
}

impl Roles {
    /// Not ready from now on; streams end.
    pub(super) fn drain(&self) {
        self.draining.cancel();
    }

    /// Tells every probe to come back later; returns the roles that stop last.
    pub(super) async fn stop_edge(self) -> Rest {
        self.edge.end().await;
        Rest { brain: self.brain, worker: self.worker }
    }
}

/// The roles that stop last: what is under way still has to be recorded.
pub(super) struct Rest {
    brain: Role,
    worker: Role,
}

impl Rest {
    pub(super) async fn stop(self) {
        self.brain.end().await;
        self.worker.end().await;
    }
}
