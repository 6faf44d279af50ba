//! One WebSocket of a simulated probe, frame by frame.
//!
//! Owns the socket and the deadlines of tests.

use futures::{SinkExt as _, StreamExt as _};
use legator_wire::frame::{self, Down, Up};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Long enough for a busy machine of two cores.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to an edge.
#[derive(Debug)]
pub struct Wire {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Wire {
    /// Opens one.
    pub async fn open(server: &str) -> Result<Self, String> {
        let url = format!("{}/probe/v1/connect", server.replacen("http", "ws", 1));
        let (socket, _) = tokio_tungstenite::connect_async(url).await.map_err(|error| error.to_string())?;
        Ok(Self { socket })
    }

    /// Says a frame. An edge that hung up already is no fault here: the test looks at what follows.
    pub async fn send(&mut self, up: &Up) {
        self.raw(Message::text(frame::text(up))).await;
    }

    /// Says anything at all.
    pub async fn raw(&mut self, message: Message) {
        let _ = tokio::time::timeout(PATIENCE, self.socket.send(message)).await;
    }

    /// The next frame; nothing when the connection ends first.
    pub async fn next(&mut self) -> Option<Down> {
        self.next_within(PATIENCE).await
    }

    /// The same within a time.
    pub async fn next_within(&mut self, time: Duration) -> Option<Down> {
        let read = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Some(Down::parse(&text).expect("edges send frames"));
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(time, read).await.ok().flatten()
    }

    /// The next frame that `wanted` takes; nothing when the connection ends, or 30 s pass, first.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(Down) -> Option<T>) -> Option<T> {
        let read = async {
            loop {
                if let Some(found) = wanted(self.next().await?) {
                    return Some(found);
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.ok().flatten()
    }

    /// Whether the edge ends the connection within 30 s; frames before that are let pass.
    pub async fn is_closed(&mut self) -> bool {
        let read = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.is_ok()
    }

    /// Vanishes without a word.
    pub fn vanish(self) {
        drop(self.socket);
    }
}
