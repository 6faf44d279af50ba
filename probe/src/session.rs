//! The connection to an edge, again and again.
//!
//! Owns reconnecting: when, and what to do about a refusal. Never gives up and never hammers.
//! Invariant: two attempts lie apart by a random time that grows to half a minute, unless the server says how long.

mod hello;
mod pace;
mod talk;

use legator_wire::dsse::Envelope;
use legator_wire::frame::Up;
use legator_wire::grant::Delivery;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

use crate::desk;
use crate::enrol::Server;
use crate::probe::Probe;
use pace::Pace;

pub use pace::{AFTER_MAX, PAUSE_MAX};

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// It is gone, after it was welcomed.
    Lost(String),
    /// There never was one.
    Failed(String),
    /// Come back later.
    After(Duration),
    /// Not admitted, with the edge's word.
    Denied(String),
    /// This process ends.
    Stopped,
}

/// What the desk is asked, in the order in which it came.
#[derive(Debug)]
enum Ask {
    Grant(Box<Delivery>),
    Cancel(Envelope),
    Limits(Envelope),
    Malformed(String),
}

/// Asks that wait for the desk; then nothing more is read from the edge.
const INBOX_MAX: usize = 32;

async fn desk(probe: Arc<Probe>, mut inbox: mpsc::Receiver<Ask>) {
    while let Some(ask) = inbox.recv().await {
        match ask {
            Ask::Grant(delivery) => desk::take(&probe, *delivery).await,
            Ask::Cancel(envelope) => desk::cancel(&probe, &envelope).await,
            Ask::Limits(envelope) => desk::limits(&probe, &envelope).await,
            Ask::Malformed(text) => desk::malformed(&probe, &text).await,
        }
    }
}

/// Keeps a session open until `stop` turns true.
pub async fn run(
    probe: Arc<Probe>,
    server: Server,
    mut line: mpsc::Receiver<Up>,
    mut stop: watch::Receiver<bool>,
) {
    let mut pace = Pace::default();
    let (inbox, asks) = mpsc::channel(INBOX_MAX);
    tokio::spawn(desk(Arc::clone(&probe), asks));
    loop {
        let end = talk::once(&probe, &server, (&mut line, &inbox), &mut stop).await;
        probe.disconnected();
        let wait = match end {
            End::Stopped => return,
            End::Lost(why) => {
                tracing::warn!(why, "the connection is gone");
                pace.reset();
                pace.next()
            }
            End::Failed(why) => {
                tracing::warn!(why, server = server.address(), "no connection");
                pace.next()
            }
            End::After(wait) => pace.after(wait),
            End::Denied(code) => {
                tracing::error!(code, "the edge does not admit this probe");
                denied(&probe, &server, &code).await;
                pace.denied(&code)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// A credential that is no longer good is renewed at once: the key still proves who this is.
async fn denied(probe: &Probe, server: &Server, code: &str) {
    if code == "bad-credential" {
        renew(probe, server).await;
    }
}

/// Asks for a fresh credential and keeps it. Says whether it did.
pub async fn renew(probe: &Probe, server: &Server) -> bool {
    let old = probe.identity();
    let renewed = server.renew(&old, &probe.key, probe.clock.now()).await;
    match renewed.and_then(|identity| probe.renewed(identity)) {
        Ok(()) => {
            tracing::info!("the credential was renewed");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the credential was not renewed");
            false
        }
    }
}
