//! What a proven session says, frame by frame.
//!
//! Owns which frames go where. A frame that is none, or that only a server may send, ends the session.

use super::Reason;
use crate::handshake::Socket;
use crate::pace::Pace;
use crate::up::Who;
use crate::{Inner, counters, up};
use futures::StreamExt as _;
use futures::stream::SplitStream;
use legator_wire::corridor::{Pulse, Said};
use legator_wire::frame::{Beat, OUTPUT_FRAME_BYTES_MAX, Output, Up};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Mounted file systems in one beat, at most.
const BEAT_DISKS_MAX: usize = 64;
/// Bytes of the path of one of them, at most.
const PATH_BYTES_MAX: usize = 4096;

/// When the session was last heard.
pub(super) struct Heard(Mutex<Instant>);

impl Heard {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    pub(super) fn silence(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// Reads until the session ends.
pub(super) async fn run(edge: &Inner, stream: &mut SplitStream<Socket>, heard: &Heard, who: Who) -> Reason {
    let mut pace = Pace::new();
    while let Some(message) = stream.next().await {
        heard.now();
        let bytes = message.as_ref().map_or(0, Message::len);
        let odd = match message {
            Ok(Message::Text(text)) => match Up::parse(&text) {
                Ok(up) => took(edge, who, up).await,
                Err(_) => Err("no-frame"),
            },
            Ok(Message::Ping(_) | Message::Pong(_)) => Ok(()),
            Ok(Message::Binary(_) | Message::Frame(_)) => Err("binary"),
            Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::Io(_) | Error::AlreadyClosed) => {
                return "gone";
            }
            Err(Error::Capacity(_)) => Err("too-large"),
            Err(_) => Err("no-websocket"),
        };
        if let Err(what) = odd {
            up::odd(edge, who, what).await;
            return "odd";
        }
        if let Some(wait) = pace.after(bytes) {
            tokio::time::sleep(wait).await;
        }
    }
    "gone"
}

async fn took(edge: &Inner, who: Who, frame: Up) -> Result<(), &'static str> {
    let (kind, said) = match frame {
        Up::Hello { .. } => return Err("second-hello"),
        Up::Beat(beat) => return beaten(edge, who, beat),
        Up::Output(output) => return printed(edge, who, output).await,
        Up::Receipt(sent) => ("receipt", Said::Receipt(sent)),
        Up::Inventory { envelope } => ("inventory", Said::Inventory { envelope }),
        Up::Started { plan, task } => ("started", Said::Started { plan, task }),
        Up::Busy { task } => ("busy", Said::Busy { task }),
    };
    counters::frame(kind);
    up::say(edge, who, said).await;
    Ok(())
}

/// No time that a host says makes it look alive: the edge's own clock does.
fn beaten(edge: &Inner, who: Who, beat: Beat) -> Result<(), &'static str> {
    counters::frame("beat");
    let mut metrics = beat.metrics;
    let bounded = metrics.disks.len() <= BEAT_DISKS_MAX
        && metrics.disks.iter().all(|disk| disk.path.len() <= PATH_BYTES_MAX);
    if !bounded {
        return Err("beat-too-large");
    }
    for load in &mut metrics.load {
        *load = if load.is_finite() { load.clamp(0.0, 1e6) } else { 0.0 };
    }
    let seen_at = edge.clock.now();
    let clock_ahead_ms = beat.at.millis().saturating_sub(seen_at.millis());
    edge.pulses.put(Pulse { host: who.host, epoch: who.epoch, seen_at, clock_ahead_ms, metrics });
    Ok(())
}

async fn printed(edge: &Inner, who: Who, output: Output) -> Result<(), &'static str> {
    counters::frame("output");
    if output.bytes.len() > OUTPUT_FRAME_BYTES_MAX {
        return Err("output-too-large");
    }
    up::output(edge, who.host, output.plan, &output).await;
    Ok(())
}
