//! One running probe: what its parts share.
//!
//! Owns the identity in use, the settings' source, the host's services and the line to whatever session there is.
//! Invariant: nothing here decides; the desk does, with what it finds here.

use legator_core::cage::CageReport;
use legator_core::clock::Clock;
use legator_core::ids::{InstanceId, TaskId};
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_wire::frame::Up;
use legator_wire::keys::ProbeKey;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::cage::{self, Cage, Secrets};
use crate::config::{Settings, Source};
use crate::error::ProbeError;
use crate::identity::{Identity, StateDir};
use crate::journal::Journal;
use crate::limits::InForce;
use crate::system::{SystemClock, SystemIds};
use crate::verbs::HostServices;

/// Tasks at work at the same time; what comes beyond is given back.
pub const ACTIVE_MAX: usize = 16;
/// Frames that wait for the connection.
const LINE_MAX: usize = 256;
/// With so many waiting, live output is lost: its frames are large, and the receipt has it all the same.
const OUTPUTS_MAX: usize = 24;

/// A running probe.
pub struct Probe {
    /// The state folder, locked.
    pub state: StateDir,
    /// The host's key.
    pub key: ProbeKey,
    /// Where the host's own settings come from.
    pub source: Source,
    /// Used ids and receipts.
    pub journal: Journal,
    /// The authority's limits.
    pub limits: InForce,
    /// The host's clock.
    pub clock: Arc<dyn Clock>,
    /// This run of the process.
    pub instance: InstanceId,
    /// What the kernel can hold back here.
    pub cage: CageReport,
    /// Permits of tasks at work.
    pub active: Arc<Semaphore>,
    /// Rung when a receipt waits.
    pub receipts: Notify,
    identity: RwLock<Identity>,
    services: Mutex<(Vec<std::path::PathBuf>, Arc<HostServices>)>,
    running: Mutex<BTreeMap<TaskId, watch::Sender<bool>>>,
    line: mpsc::Sender<Up>,
    connected: AtomicBool,
    session: AtomicU64,
    ahead_ms: AtomicI64,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Probe {
    /// A probe over its state folder, and the end of the line that the session reads.
    ///
    /// # Errors
    /// Something that is trusted is damaged or cannot be read.
    pub fn open(
        state: StateDir,
        identity: Identity,
        source: Source,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Up>), ProbeError> {
        let key = state.key()?;
        let settings = source.now()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let journal = Journal::open(state.path(), key.clone())?;
        let limits = InForce::open(state.path(), &identity)?;
        let services = services(&state, &settings, &clock)?;
        let (line, queue) = mpsc::channel(LINE_MAX);
        let probe = Self {
            state,
            key,
            source,
            journal,
            limits,
            clock,
            instance: InstanceId::fresh(&SystemIds),
            cage: cage::report(),
            active: Arc::new(Semaphore::new(ACTIVE_MAX)),
            receipts: Notify::new(),
            identity: RwLock::new(identity),
            services: Mutex::new((settings.secrets, services)),
            running: Mutex::new(BTreeMap::new()),
            line,
            connected: AtomicBool::new(false),
            session: AtomicU64::new(0),
            ahead_ms: AtomicI64::new(0),
        };
        Ok((Arc::new(probe), queue))
    }

    /// Who this probe is at the moment.
    pub fn identity(&self) -> Identity {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a fresh credential, on disk first.
    ///
    /// # Errors
    /// It could not be kept: the old one stays.
    pub fn renewed(&self, identity: Identity) -> Result<(), ProbeError> {
        self.state.keep(&identity)?;
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }

    /// The host's services under these settings: made anew when the list of secrets changed.
    ///
    /// # Errors
    /// The list of secrets is not one.
    pub fn services(&self, settings: &Settings) -> Result<Arc<HostServices>, ProbeError> {
        let mut known = held(&self.services);
        if known.0 != settings.secrets {
            *known = (settings.secrets.clone(), services(&self.state, settings, &self.clock)?);
        }
        Ok(Arc::clone(&known.1))
    }

    /// Reserves a task's id in this process. Nothing when it is reserved already.
    pub fn reserve(self: &Arc<Self>, task: TaskId) -> Option<Reserved> {
        let mut running = held(&self.running);
        if running.contains_key(&task) {
            return None;
        }
        let (cancel, cancelled) = watch::channel(false);
        running.insert(task, cancel);
        Some(Reserved { probe: Arc::clone(self), task, cancelled })
    }

    /// Tasks at work, at most so many.
    pub fn running(&self, most: usize) -> Vec<TaskId> {
        held(&self.running).keys().take(most).copied().collect()
    }

    /// Ends a task that is at work. Says whether there was one.
    pub fn stop(&self, task: TaskId) -> bool {
        held(&self.running).get(&task).is_some_and(|cancel| cancel.send(true).is_ok())
    }

    /// A session begins.
    pub fn connected(&self, edge_now: Timestamp) {
        let ahead = self.clock.now().millis().saturating_sub(edge_now.millis());
        self.ahead_ms.store(ahead, Ordering::Relaxed);
        self.session.fetch_add(1, Ordering::Relaxed);
        self.connected.store(true, Ordering::Relaxed);
    }

    /// A session has ended.
    pub fn disconnected(&self) {
        self.connected.store(false, Ordering::Relaxed);
    }

    /// The number of the session that is open; nothing when there is none.
    pub fn session(&self) -> Option<u64> {
        self.connected.load(Ordering::Relaxed).then(|| self.session.load(Ordering::Relaxed))
    }

    /// How far the host's clock is ahead of the edge's, in milliseconds; zero before the first session.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// How far the host's clock is off.
    pub fn skew(&self) -> Span {
        Span::from_millis(self.ahead_ms().unsigned_abs())
    }

    /// Says something if there is a session with room; else it is lost. Says whether it was taken.
    pub fn say(&self, frame: Up) -> bool {
        let waiting = LINE_MAX - self.line.capacity();
        if matches!(frame, Up::Output(_)) && waiting >= OUTPUTS_MAX {
            return false;
        }
        self.session().is_some() && self.line.try_send(frame).is_ok()
    }

    /// Says something, and waits for room. Says whether it was taken.
    pub async fn say_waiting(&self, frame: Up) -> bool {
        self.session().is_some() && self.line.send(frame).await.is_ok()
    }
}

fn services(
    state: &StateDir,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<HostServices>, ProbeError> {
    let bad = |detail: String| ProbeError::Config { path: "secrets".into(), detail };
    let secrets = Secrets::new(state.path(), &settings.secrets).map_err(|error| bad(error.to_string()))?;
    let made =
        HostServices::new(Cage::here(), Arc::new(secrets), state.path().to_path_buf(), Arc::clone(clock));
    made.map(Arc::new).map_err(ProbeError::file("open", state.path().join("preimages")))
}

/// A task's id that is at work in this process, until this is dropped.
pub struct Reserved {
    probe: Arc<Probe>,
    task: TaskId,
    /// Turns true when the task is to end.
    pub cancelled: watch::Receiver<bool>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        held(&self.probe.running).remove(&self.task);
    }
}
