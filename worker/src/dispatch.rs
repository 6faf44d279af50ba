//! Grants to hosts: which plans are due, several at once, and what happens to a grant that nobody took.
//!
//! Owns the queue of due plans. Invariant: one slow plan, and results that are lost, hold no other plan back.

use crate::deliver::{self, Route};
use crate::{Worker, counters};
use futures::StreamExt as _;
use legator_bus::{Message, subject};
use legator_core::ids::{HostId, PlanId, TaskId, TenantId};
use legator_gate::{GateError, Handed};
use legator_store::{hosts, tasks};
use legator_wire::corridor::{FromHost, Said, unpack};
use legator_wire::frame::Down;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Grants of one plan under way to edges at the same time.
const AT_ONCE: usize = 64;
/// Waves sealed for one plan before others get their turn.
const WAVES: usize = 64;
/// A call that sealed so many may have been cut by its limits: there may be more.
const MORE_FROM: usize = 64;
/// A wake of one's own comes back within this time.
const ECHO_FOR: Duration = Duration::from_millis(200);
/// Own wakes that are remembered, at most.
const ECHOES_MAX: usize = 10_000;
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
    /// Wakes that this worker sent for watchers and hears itself.
    echoes: Mutex<HashMap<PlanId, (u32, Instant)>>,
}

impl Memory {
    /// This worker is about to wake watchers of a plan.
    pub(crate) fn expect_echo(&self, plan: PlanId) {
        let mut echoes = self.echoes.lock().unwrap_or_else(PoisonError::into_inner);
        if echoes.len() >= ECHOES_MAX {
            echoes.retain(|_, (_, at)| at.elapsed() < ECHO_FOR);
        }
        let echo = echoes.entry(plan).or_insert((0, Instant::now()));
        *echo = (echo.0 + 1, Instant::now());
    }

    /// Whether a wake is one of this worker's own.
    fn is_echo(&self, plan: PlanId) -> bool {
        let mut echoes = self.echoes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((count, at)) = echoes.get_mut(&plan) else { return false };
        let echo = at.elapsed() < ECHO_FOR;
        *count -= 1;
        if *count == 0 || !echo {
            echoes.remove(&plan);
        }
        echo
    }

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

/// Works at plans as they are woken, until shutdown. The reaper's sweep finds those whose wake was lost.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Some(mut wakes) = crate::listen(&worker, subject::wakes("plan"), "dispatch").await else { return };
    loop {
        let message = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(message) = wakes.next() => message,
        };
        let plan = subject::read::wake(&message.subject).and_then(|(_, id)| id.parse().ok());
        if let Some(plan) = plan.filter(|plan| !worker.dispatch.is_echo(*plan)) {
            due(&worker, plan).await;
        }
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

/// The state that a plan has to show was read, or its time is over: decides about it.
pub(crate) async fn prepare(worker: &Worker, plan: PlanId) {
    match legator_gate::prepared(&worker.gate, plan).await {
        Ok(_) => {
            worker.wake_plan(plan).await;
            worker.wake("event", plan).await;
        }
        Err(GateError::Conflict | GateError::Nothing) => {}
        Err(error) => {
            counters::failed("prepare");
            tracing::error!(%error, %plan, "a plan was not prepared; the sweep tries again");
        }
    }
}

/// Seals and sends until there is nothing to send now. What results or a pause make due later is woken by them, or found by the sweep.
async fn waves(worker: &Worker, plan: PlanId) -> Result<(), GateError> {
    for _ in 0..WAVES {
        let sealed = match legator_gate::seal(&worker.gate, &worker.authority, plan).await {
            Ok(sealed) => sealed,
            Err(GateError::Conflict) => continue,
            Err(GateError::Nothing) => return Ok(()),
            Err(error) => return Err(error),
        };
        if sealed.changed {
            worker.wake_plan(plan).await;
            worker.wake("event", plan).await;
        }
        let more = sealed.deliveries.len() >= MORE_FROM;
        send(worker, sealed.tenant, sealed.deliveries).await?;
        if !more {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends grants; gives back those that no connection took.
async fn send(worker: &Worker, tenant: TenantId, deliveries: Vec<Handed>) -> Result<(), GateError> {
    let sending = deliveries.into_iter().map(|handed| async move {
        let taken = match handed.edge {
            Some(edge) => {
                let route = Route { tenant, host: handed.host, edge, epoch: handed.epoch };
                deliver::send(worker, route, Down::Grant(Box::new(handed.delivery))).await
            }
            None => false,
        };
        (!taken).then_some((handed.host, handed.task))
    });
    let sent: Vec<Option<(HostId, TaskId)>> =
        futures::stream::iter(sending).buffer_unordered(AT_ONCE).collect().await;
    let back: Vec<(HostId, TaskId)> = sent.into_iter().flatten().collect();
    for batch in back.chunks(500) {
        legator_gate::give_back(&worker.gate, batch).await?;
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
    let Some(FromHost { tenant, edge, epoch, said: Said::Busy { task } }) = unpack(&message.body) else {
        return Ok(());
    };
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
        if let Err(error) = offer_again(&own, host, task).await {
            tracing::error!(%error, %task, "a grant was not taken back; its host's next session gets it");
        }
    });
    Ok(())
}

async fn offer_again(worker: &Worker, host: HostId, task: TaskId) -> Result<(), GateError> {
    let given_back = legator_gate::give_back(&worker.gate, &[(host, task)]).await?;
    if given_back == 0 {
        worker.dispatch.resting.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
    }
    for row in tasks::by_ids(&worker.store, &[task]).await? {
        due(worker, row.plan).await;
    }
    Ok(())
}
