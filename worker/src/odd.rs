//! What only an attacker or a broken program does: odd connections, as edges report them, and receipts that prove nothing.
//!
//! Owns the events and their rate: one a host, word, task and minute, and few a host, so that nobody fills the log. Never acts on it.

use crate::{Worker, counters};
use legator_bus::{Message, subject};
use legator_core::event::{About, NewEvent};
use legator_core::ids::{HostId, TenantId, TraceId};
use legator_gate::{Odd, Settled};
use legator_store::{Audited, Op, StoreError, hosts};
use legator_wire::corridor::{FromHost, Said, unpack};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const AGAIN_AFTER: Duration = Duration::from_secs(60);
const REMEMBERED_MAX: usize = 4_096;
/// Of one host, at most.
const OF_HOST_MAX: usize = 32;

/// What was told within the last minute.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<(HostId, String), Instant>>);

impl Memory {
    /// Whether this is to be told now; it is remembered as told then.
    fn is_news(&self, host: HostId, what: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| at.elapsed() < AGAIN_AFTER);
        let key = (host, what.to_owned());
        let of_host = told.keys().filter(|(known, _)| *known == host).count();
        if told.contains_key(&key) || of_host >= OF_HOST_MAX || told.len() >= REMEMBERED_MAX {
            return false;
        }
        told.insert(key, Instant::now());
        true
    }

    fn forget(&self, host: HostId, what: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(host, what));
    }
}

/// Tells until shutdown.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Some(mut reports) = crate::listen(&worker, subject::host_ups("odd"), "odd").await else { return };
    loop {
        let message = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(message) = reports.next() => message,
        };
        if let Err(error) = connection(&worker, &message).await {
            tracing::error!(%error, "an odd connection was not recorded");
        }
    }
}

async fn connection(worker: &Worker, message: &Message) -> Result<(), StoreError> {
    let Some((host, _)) = subject::read::host_up(&message.subject) else { return Ok(()) };
    let Some(FromHost { tenant, edge, said: Said::Odd { what }, .. }) = unpack(&message.body) else {
        return Ok(());
    };
    let what: String = what.chars().filter(char::is_ascii_graphic).take(40).collect();
    if hosts::tenant_of(&worker.store, host).await? != Some(tenant) || !worker.odd.is_news(host, &what) {
        return Ok(());
    }
    let event = NewEvent::new("host.odd_connection", About::host(host), json!({"what": what, "edge": edge}));
    write(worker, tenant, event).await
}

/// A receipt that ended nothing, and why that is strange. Says whether it is on record.
pub(crate) async fn receipt(worker: &Worker, settled: &Settled, odd: &Odd) -> bool {
    let state = settled.state;
    let (kind, data) = match odd {
        Odd::Unproven => ("receipt.refused", json!({"state": state})),
        Odd::Delivery(refusal) => ("delivery.refused", json!({"state": state, "reason": refusal.name()})),
        Odd::Contradiction { first, second, outcome } => (
            "receipt.contradicts",
            json!({"state": state, "stands": first, "other": second, "other_outcome": outcome}),
        ),
        Odd::Late { receipt, outcome } => {
            ("receipt.late", json!({"state": state, "receipt": receipt, "outcome": outcome}))
        }
    };
    let what = format!("{kind} {}", settled.task);
    if !worker.odd.is_news(settled.host, &what) {
        return true;
    }
    let about = About { host: Some(settled.host), plan: Some(settled.plan), task: Some(settled.task) };
    match write(worker, settled.tenant, NewEvent::new(kind, about, data)).await {
        Ok(()) => true,
        Err(error) => {
            worker.odd.forget(settled.host, what);
            tracing::error!(%error, kind, "what is strange about a receipt was not recorded");
            false
        }
    }
}

async fn write(worker: &Worker, tenant: TenantId, event: NewEvent) -> Result<(), StoreError> {
    counters::failed("odd");
    let op = Op::system(tenant, "edge", TraceId::fresh(worker.ids.as_ref()));
    worker.store.write(&op, async |_| Ok::<_, StoreError>(Audited::new((), event))).await?;
    worker.wake("event", op.trace).await;
    Ok(())
}
