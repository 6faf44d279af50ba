//! The life of one connection: challenge, proof, epoch, then frames both ways until it ends.
//!
//! Owns the order of these steps and their deadlines. Invariant: one connection is one host for its whole life.

use crate::admit::{self, Admitted, Demand};
use crate::handshake::{Fresh, Socket};
use crate::routes::Mailbox;
use crate::up::Who;
use crate::{Inner, counters, up};
use futures::{SinkExt as _, StreamExt as _};
use legator_wire::corridor::{HelloAnswer, HelloUp};
use legator_wire::dsse::Envelope;
use legator_wire::frame::{self, Down, Up};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

mod read;
mod write;

/// Why a connection ended; a closed list for the counter.
type Reason = &'static str;

/// Serves a connection to its end.
pub(crate) async fn serve(edge: &Inner, fresh: Fresh) {
    let Fresh { mut socket, budget, lease } = fresh;
    let Some((admitted, envelope)) = proven(edge, &mut socket).await else {
        return close(socket).await;
    };
    budget.lift();
    drop(lease);
    let host = admitted.host;
    let Some(mailbox) = edge.routes.announce(host) else {
        farewell(edge, &mut socket, &Down::After { ms: 1_000 }).await;
        return close(socket).await;
    };
    let Some(epoch) = epoch_of(edge, &mut socket, &admitted, envelope).await else {
        edge.routes.withdraw(host);
        return close(socket).await;
    };
    if !edge.routes.promote(host, epoch) {
        counters::closed("overtaken");
        return close(socket).await;
    }
    let who = Who { host, tenant: admitted.tenant, epoch };
    counters::admitted();
    let (reason, socket) = live(edge, socket, mailbox, who).await;
    counters::closed(reason);
    edge.routes.leave(host, epoch);
    up::say(edge, who, legator_wire::corridor::Said::Bye).await;
    if let Some(socket) = socket {
        close(socket).await;
    }
}

/// Challenge and proof, each within its deadline.
async fn proven(edge: &Inner, socket: &mut Socket) -> Option<(Admitted, Envelope)> {
    let nonce = hex::encode(rand::random::<[u8; 32]>());
    let challenge = Down::Challenge { edge: edge.instance, nonce: nonce.clone() };
    if !farewell(edge, socket, &challenge).await {
        return None;
    }
    let Ok(first) = tokio::time::timeout(edge.settings.step, first_text(socket)).await else {
        counters::closed("silent");
        return None;
    };
    let Some(Ok(Up::Hello { credential, envelope })) = first.map(|text| Up::parse(&text)) else {
        return deny(edge, socket, "malformed").await;
    };
    let Some(trust) = edge.trust.fresh() else {
        return deny(edge, socket, "busy").await;
    };
    let demand = Demand { edge: edge.instance, nonce: &nonce, now: edge.clock.now() };
    match admit::check(&trust, &demand, &credential, &envelope) {
        Ok(admitted) => Some((admitted, envelope)),
        Err(error) => {
            if let Some((host, tenant)) = error.host() {
                up::odd(edge, Who { host, tenant, epoch: 0 }, error.code()).await;
            }
            deny(edge, socket, error.code()).await
        }
    }
}

/// The first text. Pings before it are bounded by the budget of bytes and the deadline.
async fn first_text(socket: &mut Socket) -> Option<Utf8Bytes> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => return Some(text),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            _ => return None,
        }
    }
}

async fn epoch_of(edge: &Inner, socket: &mut Socket, admitted: &Admitted, envelope: Envelope) -> Option<u64> {
    let body = HelloUp { edge: edge.instance, tenant: admitted.tenant, key: admitted.key, envelope };
    match up::hello(edge, admitted.host, &body).await {
        Some(HelloAnswer::Admitted { epoch }) => Some(epoch),
        Some(HelloAnswer::Denied { code }) => {
            counters::denied("worker");
            farewell(edge, socket, &Down::Denied { code }).await;
            None
        }
        Some(HelloAnswer::After { ms }) => {
            farewell(edge, socket, &Down::After { ms }).await;
            None
        }
        None => deny(edge, socket, "busy").await,
    }
}

/// Frames both ways. Gives the socket back, where both halves are whole.
async fn live(edge: &Inner, mut socket: Socket, mailbox: Mailbox, who: Who) -> (Reason, Option<Socket>) {
    let beat_ms = u64::try_from(edge.settings.probe_beat.as_millis()).unwrap_or(u64::MAX);
    let welcome = Down::Welcome { epoch: who.epoch, beat_ms, now: edge.clock.now() };
    if !farewell(edge, &mut socket, &welcome).await {
        return ("slow", None);
    }
    let heard = read::Heard::new();
    let (mut sink, mut stream) = socket.split();
    let reason = tokio::select! {
        reason = read::run(edge, &mut stream, &heard, who) => reason,
        reason = write::run(edge, &mut sink, mailbox, &heard, who) => reason,
    };
    (reason, sink.reunite(stream).ok())
}

async fn deny<T>(edge: &Inner, socket: &mut Socket, code: &'static str) -> Option<T> {
    counters::denied(code);
    farewell(edge, socket, &Down::Denied { code: code.to_owned() }).await;
    None
}

/// Sends one frame within the deadline of a step.
async fn farewell(edge: &Inner, socket: &mut Socket, down: &Down) -> bool {
    let send = socket.send(Message::text(frame::text(down)));
    matches!(tokio::time::timeout(edge.settings.step, send).await, Ok(Ok(())))
}

/// Closes politely, for a second at most.
async fn close(mut socket: Socket) {
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), socket.close(None)).await;
}
