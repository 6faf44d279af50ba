//! Hellos become sessions, in batches; byes end them.
//!
//! Owns the verdict on a hello that an edge has proven offline: the key has to be the one that is sealed for that host, now.
//! Invariant: a session's epoch is in the store before the probe hears it.

use crate::{Worker, counters, start};
use legator_bus::{Message, subject};
use legator_core::ids::{HostId, TenantId, TraceId};
use legator_store::hosts;
use legator_store::sessions::{self, Begun, Opening, SaidHello};
use legator_wire::corridor::{Command, FromHost, HelloAnswer, HelloUp, Order, Said, pack, unpack};
use legator_wire::hello::Hello;
use legator_wire::keys::PublicKey;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Hellos of one transaction, at most.
const BATCH: usize = 500;
/// How long a batch waits for more. The herd comes in thousands; one probe should not wait for it.
const LINGER: Duration = Duration::from_millis(20);

/// Makes sessions until shutdown.
pub(crate) async fn run_hellos(worker: Worker, shutdown: CancellationToken) {
    let Some(mut hellos) = crate::listen(&worker, subject::host_ups("hello"), "sessions").await else {
        return;
    };
    loop {
        let first = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(first) = hellos.next() => first,
        };
        let batch = crate::batch(first, &mut hellos, (BATCH, LINGER)).await;
        admit(&worker, batch).await;
    }
}

/// Ends sessions until shutdown.
pub(crate) async fn run_byes(worker: Worker, shutdown: CancellationToken) {
    let Some(mut byes) = crate::listen(&worker, subject::host_ups("bye"), "sessions").await else { return };
    loop {
        let first = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(first) = byes.next() => first,
        };
        let batch = crate::batch(first, &mut byes, (BATCH, LINGER)).await;
        end(&worker, &batch).await;
    }
}

async fn end(worker: &Worker, batch: &[Message]) {
    let ended: Vec<(TenantId, HostId, u64)> = batch
        .iter()
        .filter_map(|message| {
            let (host, _) = subject::read::host_up(&message.subject)?;
            let from: FromHost = unpack(&message.body)?;
            (from.said == Said::Bye).then_some((from.tenant, host, from.epoch))
        })
        .collect();
    if let Err(error) = sessions::end(&worker.store, &ended).await {
        tracing::error!(%error, "sessions that ended are not written; the sweep finds them");
    }
    for (_, host, _) in &ended {
        worker.wake("host", host).await;
    }
}

/// Verifies a batch of hellos, makes sessions of the good ones, and answers all.
async fn admit(worker: &Worker, batch: Vec<Message>) {
    let mut good: Vec<(Opening, Message)> = Vec::with_capacity(batch.len());
    for message in batch {
        match verified(worker, &message).await {
            Ok(opening) => good.push((opening, message)),
            Err(code) => {
                counters::denied(code);
                answer(worker, &message, &HelloAnswer::Denied { code: code.to_owned() }).await;
            }
        }
    }
    if good.is_empty() {
        return;
    }
    let openings: Vec<Opening> = good.iter().map(|(opening, _)| opening.clone()).collect();
    match sessions::begin(&worker.store, &openings, TraceId::fresh(worker.ids.as_ref())).await {
        Ok(begun) => {
            for (opening, message) in &good {
                tell(worker, opening, message, &begun).await;
            }
            for begun in begun {
                start::session_began(worker, begun).await;
            }
        }
        Err(error) => {
            tracing::error!(%error, "sessions could not be written");
            for (_, message) in &good {
                answer(worker, message, &HelloAnswer::After { ms: 2_000 }).await;
            }
        }
    }
}

async fn tell(worker: &Worker, opening: &Opening, message: &Message, begun: &[Begun]) {
    let mine = |begun: &&Begun| {
        let session = &begun.session;
        session.host == opening.host && session.edge == opening.edge && session.instance == opening.instance
    };
    let Some(begun) = begun.iter().find(mine) else {
        // Another hello of this host came in the same batch, later.
        return answer(worker, message, &HelloAnswer::After { ms: 1_000 }).await;
    };
    if let Some((edge, epoch)) = begun.fenced {
        let order = Order::Fence { epoch: begun.session.epoch };
        let command = Command { epoch: Some(epoch), order };
        let _ = worker.bus.publish(&subject::edge_cmd(edge, opening.host), pack(&command)).await;
    }
    answer(worker, message, &HelloAnswer::Admitted { epoch: begun.session.epoch }).await;
}

async fn answer(worker: &Worker, message: &Message, answer: &HelloAnswer) {
    let _ = worker.bus.reply(message, pack(answer)).await;
}

/// The opening that this message is, or the word of refusal.
async fn verified(worker: &Worker, message: &Message) -> Result<Opening, &'static str> {
    let (host, _) = subject::read::host_up(&message.subject).ok_or("malformed")?;
    let up: HelloUp = unpack(&message.body).ok_or("malformed")?;
    let busy = |error| {
        tracing::error!(%error, "a hello could not be checked");
        "busy"
    };
    let known = hosts::sealed(&worker.store, up.tenant, host).await.map_err(busy)?.ok_or("bad-credential")?;
    if hosts::is_revoked(&worker.store, up.tenant, host).await.map_err(busy)? {
        return Err("revoked");
    }
    let key: PublicKey = known.key.parse().map_err(|_| "bad-credential")?;
    let hello: Hello = up.envelope.open(&key).map_err(|_| "bad-signature")?;
    let right =
        hello.host == host && hello.edge == up.edge && hello.installation == worker.gate.installation();
    if !right || key != up.key {
        return Err("bad-signature");
    }
    let clock_ahead_ms = hello.made_at.millis().saturating_sub(worker.clock.now().millis());
    let said = SaidHello {
        hostname: hello.hostname,
        version: hello.version,
        cage: hello.cage,
        max_level: hello.max_level,
        limits_version: hello.limits_version,
        running: hello.running,
    };
    Ok(Opening { host, tenant: up.tenant, edge: up.edge, instance: hello.instance, clock_ahead_ms, said })
}
