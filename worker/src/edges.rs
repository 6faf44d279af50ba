//! What edges ask: keys and revocations, and that somebody listens to who is alive.
//!
//! Owns the answers to sync and beat, and writes signs of life at most once an edge and minute. Never writes for a single beat.

use crate::{Worker, counters};
use legator_bus::{Message, subject};
use legator_core::digest::Digest;
use legator_core::ids::{HostId, InstanceId};
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_store::sessions::{self, Seen};
use legator_store::{hosts, metrics};
use legator_wire::corridor::{BeatAnswer, BeatUp, Pulse, SyncAnswer, SyncAsk, pack, unpack};
use legator_wire::credential::CREDENTIAL_LIFE;
use legator_wire::keys::Signer as _;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Signs of life are written this often.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// The first figures of a host are written sooner, so that a new host shows them.
const FIRST_WRITE: Duration = Duration::from_secs(3);
/// An edge that did not beat for so long is dead, and its sessions have ended.
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// Signs of life of one statement, at most.
const BATCH: usize = 5_000;
/// Edges that are remembered, at most.
const EDGES_MAX: usize = 1_000;

/// What is remembered between two writes.
#[derive(Default)]
pub(crate) struct Memory {
    heard: Mutex<HashMap<InstanceId, Instant>>,
    pulses: Mutex<HashMap<HostId, Pulse>>,
    shown: Mutex<HashSet<HostId>>,
    revoked: Mutex<Option<(Timestamp, Arc<SyncAnswer>)>>,
}

/// Answers edges until shutdown.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Some(mut syncs) = crate::listen(&worker, subject::edge_syncs(), "edges").await else { return };
    let Some(mut beats) = crate::listen(&worker, subject::edge_beats(), "edges").await else { return };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(message) = syncs.next() => sync(&worker, &message).await,
            Some(message) = beats.next() => beat(&worker, &message).await,
        }
    }
    write(&worker, |_| true).await;
}

/// Writes signs of life, ends sessions of dead edges and drops old figures, until shutdown.
pub(crate) async fn run_writes(worker: Worker, shutdown: CancellationToken) {
    let started = Instant::now();
    let mut written = Instant::now();
    let mut timer = tokio::time::interval(FIRST_WRITE);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        if written.elapsed() >= WRITE_EVERY {
            written = Instant::now();
            write(&worker, |_| true).await;
            if let Err(error) = metrics::prune(&worker.store).await {
                tracing::error!(%error, "old figures were not dropped");
            }
        } else {
            let news: HashSet<HostId> = new_hosts(&worker);
            write(&worker, |host| news.contains(host)).await;
        }
        if started.elapsed() >= DEAD_AFTER {
            bury(&worker).await;
        }
    }
}

async fn sync(worker: &Worker, message: &Message) {
    let Some(ask) = unpack::<SyncAsk>(&message.body) else { return };
    alive(worker, ask.edge);
    if let Some(answer) = trust(worker).await {
        let _ = worker.bus.reply(message, pack(answer.as_ref())).await;
    }
}

async fn beat(worker: &Worker, message: &Message) {
    let Some(up) = unpack::<BeatUp>(&message.body) else { return };
    alive(worker, up.edge);
    counters::pulses(up.pulses.len());
    let heard = up.pulses.into_iter().map(|pulse| (pulse.host, pulse));
    worker.edges.pulses.lock().unwrap_or_else(PoisonError::into_inner).extend(heard);
    if let Some(answer) = trust(worker).await {
        let _ = worker.bus.reply(message, pack(&BeatAnswer { version: answer.version })).await;
    }
}

fn alive(worker: &Worker, edge: InstanceId) {
    let mut heard = worker.edges.heard.lock().unwrap_or_else(PoisonError::into_inner);
    if heard.len() >= EDGES_MAX {
        heard.retain(|_, at| at.elapsed() < DEAD_AFTER);
    }
    heard.insert(edge, Instant::now());
}

/// What edges have to believe, read again each second at most. Its version follows from its content, so that all workers agree.
async fn trust(worker: &Worker) -> Option<Arc<SyncAnswer>> {
    let now = worker.clock.now();
    let known = worker.edges.revoked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((_, answer)) = known.filter(|(at, _)| now.since(*at) < Span::from_millis(1_000) && *at <= now)
    {
        return Some(answer);
    }
    let longest = Span::from_millis(CREDENTIAL_LIFE.millis() + 86_400_000);
    let revoked = match hosts::revoked(&worker.store, longest).await {
        Ok(revoked) => revoked,
        Err(error) => {
            tracing::error!(%error, "revocations cannot be read: edges admit nobody new");
            return None;
        }
    };
    let answer = SyncAnswer {
        version: version_of(&revoked),
        installation: worker.gate.installation().to_owned(),
        authorities: vec![worker.authority.public()],
        revoked,
    };
    let answer = Arc::new(answer);
    *worker.edges.revoked.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&answer)));
    Some(answer)
}

fn version_of(revoked: &[HostId]) -> u64 {
    let bytes: Vec<u8> = revoked.iter().flat_map(|host| host.bits().to_be_bytes()).collect();
    Digest::of(&bytes).bytes().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn new_hosts(worker: &Worker) -> HashSet<HostId> {
    let pulses = worker.edges.pulses.lock().unwrap_or_else(PoisonError::into_inner);
    let shown = worker.edges.shown.lock().unwrap_or_else(PoisonError::into_inner);
    pulses.keys().filter(|host| !shown.contains(host)).copied().collect()
}

/// Writes the signs of life of these hosts, in few statements.
async fn write(worker: &Worker, which: impl Fn(&HostId) -> bool) {
    let mut taken = Vec::new();
    worker.edges.pulses.lock().unwrap_or_else(PoisonError::into_inner).retain(|host, pulse| {
        let take = which(host);
        if take {
            taken.push(pulse.clone());
        }
        !take
    });
    if taken.is_empty() {
        return;
    }
    let hosts: Vec<HostId> = taken.iter().map(|pulse| pulse.host).collect();
    let tenants = match sessions::tenants_of(&worker.store, &hosts).await {
        Ok(tenants) => tenants,
        Err(error) => return tracing::error!(%error, "signs of life cannot be written"),
    };
    let seen: Vec<Seen> =
        taken.into_iter().filter_map(|pulse| Some(seen(tenants.get(&pulse.host).copied()?, pulse))).collect();
    for batch in seen.chunks(BATCH) {
        if let Err(error) = sessions::seen(&worker.store, batch).await {
            tracing::error!(%error, "signs of life were not written");
        }
    }
    worker.edges.shown.lock().unwrap_or_else(PoisonError::into_inner).extend(hosts);
}

fn seen(tenant: legator_core::ids::TenantId, pulse: Pulse) -> Seen {
    Seen {
        host: pulse.host,
        tenant,
        epoch: pulse.epoch,
        at: pulse.seen_at,
        clock_ahead_ms: pulse.clock_ahead_ms,
        metrics: pulse.metrics,
    }
}

/// Ends the sessions of edges that are not heard any more.
async fn bury(worker: &Worker) {
    let alive: Vec<InstanceId> = {
        let heard = worker.edges.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|(_, at)| at.elapsed() < DEAD_AFTER).map(|(edge, _)| *edge).collect()
    };
    match sessions::end_of_others(&worker.store, &alive).await {
        Ok(0) => {}
        Ok(count) => tracing::warn!(count, "sessions of edges that are not heard any more have ended"),
        Err(error) => tracing::error!(%error, "sessions of dead edges were not ended"),
    }
}
