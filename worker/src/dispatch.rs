//! Grants to hosts: which plans are due, several at once, and what happens to a grant that nobody took.
//!
//! Owns the queue of due plans. Invariant: one slow plan, and results that are lost, hold no other plan back.

use crate::deliver::{self, Route};
use crate::{Worker, counters};
use futures::StreamExt as _;
use legator_bus::{Message, subject};
use legator_core::ids::{HostId, PlanId, TaskId, TenantId};
use legator_gate::GateError;
use legator_store::hosts;
use legator_wire::corridor::{FromHost, Said, unpack};
use legator_wire::frame::Down;
use legator_wire::grant::Delivery;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Grants of one plan under way to edges at the same time.
const AT_ONCE: usize = 64;
/// Waves sealed for one plan before others get their turn.
const WAVES: usize = 64;
/// A grant that a busy probe gave back is offered again after this, then twice as long, and so on.
const BACK_OFF: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(15);
/// Grants that rest at the same time, at most; more are offered again by the sweep.
const RESTING_MAX: usize = 10_000;

/// What is remembered of plans at work and grants at rest.
#[derive(Default)]
pub(crate) struct Memory {
    /// Plans at work here; true when they are due once more.
    plans: Mutex<HashMap<PlanId, bool>>,
    /// How often each resting grant was given back.
    resting: Mutex<HashMap<TaskId, u32>>,
}

impl Memory {
    /// Whether the caller has to work at this plan now; otherwise who does looks once more.
    fn begin(&self, plan: PlanId) -> bool {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        match plans.get_mut(&plan) {
            Some(again) => {
                *again = true;
                false
            }
            None => {
                plans.insert(plan, false);
                true
            }
        }
    }

    /// Whether the plan became due meanwhile; if not, the work at it has ended.
    fn again(&self, plan: PlanId) -> bool {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        match plans.get_mut(&plan) {
            Some(again) if *again => {
                *again = false;
                true
            }
            _ => {
                plans.remove(&plan);
                false
            }
        }
    }
}

/// Works at plans as they are woken, until shutdown.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Some(mut wakes) = crate::listen(&worker, subject::wakes("plan"), "dispatch").await else { return };
    let mut sweep = tokio::time::interval(Duration::from_secs(1));
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(message) = wakes.next() => {
                let plan = subject::read::wake(&message.subject).and_then(|(_, id)| id.parse().ok());
                if let Some(plan) = plan {
                    due(&worker, plan).await;
                }
            }
            _ = sweep.tick() => swept(&worker).await,
        }
    }
}

async fn swept(worker: &Worker) {
    match legator_gate::due(&worker.gate).await {
        Ok(plans) => {
            for plan in plans {
                due(worker, plan).await;
            }
        }
        Err(error) => tracing::error!(%error, "plans that are due cannot be read"),
    }
}

/// A plan may have something to send: works at it behind the loop, once at a time.
pub(crate) async fn due(worker: &Worker, plan: PlanId) {
    if !worker.dispatch.begin(plan) {
        return;
    }
    let own = worker.clone();
    worker.tasks.spawn(async move {
        loop {
            if let Err(error) = waves(&own, plan).await {
                counters::failed("dispatch");
                tracing::error!(%error, %plan, "a plan could not be sent; the sweep tries again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            if !own.dispatch.again(plan) {
                return;
            }
        }
    });
}

/// Seals and sends until there is nothing to send now.
async fn waves(worker: &Worker, plan: PlanId) -> Result<(), GateError> {
    for _ in 0..WAVES {
        let sealed = legator_gate::seal(&worker.gate, &worker.authority, plan).await?;
        if sealed.changed {
            worker.wake("plan", plan).await;
            worker.wake("event", plan).await;
        }
        if sealed.deliveries.is_empty() {
            return Ok(());
        }
        send(worker, sealed.tenant, sealed.deliveries).await?;
    }
    Ok(())
}

/// Sends grants; gives back those that no connection took.
async fn send(worker: &Worker, tenant: TenantId, deliveries: Vec<(HostId, Delivery)>) -> Result<(), GateError> {
    let fleet = hosts::facts(&worker.store, tenant).await?;
    let route = |host: HostId| {
        let place = fleet.binary_search_by_key(&host, |row| row.id).ok()?;
        fleet.get(place).and_then(|row| Route::of(tenant, row))
    };
    let sending = deliveries.into_iter().map(|(host, delivery)| {
        let route = route(host);
        async move {
            let task = delivery.leaf.task;
            let frame = Down::Grant(Box::new(delivery));
            let taken = match route {
                Some(route) => deliver::send(worker, route, frame).await,
                None => false,
            };
            (task, taken)
        }
    });
    let sent: Vec<(TaskId, bool)> = futures::stream::iter(sending).buffer_unordered(AT_ONCE).collect().await;
    for (task, _) in sent.into_iter().filter(|(_, taken)| !taken) {
        legator_gate::give_back(&worker.gate, task).await?;
    }
    Ok(())
}

/// Takes grants back that probes were too busy for, until shutdown.
pub(crate) async fn run_busy(worker: Worker, shutdown: CancellationToken) {
    let Some(mut busy) = crate::listen(&worker, subject::host_ups("busy"), "dispatch").await else { return };
    loop {
        let message = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(message) = busy.next() => message,
        };
        if let Err(error) = rest(&worker, &message).await {
            tracing::error!(%error, "a grant that was given back is lost; its host's next session gets it");
        }
    }
}

/// A grant rests a while before it is offered again; meanwhile it counts as sent.
async fn rest(worker: &Worker, message: &Message) -> Result<(), GateError> {
    let Some((host, _)) = subject::read::host_up(&message.subject) else { return Ok(()) };
    let Some(FromHost { tenant, edge, epoch, said: Said::Busy { task } }) = unpack(&message.body) else { return Ok(()) };
    let row = hosts::find(&worker.store, tenant, host).await?;
    if row.is_none_or(|row| row.epoch != epoch || row.edge != Some(edge)) {
        return Ok(());
    }
    let times = {
        let mut resting = worker.dispatch.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.len() >= RESTING_MAX && !resting.contains_key(&task) {
            resting.clear();
        }
        let times = resting.entry(task).or_default();
        *times += 1;
        *times
    };
    let pause = BACK_OFF.saturating_mul(1 << times.min(10).saturating_sub(1)).min(BACK_OFF_MAX);
    let own = worker.clone();
    worker.tasks.spawn(async move {
        tokio::time::sleep(pause).await;
        match legator_gate::give_back_from(&own.gate, host, task).await {
            Ok(Some(plan)) => due(&own, plan).await,
            Ok(None) => drop(own.dispatch.resting.lock().unwrap_or_else(PoisonError::into_inner).remove(&task)),
            Err(error) => tracing::error!(%error, %task, "a grant was not taken back"),
        }
    });
    Ok(())
}
