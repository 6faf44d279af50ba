//! Tasks of plans that were taken back: their hosts are told to stop, signed, until they answer.
//!
//! Owns the telling. Never calls a task cancelled: what is at work ends by its receipt. Invariant: an order goes out only for a task
//! whose plan the store says was cancelled, whoever woke this loop.

use crate::Worker;
use crate::deliver::{self, Route};
use legator_bus::subject;
use legator_core::ids::TaskId;
use legator_gate::cancel_order;
use legator_store::{StoreError, tasks};
use legator_wire::frame::Down;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Tells until shutdown.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Some(mut wakes) = crate::listen(&worker, subject::wakes("cancel"), "cancel").await else { return };
    let mut sweep = tokio::time::interval(Duration::from_secs(2));
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_) = wakes.next() => while wakes.try_next().is_some() {},
            _ = sweep.tick() => {}
        }
        if let Err(error) = tick(&worker).await {
            tracing::error!(%error, "hosts were not told to stop; the next sweep is in two seconds");
        }
    }
}

async fn tick(worker: &Worker) -> Result<(), StoreError> {
    for task in tasks::taken_back(&worker.store, None).await? {
        if let Some(route) = Route::to(worker, task.tenant, task.host).await? {
            tell(worker, route, task.id).await;
        }
    }
    Ok(())
}

/// Tells a host that came back which of its tasks to stop. Those are not sent to it again.
pub(crate) async fn of_host(worker: &Worker, route: Route) -> Result<Vec<TaskId>, StoreError> {
    let mut stopped = Vec::new();
    for task in tasks::taken_back(&worker.store, Some(route.host)).await? {
        tell(worker, route, task.id).await;
        stopped.push(task.id);
    }
    Ok(stopped)
}

async fn tell(worker: &Worker, route: Route, task: TaskId) {
    let envelope = cancel_order(&worker.gate, &worker.authority, (route.host, task), worker.clock.now());
    deliver::tell(worker, route, Down::Cancel { envelope }).await;
}
