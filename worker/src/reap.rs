//! What time ends: plans that nobody decided, tasks of which nothing came back, plans whose last task has ended.
//!
//! Owns the sweep, each second. Never ends a task that a receipt may still end, except as unknown.

use crate::{Worker, counters, dispatch};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Sweeps until shutdown.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(Duration::from_secs(1));
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => tick(&worker).await,
        }
    }
}

async fn tick(worker: &Worker) {
    match legator_gate::reap(&worker.gate).await {
        Ok(reaped) => {
            for plan in reaped.changed {
                worker.wake_plan(plan).await;
                worker.wake("event", plan).await;
            }
            for plan in reaped.prepare {
                dispatch::prepare(worker, plan).await;
            }
            for plan in reaped.dispatch {
                dispatch::due(worker, plan).await;
            }
        }
        Err(error) => {
            counters::failed("reap");
            tracing::error!(%error, "the sweep failed; the next one is in a second");
        }
    }
}
