//! One connection, from the handshake to its end.
//!
//! Owns the deadlines, beats, pings and the window of receipts. Invariant: nothing of an edge is believed but what the authority signed;
//! before it has proven nothing, it can only be slow.

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use legator_core::ids::TaskId;
use legator_wire::frame::{self, Beat, Down, FRAME_BYTES_MAX, Up};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use super::{Ask, End, hello};
use crate::desk;
use crate::enrol::Server;
use crate::metrics::Meter;
use crate::probe::Probe;

/// Each step of the handshake, and each write.
const STEP: Duration = Duration::from_secs(15);
/// Nothing heard for so long, pings included: the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(50);
const PING_EACH: Duration = Duration::from_secs(15);
/// An unacknowledged receipt is sent again after this.
const RESEND_AFTER: Duration = Duration::from_secs(30);
/// Receipts under way without acknowledgement, at most.
const WINDOW: usize = 64;
const BUFFER_BYTES: usize = 8 * 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a connection and talks until it ends.
pub(super) async fn once(
    probe: &Arc<Probe>,
    server: &Server,
    (line, inbox): (&mut mpsc::Receiver<Up>, &mpsc::Sender<Ask>),
    stop: &mut watch::Receiver<bool>,
) -> End {
    let opened = tokio::select! {
        opened = open(probe, server) => opened,
        _ = stop.wait_for(|stopped| *stopped) => return End::Stopped,
    };
    let (socket, beat) = match opened {
        Ok(opened) => opened,
        Err(end) => return end,
    };
    while line.try_recv().is_ok() {} // What was meant for an earlier session: receipts are in the journal.
    let (sink, stream) = socket.split();
    let mut talk = Talk {
        probe,
        sink,
        under_way: BTreeMap::new(),
        meter: Meter::default(),
        heard: Instant::now(),
        pending: None,
    };
    let end = talk.run(stream, (line, inbox), (beat, stop)).await;
    let _ = timeout(Duration::from_secs(1), talk.sink.close()).await;
    end
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(4 * FRAME_BYTES_MAX)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
}

/// Connects, answers the challenge and waits to be welcomed. With the socket comes the time between beats.
async fn open(probe: &Arc<Probe>, server: &Server) -> Result<(Socket, Duration), End> {
    let failed = |error: tokio_tungstenite::tungstenite::Error| End::Failed(error.to_string());
    let late = |_| End::Failed("the edge takes too long".to_owned());
    let connecting =
        connect_async_tls_with_config(server.socket(), Some(config()), true, Some(connector(server)));
    let (mut socket, _) = timeout(STEP, connecting).await.map_err(late)?.map_err(failed)?;
    let Down::Challenge { edge, nonce } = next(&mut socket).await? else {
        return Err(End::Failed("the edge does not begin with a challenge".to_owned()));
    };
    let proof = frame::text(&hello::answer(probe, edge, nonce));
    timeout(STEP, socket.send(Message::text(proof))).await.map_err(late)?.map_err(failed)?;
    match next(&mut socket).await? {
        Down::Welcome { epoch, beat_ms, now } => {
            probe.connected(now);
            tracing::info!(epoch, "connected");
            Ok((socket, Duration::from_millis(beat_ms.clamp(1_000, 300_000))))
        }
        Down::After { ms } => Err(End::After(Duration::from_millis(ms))),
        Down::Denied { code } => Err(End::Denied(word(&code))),
        _ => Err(End::Failed("the edge answers a proof with something else".to_owned())),
    }
}

fn connector(server: &Server) -> Connector {
    match server.address().starts_with("https://") {
        true => Connector::Rustls(server.tls()),
        false => Connector::Plain,
    }
}

/// The edge's words are data: bounded, and without control characters.
fn word(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_graphic()).take(40).collect()
}

async fn next(socket: &mut Socket) -> Result<Down, End> {
    let read = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Down::parse(&text).map_err(End::Failed),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(_)) | None => return Err(End::Failed("the edge closed the connection".to_owned())),
                Some(Err(error)) => return Err(End::Failed(error.to_string())),
            }
        }
    };
    timeout(STEP, read).await.map_err(|_| End::Failed("the edge takes too long".to_owned()))?
}

struct Talk<'a> {
    probe: &'a Arc<Probe>,
    sink: SplitSink<Socket, Message>,
    /// Receipts that were sent on this connection, and when.
    under_way: BTreeMap<TaskId, Instant>,
    meter: Meter,
    heard: Instant,
    /// What the desk has no room for yet: nothing more is read meanwhile.
    pending: Option<Ask>,
}

type Told = Result<(), End>;

