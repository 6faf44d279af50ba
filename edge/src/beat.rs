//! One aggregated beat a second to the workers, and what its answer brings: the edge's trust.
//!
//! Owns the latest figures of each session until they are told. Invariant: a flood of beats of one host costs one entry.

use crate::{Inner, counters};
use legator_bus::subject;
use legator_core::ids::HostId;
use legator_wire::corridor::{
    BEAT_SESSIONS_MAX, BeatAnswer, BeatUp, Pulse, SyncAnswer, SyncAsk, pack, unpack,
};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How long a worker may take to answer.
const ANSWER: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(crate) struct Pulses(Mutex<HashMap<HostId, Pulse>>);

impl Pulses {
    pub(crate) fn put(&self, pulse: Pulse) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pulse.host, pulse);
    }

    fn take(&self) -> Vec<Pulse> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_values().collect()
    }
}

/// Beats for ever.
pub(crate) async fn run(edge: &Inner) {
    let mut timer = tokio::time::interval(edge.settings.beat_every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        counters::sessions(edge.routes.len());
        if edge.trust.version().is_none() {
            sync(edge).await;
        } else {
            beat(edge).await;
        }
    }
}

async fn beat(edge: &Inner) {
    let pulses = edge.pulses.take();
    let mut batches: Vec<&[Pulse]> = pulses.chunks(BEAT_SESSIONS_MAX).collect();
    if batches.is_empty() {
        batches.push(&[]);
    }
    for batch in batches {
        let body = BeatUp { edge: edge.instance, pulses: batch.to_vec() };
        let answer = edge.bus.request(&subject::edge_beat(edge.instance), pack(&body), ANSWER).await;
        let Some(answer) = answer.ok().and_then(|bytes| unpack::<BeatAnswer>(&bytes)) else {
            tracing::warn!("no worker answers; nobody new is admitted until one does");
            return;
        };
        if edge.trust.version() == Some(answer.version) {
            edge.trust.confirm();
        } else {
            sync(edge).await;
        }
    }
}

/// Takes in the authority's keys and who was revoked; closes the sessions of those.
pub(crate) async fn sync(edge: &Inner) {
    let ask = SyncAsk { edge: edge.instance, since: edge.trust.version().unwrap_or(0) };
    let answer = edge.bus.request(&subject::edge_sync(edge.instance), pack(&ask), ANSWER).await;
    let Some(answer) = answer.ok().and_then(|bytes| unpack::<SyncAnswer>(&bytes)) else { return };
    let trust = edge.trust.set(answer.into());
    for host in edge.routes.hosts() {
        if trust.revoked.contains(&host) {
            edge.routes.fence(host, u64::MAX);
        }
    }
}
