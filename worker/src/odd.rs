//! What edges report about connections that only an attacker or a broken program makes.
//!
//! Owns the event and its rate: one a host, word and minute, so that nobody fills the log. Never acts on it.

use crate::{Worker, counters};
use legator_bus::{Message, subject};
use legator_core::event::{About, NewEvent};
use legator_core::ids::{HostId, TraceId};
use legator_store::{Audited, Op, StoreError, hosts};
use legator_wire::corridor::{FromHost, Said, unpack};
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const AGAIN_AFTER: Duration = Duration::from_secs(60);
const REMEMBERED_MAX: usize = 4_096;

type Told = HashMap<(HostId, String), Instant>;

/// Tells until shutdown.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Some(mut reports) = crate::listen(&worker, subject::host_ups("odd"), "odd").await else { return };
    let mut told = Told::new();
    loop {
        let message = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(message) = reports.next() => message,
        };
        if let Err(error) = tell(&worker, &mut told, &message).await {
            tracing::error!(%error, "an odd connection was not recorded");
        }
    }
}

async fn tell(worker: &Worker, told: &mut Told, message: &Message) -> Result<(), StoreError> {
    let Some((host, _)) = subject::read::host_up(&message.subject) else { return Ok(()) };
    let Some(FromHost { tenant, edge, said: Said::Odd { what }, .. }) = unpack(&message.body) else { return Ok(()) };
    let what: String = what.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
    told.retain(|_, at| at.elapsed() < AGAIN_AFTER);
    let key = (host, what.clone());
    if told.contains_key(&key) || told.len() >= REMEMBERED_MAX {
        return Ok(());
    }
    if hosts::tenant_of(&worker.store, host).await? != Some(tenant) {
        return Ok(());
    }
    told.insert(key, Instant::now());
    counters::failed("odd-connection");
    let op = Op::system(tenant, "edge", TraceId::fresh(worker.ids.as_ref()));
    let event = NewEvent::new("host.odd_connection", About::host(host), json!({"what": what, "edge": edge}));
    worker.store.write(&op, async |_| Ok::<_, StoreError>(Audited::new((), event))).await?;
    worker.wake("event", host).await;
    Ok(())
}
