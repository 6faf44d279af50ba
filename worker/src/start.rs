//! What a host is sent as soon as its session has begun: its limits, and what was under way or waits for it.
//!
//! Owns that order. Invariant: a task that was sent to an earlier session is sent again with the very same grant; the probe's journal
//! makes that harmless.

use crate::deliver::{self, Route};
use crate::{Worker, cancel, dispatch, limits};
use legator_store::sessions::{Begun, Session};
use legator_store::tasks;
use legator_wire::frame::Down;

/// A session has begun: does the rest behind the loop.
pub(crate) async fn session_began(worker: &Worker, begun: Begun) {
    let session = begun.session;
    worker.wake("host", session.host).await;
    if session.cloned_at.is_some() {
        worker.wake("event", session.host).await;
        return;
    }
    let own = worker.clone();
    worker.tasks.spawn(async move {
        let Ok(_place) = own.catching_up.acquire().await else { return };
        if let Err(error) = catch_up(&own, &session).await {
            tracing::error!(%error, host = %session.host, "a host that came back was not caught up; the sweep does it");
        }
    });
}

async fn catch_up(worker: &Worker, session: &Session) -> Result<(), legator_gate::GateError> {
    let route =
        Route { tenant: session.tenant, host: session.host, edge: session.edge, epoch: session.epoch };
    limits::bring(worker, route, session.said.limits_version).await;
    let stopped = cancel::of_host(worker, route).await?;
    for handed in legator_gate::resend(&worker.gate, &worker.authority, session.host).await? {
        if !session.said.running.contains(&handed.task) && !stopped.contains(&handed.task) {
            deliver::tell(worker, route, Down::Grant(Box::new(handed.delivery))).await;
        }
    }
    for plan in tasks::waiting_for(&worker.store, session.host).await? {
        dispatch::due(worker, plan).await;
    }
    Ok(())
}
