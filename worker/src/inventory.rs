//! Inventories from probes: verified, compared with what is there, stored part by part, each change told as an event.
//!
//! Owns the loop. Never stores what its host's key did not sign. Invariant: an older inventory, or one beyond its limits, changes nothing.

use crate::{Worker, counters};
use futures::StreamExt as _;
use legator_bus::{Message, subject};
use legator_core::event::{About, Actor, NewEvent};
use legator_core::ids::{HostId, TenantId, TraceId};
use legator_core::inventory::{acceptable, differences};
use legator_store::inventory::{self as stored, Part, Taken};
use legator_store::{Audited, Keeping, Op, StoreError, hosts};
use legator_wire::corridor::{FromHost, Said, unpack};
use legator_wire::inventory::Inventory;
use legator_wire::keys::PublicKey;
use serde_json::json;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// Inventories at the same time.
const AT_ONCE: usize = 4;

/// Takes inventories in until shutdown.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Some(inventories) = crate::listen(&worker, subject::host_ups("inventory"), "inventory").await else {
        return;
    };
    let all = inventories.for_each_concurrent(AT_ONCE, |message| take(&worker, message));
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = all => {}
    }
}

async fn take(worker: &Worker, message: Message) {
    let taken = match verified(worker, &message).await {
        Ok(Some(inventory)) => store(worker, inventory).await,
        Ok(None) => {
            counters::inventory("refused");
            return;
        }
        Err(error) => Err(error),
    };
    match taken {
        Ok(what) => counters::inventory(what),
        Err(error) => {
            tracing::error!(%error, "an inventory was not stored; the probe sends the next one whole")
        }
    }
}

struct Verified {
    host: HostId,
    tenant: TenantId,
    inventory: Inventory,
}

async fn verified(worker: &Worker, message: &Message) -> Result<Option<Verified>, StoreError> {
    let Some((host, _)) = subject::read::host_up(&message.subject) else { return Ok(None) };
    let Some(FromHost { epoch, tenant, edge, said: Said::Inventory { envelope } }) = unpack(&message.body)
    else {
        return Ok(None);
    };
    let Some(row) = hosts::find(&worker.store, tenant, host).await? else { return Ok(None) };
    let Ok(key) = row.key.parse::<PublicKey>() else { return Ok(None) };
    if row.revoked || row.epoch != epoch || row.edge != Some(edge) {
        return Ok(None);
    }
    let Ok(inventory) = envelope.open::<Inventory>(&key) else { return Ok(None) };
    let right = inventory.host == host && inventory.installation == worker.gate.installation();
    let bounded = inventory.parts.iter().all(|(name, part)| acceptable(name, part));
    Ok((right && bounded).then_some(Verified { host, tenant, inventory }))
}

async fn store(worker: &Worker, verified: Verified) -> Result<&'static str, StoreError> {
    let Verified { host, tenant, inventory } = verified;
    let known = stored::parts(&worker.store, host).await?;
    let events = changes(host, &known, &inventory);
    let gone = |name: &&String| inventory.whole && !inventory.parts.contains_key(*name);
    let taken = Taken {
        host,
        tenant,
        sequence: inventory.sequence,
        gone: known.keys().filter(gone).cloned().collect(),
        changed: inventory
            .parts
            .into_iter()
            .filter(|(name, value)| known.get(name).is_none_or(|part| part.value != *value))
            .collect(),
    };
    let mut events = events.into_iter();
    let Some(first) = events.next() else {
        let new = worker.store.keep(Keeping::Inventory, async |tx| stored::take(tx, &taken).await).await?;
        return Ok(if new { "unchanged" } else { "old" });
    };
    let op = Op { tenant, actor: Actor::Probe { host }, trace: TraceId::fresh(worker.ids.as_ref()) };
    let written = worker.store.write(&op, async |tx| match stored::take(tx, &taken).await? {
        true => Ok(Audited::many((), first, events.collect())),
        false => Err(Old::Sequence),
    });
    match written.await {
        Ok(()) => {
            worker.wake("host", host).await;
            worker.wake("event", host).await;
            Ok("changed")
        }
        Err(Old::Sequence) => Ok("old"),
        Err(Old::Store(error)) => Err(error),
    }
}

enum Old {
    Sequence,
    Store(StoreError),
}

impl From<StoreError> for Old {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One event a change; the first inventory is one event in all.
fn changes(host: HostId, known: &BTreeMap<String, Part>, new: &Inventory) -> Vec<NewEvent> {
    let about = || About::host(host);
    if known.is_empty() {
        let parts: Vec<&String> = new.parts.keys().collect();
        return vec![NewEvent::new("inventory.taken", about(), json!({"parts": parts}))];
    }
    let mut events = Vec::new();
    for (name, value) in &new.parts {
        let Some(old) = known.get(name) else {
            events.push(NewEvent::new(
                "inventory.changed",
                about(),
                json!({"part": name, "change": format!("{name} is known now")}),
            ));
            continue;
        };
        for change in differences(name, &old.value, value) {
            events.push(NewEvent::new("inventory.changed", about(), json!({"part": name, "change": change})));
        }
    }
    events
}
