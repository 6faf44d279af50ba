//! Receipts and starts from probes, into the store; then acknowledgements back.
//!
//! Owns the batches. Invariant: an acknowledgement goes down only after the commit that holds its receipt; what does not verify is
//! told in the log, bounded, and ends no task.

use crate::deliver::{self, Route};
use crate::{Worker, counters, dispatch, odd};
use legator_bus::{Message, subject};
use legator_core::digest::Digest;
use legator_core::ids::{HostId, InstanceId, PlanId, TaskId, TenantId};
use legator_gate::{Received, Settled};
use legator_store::hosts::{self, HostRow};
use legator_wire::corridor::{FromHost, Said, unpack};
use legator_wire::dsse::Envelope;
use legator_wire::frame::Down;
use legator_wire::keys::PublicKey;
use legator_wire::order::Ack;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Receipts of one transaction, at most.
const BATCH: usize = 500;
/// How long a batch waits for more.
const LINGER: Duration = Duration::from_millis(1);

/// Records receipts and starts until shutdown. One loop does both, so that they never meet at one task.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Some(mut receipts) = crate::listen(&worker, subject::host_ups("receipt"), "record").await else {
        return;
    };
    let Some(mut starts) = crate::listen(&worker, subject::host_ups("started"), "record").await else {
        return;
    };
    let mut held = Starts::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return held.write(&worker).await,
            Some(first) = receipts.next() => {
                let batch = crate::batch(first, &mut receipts, (BATCH, LINGER)).await;
                let ended = record(&worker, &batch).await;
                held.forget(&ended);
            }
            Some(message) = starts.next() => held.take(&message),
            () = held.due() => held.write(&worker).await,
        }
        if held.list.len() >= BATCH {
            held.write(&worker).await;
        }
    }
}

/// A start is written only when its receipt does not follow at once: a short task then costs one transaction, not two.
const HOLD: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Starts {
    since: Option<Instant>,
    list: Vec<Start>,
}

/// Over which session something came.
#[derive(Clone, Copy)]
struct Of {
    host: HostId,
    tenant: TenantId,
    edge: InstanceId,
    epoch: u64,
}

struct Start {
    of: Of,
    task: TaskId,
    plan: PlanId,
}

/// Fleets as they are now, each read once for a batch.
#[derive(Default)]
struct Fleets(HashMap<TenantId, Arc<Vec<HostRow>>>);

impl Fleets {
    /// The host, if this is its current session and it is not revoked.
    async fn current(&mut self, worker: &Worker, of: Of) -> Option<&HostRow> {
        let rows = match self.0.entry(of.tenant) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(hosts::facts(&worker.store, of.tenant).await.ok()?),
        };
        let row = rows.get(rows.binary_search_by_key(&of.host, |row| row.id).ok()?)?;
        (row.epoch == of.epoch && row.edge == Some(of.edge) && !row.revoked).then_some(row)
    }
}

impl Starts {
    /// When the oldest start has waited long enough; never without one.
    async fn due(&self) {
        match self.since {
            Some(since) => tokio::time::sleep_until(since + HOLD).await,
            None => std::future::pending().await,
        }
    }

    fn forget(&mut self, ended: &HashSet<TaskId>) {
        self.list.retain(|start| !ended.contains(&start.task));
        if self.list.is_empty() {
            self.since = None;
        }
    }

    /// Takes a start; whether it came over its host's current session is looked at when it is written.
    fn take(&mut self, message: &Message) {
        let Some((host, _)) = subject::read::host_up(&message.subject) else { return };
        let Some(from) = unpack::<FromHost>(&message.body) else { return };
        if let Said::Started { plan, task } = from.said {
            self.since.get_or_insert_with(Instant::now);
            self.list.push(Start {
                of: Of { host, tenant: from.tenant, edge: from.edge, epoch: from.epoch },
                task,
                plan,
            });
        }
    }

    async fn write(&mut self, worker: &Worker) {
        self.since = None;
        let list = std::mem::take(&mut self.list);
        let mut fleets = Fleets::default();
        let mut began = Vec::with_capacity(list.len());
        for start in &list {
            if fleets.current(worker, start.of).await.is_some() {
                began.push((start.of.host, start.task));
            }
        }
        if began.is_empty() {
            return;
        }
        match legator_gate::started(&worker.gate, &began).await {
            Ok(_) => {
                for plan in list.iter().map(|start| start.plan).collect::<BTreeSet<PlanId>>() {
                    worker.wake_plan(plan).await;
                }
                worker.wake("event", "starts").await;
            }
            Err(error) => tracing::warn!(%error, "starts were not recorded; receipts say them too"),
        }
    }
}

/// Records a batch; says which tasks are done with.
async fn record(worker: &Worker, batch: &[Message]) -> HashSet<TaskId> {
    counters::batch("receipts", batch.len());
    let mut routes: HashMap<HostId, Route> = HashMap::new();
    let mut fleets = Fleets::default();
    let mut received = Vec::with_capacity(batch.len());
    for message in batch {
        match current(worker, &mut fleets, message).await {
            Some((route, one)) => {
                routes.insert(route.host, route);
                received.push(one);
            }
            None => counters::receipts("dropped", 1),
        }
    }
    if received.is_empty() {
        return HashSet::new();
    }
    match legator_gate::settle(&worker.gate, received).await {
        Ok(settled) => {
            told(worker, &routes, &settled).await;
            settled.iter().filter(|one| one.state.is_final()).map(|one| one.task).collect()
        }
        Err(error) => {
            counters::failed("settle");
            tracing::error!(%error, "receipts were not recorded; probes send them again");
            HashSet::new()
        }
    }
}

/// The receipt and its route, if it came over its host's current session.
async fn current(worker: &Worker, fleets: &mut Fleets, message: &Message) -> Option<(Route, Received)> {
    let (host, _) = subject::read::host_up(&message.subject)?;
    let FromHost { tenant, edge, epoch, said } = unpack(&message.body)?;
    let Said::Receipt(sent) = said else { return None };
    let row = fleets.current(worker, Of { host, tenant, edge, epoch }).await?;
    let key: PublicKey = row.key.parse().ok()?;
    Some((Route { tenant, host, edge, epoch }, Received { host, key, sent: *sent }))
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
        // What is strange is on record before the host may forget it.
        let told = match &settled.odd {
            Some(odd) => odd::receipt(worker, settled, odd).await,
            None => true,
        };
        if let (Some(receipt), Some(route), true) = (settled.ack, routes.get(&settled.host), told) {
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