impl Talk<'_> {
    async fn run(
        &mut self,
        mut stream: SplitStream<Socket>,
        (line, inbox): (&mut mpsc::Receiver<Up>, &mpsc::Sender<Ask>),
        (beat, stop): (Duration, &mut watch::Receiver<bool>),
    ) -> End {
        let (mut beats, mut pings) = (interval(beat), interval(PING_EACH));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let probe = Arc::clone(self.probe);
        probe.receipts.notify_one();
        loop {
            let told = tokio::select! {
                message = stream.next(), if self.pending.is_none() => self.hear(message).await,
                Ok(room) = inbox.reserve(), if self.pending.is_some() => {
                    if let Some(ask) = self.pending.take() {
                        room.send(ask);
                    }
                    Ok(())
                }
                Some(frame) = line.recv() => self.tell(frame).await,
                _ = beats.tick() => self.beat().await,
                _ = pings.tick() => self.ping(line).await,
                () = probe.receipts.notified() => self.receipts(line).await,
                _ = stop.wait_for(|stopped| *stopped) => Err(End::Stopped),
            };
            if let Err(end) = told {
                return end;
            }
        }
    }

    async fn send(&mut self, message: Message) -> Told {
        match timeout(STEP, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::Lost(error.to_string())),
            Err(_) => Err(End::Lost("the edge does not read".to_owned())),
        }
    }

    async fn tell(&mut self, frame: Up) -> Told {
        if let Up::Receipt(sent) = &frame
            && let Some(receipt) = sent.receipt.claimed::<legator_wire::receipt::Receipt>()
        {
            self.under_way.insert(receipt.task, Instant::now());
        }
        self.send(Message::text(frame::text(&frame))).await
    }

    async fn beat(&mut self) -> Told {
        let metrics = self.meter.read(self.probe.journal.waiting().len());
        let beat = Beat { at: self.probe.clock.now(), metrics };
        self.send(Message::text(frame::text(&Up::Beat(beat)))).await
    }

    async fn ping(&mut self, line: &mut mpsc::Receiver<Up>) -> Told {
        if self.heard.elapsed() > SILENCE_MAX {
            return Err(End::Lost("nothing was heard of the edge".to_owned()));
        }
        self.receipts(line).await?;
        self.send(Message::Ping(Vec::new().into())).await
    }

    /// Sends receipts that wait: those not sent on this connection yet, and those whose acknowledgement is overdue.
    ///
    /// A receipt that was just made is told by its task: as long as that has its id reserved, or the line still holds the frame, it is
    /// none of those. So the ids are looked at first, and the line is emptied after that.
    async fn receipts(&mut self, line: &mut mpsc::Receiver<Up>) -> Told {
        let at_work = self.probe.running(usize::MAX);
        let mut waiting = self.probe.journal.waiting();
        waiting.retain(|task| !at_work.contains(task));
        while let Ok(frame) = line.try_recv() {
            self.tell(frame).await?;
        }
        self.under_way.retain(|task, at| {
            (waiting.contains(task) || at_work.contains(task)) && at.elapsed() < RESEND_AFTER
        });
        for task in waiting {
            if self.under_way.len() >= WINDOW {
                return Ok(());
            }
            if self.under_way.contains_key(&task) {
                continue;
            }
            if let Some(sent) = self.probe.journal.receipt(task) {
                self.tell(Up::Receipt(Box::new(sent))).await?;
            }
        }
        Ok(())
    }

    async fn hear(
        &mut self,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    ) -> Told {
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                self.heard = Instant::now();
                return Ok(());
            }
            Some(Ok(_)) | None => return Err(End::Lost("the edge closed the connection".to_owned())),
            Some(Err(error)) => return Err(End::Lost(error.to_string())),
        };
        self.heard = Instant::now();
        match Down::parse(&text) {
            Ok(frame) => self.obey(frame).await,
            Err(_) if desk::claims_to_be_grant(&text) => {
                self.pending = Some(Ask::Malformed(text.to_string()));
                Ok(())
            }
            Err(why) => Err(End::Lost(format!("the edge sent what is no frame: {}", word(&why)))),
        }
    }

    async fn obey(&mut self, frame: Down) -> Told {
        match frame {
            Down::Grant(delivery) => self.pending = Some(Ask::Grant(delivery)),
            Down::Cancel { envelope } => self.pending = Some(Ask::Cancel(envelope)),
            Down::Limits { envelope } => self.pending = Some(Ask::Limits(envelope)),
            Down::Ack { envelope } => {
                if let Some(task) = desk::ack(self.probe, &envelope).await {
                    self.under_way.remove(&task);
                    if self.under_way.len() + 1 == WINDOW {
                        self.probe.receipts.notify_one();
                    }
                }
            }
            Down::After { ms } => return Err(End::After(Duration::from_millis(ms))),
            Down::Denied { code } => return Err(End::Denied(word(&code))),
            Down::Challenge { .. } | Down::Welcome { .. } => {
                return Err(End::Lost("the edge began anew in the middle".to_owned()));
            }
        }
        Ok(())
    }
}
