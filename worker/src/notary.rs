//! The notary: numbers committed events without gaps and signs checkpoints over them.
//!
//! Owns the pace: at most 100 ms behind with numbers, at most a second with signatures. Never changes an event.
//! Invariant: it works under a fenced lease, and signs only a log that continues the last one that was signed.

#[cfg(test)]
mod tests;

use crate::Worker;
use crate::relay::Relay;
use legator_bus::{Bus, subject};
use legator_core::audit::{Checkpoint, origin};
use legator_core::clock::Clock;
use legator_core::event::{About, NewEvent};
use legator_core::ids::{Ids, InstanceId, TenantId, TraceId};
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_store::chain::{self, CheckpointKeyRow, Round, Signed, Unsigned};
use legator_store::leases::{self, Lease};
use legator_store::{Audited, Op, Store, StoreError, rights};
use legator_wire::checkpoint;
use legator_wire::keys::{AuthorityKey, CheckpointKey, PublicKey, Signer as _};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long the notary's job is held without being taken again.
const LEASE: Span = Span::from_secs(5);
/// How long before its end it is taken again.
const RENEW: Span = Span::from_secs(3);
/// How long to wait for more events before a round.
const LINGER: Duration = Duration::from_millis(30);
/// How long between looks at the store that nobody asked for.
const SWEEP: Duration = Duration::from_millis(100);
/// How long a numbered event may wait for its signature.
const SIGN_EVERY: Span = Span::from_millis(700);

/// What a notary needs of a worker.
#[derive(Clone)]
pub struct Desk {
    /// The database.
    pub store: Store,
    /// The bus.
    pub bus: Bus,
    /// The installation's key, for its word about the notary's.
    pub authority: Arc<AuthorityKey>,
    /// The notary's key.
    pub checkpoint: Arc<CheckpointKey>,
    /// The installation's name, which the origin of each log carries.
    pub installation: String,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of ids.
    pub ids: Arc<dyn Ids>,
}

impl Desk {
    fn of(worker: &Worker) -> Self {
        Self {
            store: worker.store.clone(),
            bus: worker.bus.clone(),
            authority: worker.authority.clone(),
            checkpoint: worker.checkpoint.clone(),
            installation: worker.gate.installation().to_string(),
            clock: worker.clock.clone(),
            ids: worker.ids.clone(),
        }
    }
}

/// The one that numbers and signs.
pub struct Notary {
    desk: Desk,
    holder: InstanceId,
    lease: Option<Lease>,
    keys: Vec<PublicKey>,
    signed_at: Timestamp,
    unsigned: bool,
    relay: Relay,
    /// Tenants whose stored log is not what was signed.
    broken: HashSet<TenantId>,
}

impl Notary {
    /// A notary that holds nothing yet.
    pub fn new(desk: Desk) -> Self {
        let holder = InstanceId::fresh(desk.ids.as_ref());
        Self {
            desk,
            holder,
            lease: None,
            keys: Vec::new(),
            signed_at: Timestamp::EPOCH,
            unsigned: true,
            relay: Relay::default(),
            broken: HashSet::new(),
        }
    }

    /// One round: holds the job, numbers at most 500 events, signs when it is time.
    ///
    /// # Errors
    /// A failure of the store; the next round tries again. `Fenced` gives the job up.
    pub async fn tick(&mut self) -> Result<Round, StoreError> {
        match self.round().await {
            Err(StoreError::Fenced(name)) => {
                self.lease = None;
                Err(StoreError::Fenced(name))
            }
            other => other,
        }
    }

    async fn round(&mut self) -> Result<Round, StoreError> {
        let Some(lease) = self.hold().await? else { return Ok(Round::default()) };
        let mut round = Round::default();
        if chain::waiting(&self.desk.store).await? {
            round = chain::number(&self.desk.store, &lease).await?;
            self.unsigned |= round.events > 0;
            // The stream is a convenience: what is not told is read from the store.
            if let Err(error) = self.relay.tell(&self.desk.store, &self.desk.bus, &round).await {
                tracing::warn!(%error, "numbered events did not go out on the bus");
            }
        }
        let now = self.desk.clock.now();
        let due = now.since(self.signed_at) >= SIGN_EVERY || now < self.signed_at;
        if self.unsigned && due {
            self.sign(&lease, now).await?;
        }
        Ok(round)
    }

    /// The lease, taken or taken again; `None` while another holds it.
    async fn hold(&mut self) -> Result<Option<Lease>, StoreError> {
        let now = self.desk.clock.now();
        if let Some(lease) = &self.lease
            && lease.until.since(now) > RENEW
        {
            return Ok(Some(lease.clone()));
        }
        let new = leases::take(&self.desk.store, "notary", self.holder, LEASE).await?;
        if new.is_some() && self.keys.is_empty() {
            self.publish_key().await?;
        }
        self.lease.clone_from(&new);
        Ok(new)
    }

