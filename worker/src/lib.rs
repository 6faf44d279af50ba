//! The worker: loops over the store, woken by the bus, each with a sweep that needs no bus.
//!
//! Owns dispatch, record, reap, enrolment, sessions, inventory, notarising and turns. The only role that holds the authority's key.
//! Never serves HTTP. Invariant: what a lost message left behind is found by a sweep within seconds.

mod cancel;
mod counters;
pub mod credential;
mod deliver;
mod dispatch;
mod edges;
mod enrol;
mod inventory;
mod limits;
pub mod notary;
mod odd;
mod reap;
mod record;
mod relay;
mod reseal;
mod sessions;
mod start;
pub mod turns;

use legator_bus::{Bus, Message, Subject, Subscription, subject};
use legator_core::clock::Clock;
use legator_core::ids::{Ids, PlanId};
use legator_gate::Gate;
use legator_store::Store;
use legator_wire::keys::{AuthorityKey, CheckpointKey};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use credential::{Bearer, issue};

/// Hosts that are caught up at the same time.
const CATCH_UP_AT_ONCE: usize = 16;

/// What a worker is made of.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The bus.
    pub bus: Bus,
    /// The gate.
    pub gate: Gate,
    /// The installation's key.
    pub authority: AuthorityKey,
    /// The notary's key.
    pub checkpoint: CheckpointKey,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of ids.
    pub ids: Arc<dyn Ids>,
}

/// A worker; cheap to clone.
#[derive(Clone)]
pub struct Worker {
    /// The database.
    pub store: Store,
    /// The bus.
    pub bus: Bus,
    /// The gate.
    pub gate: Gate,
    /// The installation's key.
    pub authority: Arc<AuthorityKey>,
    /// The notary's key.
    pub checkpoint: Arc<CheckpointKey>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of ids.
    pub ids: Arc<dyn Ids>,
    edges: Arc<edges::Memory>,
    dispatch: Arc<dispatch::Memory>,
    limits: Arc<limits::Memory>,
    odd: Arc<odd::Memory>,
    /// Places for hosts that are caught up after a reconnect: a herd waits in line.
    catching_up: Arc<Semaphore>,
    /// Short tasks that loops leave behind; waited for at shutdown.
    tasks: TaskTracker,
}

impl Worker {
    /// A worker of these parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            store: parts.store,
            bus: parts.bus,
            gate: parts.gate,
            authority: Arc::new(parts.authority),
            checkpoint: Arc::new(parts.checkpoint),
            clock: parts.clock,
            ids: parts.ids,
            edges: Arc::default(),
            dispatch: Arc::default(),
            limits: Arc::default(),
            odd: Arc::default(),
            catching_up: Arc::new(Semaphore::new(CATCH_UP_AT_ONCE)),
            tasks: TaskTracker::new(),
        }
    }

    /// Tells watchers that this plan moved, without working at it once more here. May be lost.
    pub(crate) async fn wake_plan(&self, plan: PlanId) {
        self.dispatch.expect_echo(plan);
        self.wake("plan", plan).await;
    }

    /// Says that something about this id was committed. May be lost.
    pub(crate) async fn wake(&self, what: &str, id: impl Display) {
        let _ = self.bus.publish(&subject::wake(what, id), Vec::new()).await;
    }
}

/// Runs every loop until `shutdown`, then waits for what is under way.
pub async fn run(worker: Worker, shutdown: CancellationToken) {
    let loops = TaskTracker::new();
    let stop = || shutdown.clone();
    loops.spawn(enrol::run(worker.clone(), stop()));
    loops.spawn(sessions::run_hellos(worker.clone(), stop()));
    loops.spawn(sessions::run_byes(worker.clone(), stop()));
    loops.spawn(edges::run(worker.clone(), stop()));
    loops.spawn(edges::run_writes(worker.clone(), stop()));
    loops.spawn(record::run(worker.clone(), stop()));
    loops.spawn(dispatch::run(worker.clone(), stop()));
    loops.spawn(dispatch::run_busy(worker.clone(), stop()));
    loops.spawn(cancel::run(worker.clone(), stop()));
    loops.spawn(reap::run(worker.clone(), stop()));
    loops.spawn(inventory::run(worker.clone(), stop()));
    loops.spawn(limits::run(worker.clone(), stop()));
    loops.spawn(reseal::run(worker.clone(), stop()));
    loops.spawn(odd::run(worker.clone(), stop()));
    loops.spawn(turns::run(worker.clone(), stop()));
    loops.spawn(notary::run(worker.clone(), stop()));
    loops.spawn(notary::run_watch(worker.clone(), stop()));
    loops.close();
    loops.wait().await;
    worker.tasks.close();
    worker.tasks.wait().await;
}

/// Listens at a pattern together with the other workers. A bus that does not take it is a fault that the log tells.
async fn listen(worker: &Worker, pattern: Subject, group: &str) -> Option<Subscription> {
    match worker.bus.queue_subscribe(pattern.clone(), group).await {
        Ok(subscription) => Some(subscription),
        Err(error) => {
            tracing::error!(%error, %pattern, "the worker cannot listen");
            None
        }
    }
}

/// A message with those that follow it within `linger`, `most` at most. Not to be given up half-way: what it has taken would be lost.
async fn batch(
    first: Message,
    messages: &mut Subscription,
    (most, linger): (usize, Duration),
) -> Vec<Message> {
    let mut batch = vec![first];
    let until = tokio::time::Instant::now() + linger;
    while batch.len() < most {
        if let Some(message) = messages.try_next() {
            batch.push(message);
            continue;
        }
        match tokio::time::timeout_at(until, messages.next()).await {
            Ok(Some(message)) => batch.push(message),
            _ => break,
        }
    }
    batch
}
