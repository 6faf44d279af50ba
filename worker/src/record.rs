//! Receipts and starts from probes, into the store; then acknowledgements back.
//!
//! Owns the batches. Invariant: an acknowledgement goes down only after the commit that holds its receipt; what does not verify is
//! told in the log, bounded, and ends no task.

use crate::deliver::{self, Route};
use crate::{Worker, counters, dispatch};
use legator_bus::{Message, subject};
use legator_core::digest::Digest;
use legator_core::ids::{HostId, PlanId, TaskId};
use legator_gate::{Received, Settled};
use legator_store::hosts;
use legator_wire::corridor::{FromHost, Said, unpack};
use legator_wire::dsse::Envelope;
use legator_wire::frame::Down;
use legator_wire::keys::PublicKey;
use legator_wire::order::Ack;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Receipts of one transaction, at most.
const BATCH: usize = 500;
/// How long a batch waits for more.
const LINGER: Duration = Duration::from_millis(1);

/// Records receipts until shutdown.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Some(mut receipts) = crate::listen(&worker, subject::host_ups("receipt"), "record").await else { return };
    loop {
        let batch = tokio::select! {
            () = shutdown.cancelled() => return,
            batch = crate::batch(&mut receipts, BATCH, LINGER) => batch,
        };
        record(&worker, &batch).await;
    }
}

async fn record(worker: &Worker, batch: &[Message]) {
    counters::batch("receipts", batch.len());
    let mut routes: HashMap<HostId, Route> = HashMap::new();
    let mut received = Vec::with_capacity(batch.len());
    for message in batch {
        match current(worker, message).await {
            Some((route, one)) => {
                routes.insert(route.host, route);
                received.push(one);
            }
            None => counters::receipts("dropped", 1),
        }
    }
    if received.is_empty() {
        return;
    }
    match legator_gate::settle(&worker.gate, received).await {
        Ok(settled) => told(worker, &routes, &settled).await,
        Err(error) => {
            counters::failed("settle");
            tracing::error!(%error, "receipts were not recorded; probes send them again");
        }
    }
}

/// The receipt and its route, if it came over its host's current session.
async fn current(worker: &Worker, message: &Message) -> Option<(Route, Received)> {
    let (host, _) = subject::read::host_up(&message.subject)?;
    let from: FromHost = unpack(&message.body)?;
    let Said::Receipt(sent) = from.said else { return None };
    let row = hosts::find(&worker.store, from.tenant, host).await.ok()??;
    if row.epoch != from.epoch || row.edge != Some(from.edge) || row.revoked {
        return None;
    }
    let key: PublicKey = row.key.parse().ok()?;
    let route = Route { tenant: from.tenant, host, edge: from.edge, epoch: from.epoch };
    Some((route, Received { host, key, sent: *sent }))
}

/// Acknowledges what is committed and wakes whoever waits for the plans.
async fn told(worker: &Worker, routes: &HashMap<HostId, Route>, settled: &[Settled]) {
    let mut plans: BTreeSet<PlanId> = BTreeSet::new();
    let mut acked = 0;
    for settled in settled {
        plans.insert(settled.plan);
        if let Some(plan) = settled.prepares {
            dispatch::prepare(worker, plan).await;
        }
        if let (Some(receipt), Some(route)) = (settled.ack, routes.get(&settled.host)) {
            acked += 1;
            acknowledge(worker, *route, settled.task, receipt).await;
        }
    }
    counters::receipts("acknowledged", acked);
    counters::receipts("refused", settled.len() - acked);
    let over: BTreeSet<PlanId> = settled.iter().filter(|one| one.plan_final).map(|one| one.plan).collect();
    for plan in plans {
        worker.wake_plan(plan).await;
        if !over.contains(&plan) {
            dispatch::due(worker, plan).await;
        }
    }
    worker.wake("event", "receipts").await;
}

async fn acknowledge(worker: &Worker, route: Route, task: TaskId, receipt: Digest) {
    let installation = worker.gate.installation().to_owned();
    let ack = Ack { installation, host: route.host, task, receipt, made_at: worker.clock.now() };
    let envelope = Envelope::seal(&ack, worker.authority.as_ref());
    deliver::tell(worker, route, Down::Ack { envelope }).await;
}

/// Records until shutdown that tasks have started.
pub(crate) async fn run_starts(worker: Worker, shutdown: CancellationToken) {
    let Some(mut starts) = crate::listen(&worker, subject::host_ups("started"), "record").await else { return };
    loop {
        let batch = tokio::select! {
            () = shutdown.cancelled() => return,
            batch = crate::batch(&mut starts, BATCH, LINGER) => batch,
        };
        for message in &batch {
            start(&worker, message).await;
        }
    }
}

async fn start(worker: &Worker, message: &Message) {
    let Some((host, _)) = subject::read::host_up(&message.subject) else { return };
    let Some(FromHost { tenant, edge, epoch, said: Said::Started { plan, task } }) = unpack(&message.body) else { return };
    match hosts::find(&worker.store, tenant, host).await {
        Ok(Some(row)) if row.epoch == epoch && row.edge == Some(edge) && !row.revoked => {}
        _ => return,
    }
    match legator_gate::started(&worker.gate, &[(host, task)]).await {
        Ok(0) => {}
        Ok(_) => worker.wake_plan(plan).await,
        Err(error) => tracing::warn!(%error, "a start was not recorded; the receipt says it too"),
    }
}
