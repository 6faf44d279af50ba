//! What an edge believes: the authority's keys and who was revoked, as a worker last said.
//!
//! Owns its freshness. Invariant: older than the limit means that nobody new is admitted, whatever is remembered.

use legator_core::ids::HostId;
use legator_wire::corridor::SyncAnswer;
use legator_wire::keys::PublicKey;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is believed.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The installation.
    pub installation: String,
    /// Keys that sign credentials.
    pub authorities: Vec<PublicKey>,
    /// Hosts that are not admitted.
    pub revoked: HashSet<HostId>,
    /// The version of that list.
    pub version: u64,
}

impl From<SyncAnswer> for Trust {
    fn from(answer: SyncAnswer) -> Self {
        Self {
            installation: answer.installation,
            authorities: answer.authorities,
            revoked: answer.revoked.into_iter().collect(),
            version: answer.version,
        }
    }
}

pub(crate) struct Held {
    good_for: Duration,
    inner: Mutex<(Option<Arc<Trust>>, Option<Instant>)>,
}

impl Held {
    pub(crate) fn new(good_for: Duration) -> Self {
        Self { good_for, inner: Mutex::new((None, None)) }
    }

    /// The present trust, if a worker confirmed it lately.
    pub(crate) fn fresh(&self) -> Option<Arc<Trust>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = inner.1.is_some_and(|at| at.elapsed() <= self.good_for);
        if fresh { inner.0.clone() } else { None }
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh().is_some()
    }

    /// The version that is known; zero when nothing is.
    pub(crate) fn version(&self) -> Option<u64> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0.as_ref().map(|trust| trust.version)
    }

    /// A worker said this.
    pub(crate) fn set(&self, trust: Trust) -> Arc<Trust> {
        let trust = Arc::new(trust);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *inner = (Some(Arc::clone(&trust)), Some(Instant::now()));
        trust
    }

    /// A worker said that nothing changed.
    pub(crate) fn confirm(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1 = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust() -> Trust {
        Trust { installation: "here".into(), authorities: vec![], revoked: HashSet::new(), version: 3 }
    }

    #[test]
    fn trust_that_nobody_confirms_runs_out() {
        let held = Held::new(Duration::from_millis(0));
        assert!(!held.is_fresh());
        held.set(trust());
        std::thread::sleep(Duration::from_millis(2));
        assert!(!held.is_fresh());
        assert_eq!(held.version(), Some(3));
        let held = Held::new(Duration::from_secs(3600));
        assert!(!held.is_fresh());
        held.confirm();
        assert!(!held.is_fresh(), "a confirmation of nothing is nothing");
        held.set(trust());
        assert!(held.is_fresh());
    }
}
