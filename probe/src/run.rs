//! The life of the process: enrol if need be, judge what was cut off, then session, renewal and inventory until it is told to stop.
//!
//! Owns their order. Invariant: no grant is taken before every task that a crash cut off has its receipt.

use legator_core::clock::Clock as _;
use legator_core::span::Span;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

use crate::config::{Settings, Source};
use crate::desk;
use crate::enrol::{Newcomer, Server, Token};
use crate::error::ProbeError;
use crate::identity::{Identity, StateDir};
use crate::probe::{ACTIVE_MAX, Probe};
use crate::session;
use crate::system::SystemClock;

/// How long before its end a credential is renewed: a 7 day credential is renewed daily.
const RENEW_BEFORE: Span = Span::from_secs(6 * 86_400);
const RENEW_LOOK_EACH: Duration = Duration::from_secs(600);
/// Tasks at work get so long to end when the process is told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The configuration, where a flag names one.
    pub config: Option<PathBuf>,
    /// The server.
    pub server: Option<String>,
    /// The registration token.
    pub token: Option<String>,
    /// The host's name.
    pub name: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The state folder.
    pub state_dir: Option<PathBuf>,
    /// Certificates to trust.
    pub ca: Option<PathBuf>,
}

/// Flags and file, resolved.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Where settings come from from now on.
    pub source: Source,
    /// The settings now, with what the flags say.
    pub settings: Settings,
    /// The state folder.
    pub state_dir: PathBuf,
    /// The registration token, where one was given.
    pub token: Option<Token>,
}

impl Wanted {
    /// What holds: flags over the file over defaults.
    ///
    /// # Errors
    /// The file is named and missing, cannot be read, or is not what it should be; the token is not one.
    pub fn resolve(self, default_state: &Path) -> Result<Resolved, ProbeError> {
        let named = self.config.is_some();
        let path = self.config.unwrap_or_else(|| PathBuf::from(crate::config::DEFAULT_PATH));
        let file = Settings::read(&path)?;
        if named && file.is_none() {
            let detail = "there is no such file".to_owned();
            return Err(ProbeError::Config { path: path.display().to_string(), detail });
        }
        let from_file = file.is_some();
        let mut settings = file.unwrap_or_else(Settings::without_file);
        settings.server = self.server.or(settings.server);
        settings.name = self.name.or(settings.name);
        settings.ca = self.ca.or(settings.ca);
        settings.labels.extend(self.labels);
        let state_dir =
            self.state_dir.or_else(|| settings.state_dir.clone()).unwrap_or_else(|| default_state.into());
        let state_dir = std::path::absolute(&state_dir).map_err(ProbeError::file("find", &state_dir))?;
        let token = self.token.as_deref().map(str::parse).transpose()?;
        let source = if from_file { Source::File(path) } else { Source::Fixed(Box::new(settings.clone())) };
        Ok(Resolved { source, settings, state_dir, token })
    }
}

/// Enrols where that was not done yet. The identity that holds, and the way to its server.
///
/// # Errors
/// Not enrolled and no token; refused; unreachable; another authority.
pub async fn joined(state: &StateDir, resolved: &Resolved) -> Result<(Identity, Server), ProbeError> {
    let settings = &resolved.settings;
    let ca = settings.ca.as_deref();
    if let Some(mut identity) = state.identity()? {
        if let Some(server) = &settings.server {
            identity.server = server.trim_end_matches('/').to_owned();
        }
        let server = Server::new(&identity.server, ca)?;
        return Ok((identity, server));
    }
    let (Some(address), Some(token)) = (&settings.server, &resolved.token) else {
        return Err(ProbeError::NotEnrolled);
    };
    let server = Server::new(address, ca)?;
    let key = state.key()?;
    let who = Newcomer { key: &key, name: settings.name.clone(), labels: settings.labels.clone() };
    let identity = server.enrol(token, &who, SystemClock.now()).await?;
    state.keep(&identity)?;
    tracing::info!(host = %identity.host, name = identity.name, "enrolled");
    Ok((identity, server))
}

/// Runs the probe until `stop` turns true.
///
/// # Errors
/// It could not start; what happens later is logged and tried again.
pub async fn run(resolved: Resolved, stop: watch::Receiver<bool>) -> Result<(), ProbeError> {
    let state = StateDir::open(&resolved.state_dir)?;
    let (identity, server) = joined_in_the_end(&state, &resolved, stop.clone()).await?;
    let (probe, line) = Probe::open(state, identity, resolved.source)?;
    tracing::info!(host = %probe.identity().host, cage = ?probe.cage.state, "ready");
    desk::judge_unfinished(&probe).await?;
    let renewal = tokio::spawn(keep_renewed(Arc::clone(&probe), server.clone()));
    let inventory = tokio::spawn(crate::inventory::keep_told(Arc::clone(&probe)));
    session::run(Arc::clone(&probe), server, line, stop).await;
    renewal.abort();
    inventory.abort();
    drain(&probe).await;
    Ok(())
}

/// A server that is away is waited for; a refusal ends the start.
async fn joined_in_the_end(
    state: &StateDir,
    resolved: &Resolved,
    mut stop: watch::Receiver<bool>,
) -> Result<(Identity, Server), ProbeError> {
    let mut wait = 500;
    loop {
        match joined(state, resolved).await {
            Err(ProbeError::Unreachable { server, detail }) => {
                tracing::warn!(server, detail, "cannot enrol yet");
                wait = crate::system::between(500, (wait * 3).min(20_000));
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(wait)) => {}
                    _ = stop.wait_for(|stopped| *stopped) => return Err(ProbeError::Unreachable { server, detail }),
                }
            }
            other => return other,
        }
    }
}

/// Renews the credential a day after it was given, and tries again until it is.
async fn keep_renewed(probe: Arc<Probe>, server: Server) {
    loop {
        let left = probe.identity().expires_at.since(probe.clock.now());
        if left < RENEW_BEFORE {
            session::renew(&probe, &server).await;
        }
        let pause = crate::system::between(RENEW_LOOK_EACH.as_secs() / 2, RENEW_LOOK_EACH.as_secs());
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
}

/// Waits for tasks at work to end; those that do not are judged at the next start.
async fn drain(probe: &Probe) {
    let all = u32::try_from(ACTIVE_MAX).unwrap_or(u32::MAX);
    if tokio::time::timeout(DRAIN_MAX, probe.active.acquire_many(all)).await.is_err() {
        tracing::warn!("tasks are still at work; the next start says that their end is unknown");
    }
}
