//! Frames to hosts, by way of the edge that holds each.
//!
//! Owns the request to the edge and what its answer means. Invariant: a grant that no connection took is given back, never left as sent.

use crate::{Worker, counters};
use legator_bus::{BusError, subject};
use legator_core::ids::{HostId, InstanceId, TenantId};
use legator_store::hosts::{self, HostRow};
use legator_store::{StoreError, sessions};
use legator_wire::corridor::{Command, Heard, Order, pack, unpack};
use legator_wire::frame::Down;
use std::time::Duration;

/// How long an edge may take to queue a frame.
const ANSWER: Duration = Duration::from_secs(3);

/// The session that a frame is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) tenant: TenantId,
    pub(crate) host: HostId,
    pub(crate) edge: InstanceId,
    pub(crate) epoch: u64,
}

impl Route {
    /// The present route to a host, if it is connected and nothing holds it back.
    pub(crate) async fn to(
        worker: &Worker,
        tenant: TenantId,
        host: HostId,
    ) -> Result<Option<Self>, StoreError> {
        let row = hosts::find(&worker.store, tenant, host).await?;
        Ok(row.and_then(|row| Self::of(tenant, &row)))
    }

    pub(crate) fn of(tenant: TenantId, row: &HostRow) -> Option<Self> {
        let edge = row.edge.filter(|_| row.connected)?;
        Some(Self { tenant, host: row.id, edge, epoch: row.epoch })
    }
}

/// Sends a frame and says whether it is in the session's queue. A session that is not there is ended in the store.
pub(crate) async fn send(worker: &Worker, route: Route, frame: Down) -> bool {
    let command = Command { epoch: Some(route.epoch), order: Order::Send { frame: Box::new(frame) } };
    let subject = subject::edge_cmd(route.edge, route.host);
    let heard = match worker.bus.request(&subject, pack(&command), ANSWER).await {
        Ok(body) => unpack::<Heard>(&body).unwrap_or(Heard::Full),
        Err(BusError::NoResponder(_)) => Heard::NotHere,
        Err(error) => {
            tracing::warn!(%error, host = %route.host, "an edge did not take a frame");
            Heard::Full
        }
    };
    counters::grants(match heard {
        Heard::Queued => "queued",
        Heard::NotHere => "not-here",
        Heard::Full => "full",
    });
    if heard == Heard::NotHere {
        let ended = [(route.tenant, route.host, route.epoch)];
        if let Err(error) = sessions::end(&worker.store, &ended).await {
            tracing::error!(%error, "a session that is not there was not ended");
        }
    }
    heard == Heard::Queued
}

/// Sends a frame to whoever holds the session, without waiting for an answer: for what is said again anyway.
pub(crate) async fn tell(worker: &Worker, route: Route, frame: Down) {
    let command = Command { epoch: Some(route.epoch), order: Order::Send { frame: Box::new(frame) } };
    let _ = worker.bus.publish(&subject::edge_cmd(route.edge, route.host), pack(&command)).await;
}