    /// Makes the key of the checkpoints known, with the authority's word for it.
    async fn publish_key(&mut self) -> Result<(), StoreError> {
        let desk = &self.desk;
        let key = desk.checkpoint.public();
        let envelope = checkpoint::certify(&desk.installation, &key, &desk.authority, desk.clock.now());
        let row = CheckpointKeyRow {
            fingerprint: key.fingerprint(),
            authority: desk.authority.public().hex(),
            envelope: envelope.to_json(),
        };
        chain::keep_key(&desk.store, &row).await?;
        let rows = chain::keys(&desk.store).await?;
        let earlier = rows.iter().filter_map(|row| self.certified(row));
        self.keys = std::iter::once(key).chain(earlier).collect();
        Ok(())
    }

    /// A key of an earlier notary, if this authority certified it.
    fn certified(&self, row: &CheckpointKeyRow) -> Option<PublicKey> {
        let envelope: legator_wire::dsse::Envelope = serde_json::from_str(&row.envelope).ok()?;
        let statement: checkpoint::CheckpointKeyStatement =
            envelope.open(&self.desk.authority.public()).ok()?;
        Some(statement.key)
    }

    async fn sign(&mut self, lease: &Lease, now: Timestamp) -> Result<(), StoreError> {
        let mut signed = Vec::new();
        for log in chain::unsigned(&self.desk.store).await? {
            if !self.continues(&log).await? {
                self.alarm(log.tenant).await?;
                continue;
            }
            let origin = origin(&self.desk.installation, log.tenant);
            let note = checkpoint::sign(
                &Checkpoint { origin, tree: log.tree, at: now },
                self.desk.checkpoint.as_ref(),
            );
            signed.push(Signed { tenant: log.tenant, size: log.tree.size, at: now, note });
        }
        if !signed.is_empty() {
            chain::keep_checkpoints(&self.desk.store, lease, &signed).await?;
        }
        self.signed_at = now;
        self.unsigned = false;
        Ok(())
    }

    /// Whether the stored tree has the root that is to be signed, and begins with the one that was signed last.
    async fn continues(&self, log: &Unsigned) -> Result<bool, StoreError> {
        let store = &self.desk.store;
        if chain::root(store, log.tenant, log.tree.size).await? != Some(log.tree.root) {
            return Ok(false);
        }
        let Some(note) = &log.last else { return Ok(true) };
        let Ok(last) = checkpoint::open(note, &self.keys) else { return Ok(false) };
        let same_log = last.origin == origin(&self.desk.installation, log.tenant);
        Ok(same_log && chain::root(store, log.tenant, last.tree.size).await? == Some(last.tree.root))
    }

    /// Tells once that a log is not signed any more.
    async fn alarm(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        if !self.broken.insert(tenant) {
            return Ok(());
        }
        tracing::error!(%tenant, "the stored audit log is not the one that was signed: it gets no more checkpoints");
        let op = Op::system(tenant, "notary", TraceId::fresh(self.desk.ids.as_ref()));
        let event = NewEvent::new("audit.broken", About::nothing(), serde_json::json!({}));
        self.desk.store.write(&op, async |_| Ok(Audited::new((), event))).await
    }
}

/// Numbers and signs until `shutdown`; the last events get their numbers and signatures before it returns.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Ok(mut wakes) = worker.bus.subscribe(subject::wakes("event")).await else { return };
    let mut acts = worker.store.acts();
    let mut notary = Notary::new(Desk::of(&worker));
    loop {
        let more = match notary.tick().await {
            Ok(round) => round.more,
            Err(error) => {
                tracing::warn!(%error, "a round of the notary failed");
                false
            }
        };
        if shutdown.is_cancelled() {
            break;
        }
        if more {
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = wakes.next() => tokio::time::sleep(LINGER).await,
            _ = acts.changed() => tokio::time::sleep(LINGER).await,
            () = tokio::time::sleep(SWEEP) => {}
        }
        while wakes.try_next().is_some() {}
        acts.mark_unchanged();
    }
    notary.finish().await;
}

impl Notary {
    /// Numbers and signs what is left, then gives the job back.
    async fn finish(&mut self) {
        self.signed_at = Timestamp::EPOCH;
        for _ in 0..100 {
            match self.tick().await {
                Ok(round) if round.more => {}
                _ => break,
            }
        }
        if let Some(lease) = self.lease.take() {
            let _ = leases::give_back(&self.desk.store, &lease).await;
        }
    }
}

/// Looks once a second whether somebody else changed rows that give rights.
pub(crate) async fn run_watch(worker: Worker, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        if let Err(error) = rights::watch(&worker.store).await {
            tracing::warn!(%error, "the look at the rights failed");
        }
    }
}
