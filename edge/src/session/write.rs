//! What goes down to a proven session: its queue, pings, and the word to come back later.
//!
//! Owns the deadline of each frame. Invariant: a session that does not take its frames is closed, and nobody waits for it.

use super::Reason;
use super::read::Heard;
use crate::handshake::Socket;
use crate::routes::Mailbox;
use crate::up::Who;
use crate::{Inner, counters};
use futures::SinkExt as _;
use futures::stream::SplitSink;
use legator_wire::frame::{self, Down};
use std::sync::atomic::Ordering;
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// A drained probe comes back after half a second to five seconds, so that not all come at once.
const AFTER_MS: std::ops::Range<u64> = 500..5_000;

/// Writes until the session ends.
pub(super) async fn run(
    edge: &Inner,
    sink: &mut SplitSink<Socket, Message>,
    mut mailbox: Mailbox,
    heard: &Heard,
    who: Who,
) -> Reason {
    let mut ping = tokio::time::interval(edge.settings.ping_every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset();
    loop {
        let message = tokio::select! {
            biased;
            () = mailbox.closed.cancelled() => return fenced(edge, sink, who).await,
            () = edge.draining.cancelled() => {
                let after = Down::After { ms: rand::random_range(AFTER_MS) };
                put(edge, sink, Message::text(frame::text(&after))).await;
                return "drained";
            }
            down = mailbox.frames.recv() => match down {
                None => return "fenced",
                Some(down) => {
                    mailbox.waiting.fetch_sub(down.text.len(), Ordering::Relaxed);
                    if down.epoch.is_some_and(|epoch| epoch != who.epoch) {
                        continue;
                    }
                    counters::frame("down");
                    Message::text(down.text)
                }
            },
            _ = ping.tick() => {
                if heard.silence() > edge.settings.silent_after {
                    return "silent";
                }
                Message::Ping(Bytes::new())
            }
        };
        if !put(edge, sink, message).await {
            return "slow";
        }
    }
}

/// A newer session took over, the queue was full, or the host was revoked: in this case it is told.
async fn fenced(edge: &Inner, sink: &mut SplitSink<Socket, Message>, who: Who) -> Reason {
    let revoked = edge.trust.fresh().is_some_and(|trust| trust.revoked.contains(&who.host));
    if revoked {
        let denied = Down::Denied { code: "revoked".to_owned() };
        put(edge, sink, Message::text(frame::text(&denied))).await;
        return "revoked";
    }
    "fenced"
}

async fn put(edge: &Inner, sink: &mut SplitSink<Socket, Message>, message: Message) -> bool {
    matches!(tokio::time::timeout(edge.settings.slow_after, sink.send(message)).await, Ok(Ok(())))
}
