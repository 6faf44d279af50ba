//! A small server and edge for a real probe process: enrols, renews, admits, and lets a test say anything.
//!
//! Owns the authority's key, so a test can be an honest control plane or a hostile one.

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use legator_core::clock::Clock as _;
use legator_core::digest::Digest;
use legator_core::ids::{HostId, InstanceId, TaskId};
use legator_core::level::Level;
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_probe::system::SystemClock;
use legator_wire::credential::{Admission, Enrolment, Renewal};
use legator_wire::dsse::Envelope;
use legator_wire::frame::{Down, Up, text};
use legator_wire::hello::Hello;
use legator_wire::keys::{AuthorityKey, PublicKey, Signer as _};
use legator_wire::order::{Ack, Cancel, Limits};
use legator_wire::receipt::{Receipt, Sent};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Nothing here takes long; a loaded machine gets time all the same.
pub const WAIT: Duration = Duration::from_secs(60);
pub const INSTALLATION: &str = "an installation";

pub fn now() -> Timestamp {
    SystemClock.now()
}

struct Inner {
    authority: AuthorityKey,
    key: Mutex<Option<PublicKey>>,
    host: HostId,
    sessions: mpsc::Sender<Session>,
    /// How far the edge's clock is ahead of the machine's.
    ahead: Mutex<Span>,
    enrolments: Mutex<Vec<Enrolment>>,
}

/// The server.
pub struct Server {
    inner: Arc<Inner>,
    pub address: String,
    sessions: mpsc::Receiver<Session>,
}

/// A connection that was welcomed.
pub struct Session {
    pub hello: Hello,
    to: mpsc::Sender<String>,
    from: mpsc::Receiver<Up>,
    authority: AuthorityKey,
    key: PublicKey,
}

/// The authority of these tests.
pub fn authority() -> AuthorityKey {
    AuthorityKey::from_secret(&[1; 32])
}

impl Server {
    pub async fn start() -> Self {
        let (sender, sessions) = mpsc::channel(16);
        let inner = Arc::new(Inner {
            authority: authority(),
            key: Mutex::new(None),
            host: HostId::new(71),
            sessions: sender,
            ahead: Mutex::new(Span::from_millis(0)),
            enrolments: Mutex::new(Vec::new()),
        });
        let router = Router::new()
            .route("/api/v1/enrol", post(enrol))
            .route("/api/v1/renew", post(renew))
            .route("/probe/v1/connect", get(connect))
            .with_state(Arc::clone(&inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inner, address, sessions }
    }

    /// A token that names this authority.
    pub fn token(&self) -> String {
        token_of(&self.inner.authority.public().fingerprint())
    }

    pub fn host(&self) -> HostId {
        self.inner.host
    }

    /// The probe's key, once it enrolled.
    pub fn key(&self) -> PublicKey {
        self.inner.key.lock().unwrap().unwrap()
    }

    pub fn enrolments(&self) -> Vec<Enrolment> {
        self.inner.enrolments.lock().unwrap().clone()
    }

    pub fn set_ahead(&self, ahead: Span) {
        *self.inner.ahead.lock().unwrap() = ahead;
    }

    /// The next connection.
    pub async fn session(&mut self) -> Session {
        timeout(WAIT, self.sessions.recv()).await.expect("no probe connects").unwrap()
    }
}

pub fn token_of(fingerprint: &Digest) -> String {
    format!("lt_{}_{}_{}", "0".repeat(32), "ab".repeat(32), &fingerprint.hex()[..32])
}

fn admission(inner: &Inner) -> Admission {
    Admission {
        installation: INSTALLATION.to_owned(),
        authority: inner.authority.public(),
        host: inner.host,
        name: "a-host".to_owned(),
        credential: "a.good.credential".to_owned(),
        expires_at: now() + Span::from_secs(7 * 86_400),
        level: Level::Remediate,
    }
}

async fn enrol(State(inner): State<Arc<Inner>>, Json(envelope): Json<Envelope>) -> Response {
    let claimed: Enrolment = envelope.claimed().unwrap();
    if envelope.open::<Enrolment>(&claimed.key).is_err() || claimed.name.as_deref() == Some("refused") {
        let problem =
            serde_json::json!({"code": "token-used", "detail": "the token was used", "hint": "make another"});
        return (StatusCode::FORBIDDEN, Json(problem)).into_response();
    }
    *inner.key.lock().unwrap() = Some(claimed.key);
    inner.enrolments.lock().unwrap().push(claimed);
    Json(admission(&inner)).into_response()
}

async fn renew(State(inner): State<Arc<Inner>>, Json(envelope): Json<Envelope>) -> Response {
    let key = inner.key.lock().unwrap().unwrap();
    match envelope.open::<Renewal>(&key) {
        Ok(_) => Json(admission(&inner)).into_response(),
        Err(_) => StatusCode::FORBIDDEN.into_response(),
    }
}

async fn connect(State(inner): State<Arc<Inner>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(2 * 1024 * 1024).on_upgrade(move |socket| serve(inner, socket))
}

async fn serve(inner: Arc<Inner>, mut socket: WebSocket) {
    let (edge, nonce) = (InstanceId::new(3), hex::encode([now().millis().to_be_bytes(); 4].concat()));
    let challenge = text(&Down::Challenge { edge, nonce: nonce.clone() });
    if socket.send(Message::Text(challenge.into())).await.is_err() {
        return;
    }
    let Some(Ok(Message::Text(proof))) = socket.recv().await else { return };
    assert!(proof.len() < 16 * 1024);
    let Ok(Up::Hello { credential, envelope }) = Up::parse(&proof) else { panic!("no hello: {proof}") };
    let key = inner.key.lock().unwrap().unwrap();
    let hello: Hello = envelope.open(&key).expect("the hello is not signed by the enrolled key");
    assert_eq!((hello.edge, &hello.nonce, hello.host), (edge, &nonce, inner.host));
    assert_eq!(credential, "a.good.credential");
    let at = now() + *inner.ahead.lock().unwrap();
    let welcome = text(&Down::Welcome { epoch: 1, beat_ms: 30_000, now: at });
    if socket.send(Message::Text(welcome.into())).await.is_err() {
        return;
    }
    let (to, mut outgoing) = mpsc::channel::<String>(256);
    let (incoming, from) = mpsc::channel(4096);
    let session = Session { hello, to, from, authority: inner.authority.clone(), key };
    if inner.sessions.send(session).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            told = outgoing.recv() => match told {
                Some(told) => if socket.send(Message::Text(told.into())).await.is_err() { return },
                None => return,
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Text(heard))) => {
                    let frame = Up::parse(&heard).expect("the probe sends what is no frame");
                    if incoming.send(frame).await.is_err() { return }
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}

impl Session {
    /// Sends a text as it is.
    pub async fn send(&self, frame: &str) {
        self.to.send(frame.to_owned()).await.unwrap();
    }

    pub async fn limits(&self, limits: &Limits) {
        let envelope = Envelope::seal(limits, &self.authority);
        self.send(&text(&Down::Limits { envelope })).await;
    }

    pub async fn cancel(&self, host: HostId, task: TaskId) {
        let order = Cancel { installation: INSTALLATION.to_owned(), host, task, made_at: now() };
        let envelope = Envelope::seal(&order, &self.authority);
        self.send(&text(&Down::Cancel { envelope })).await;
    }

    /// Says that a receipt is kept.
    pub async fn ack(&self, receipt: &Receipt, sent: &Sent) {
        let order = Ack {
            installation: INSTALLATION.to_owned(),
            host: receipt.host,
            task: receipt.task,
            receipt: sent.receipt.digest(),
            made_at: now(),
        };
        let envelope = Envelope::seal(&order, &self.authority);
        self.send(&text(&Down::Ack { envelope })).await;
    }

    /// The next frame that is neither a beat nor inventory.
    pub async fn next(&mut self) -> Up {
        loop {
            let frame = timeout(WAIT, self.from.recv())
                .await
                .expect("the probe says nothing")
                .expect("the connection is gone");
            if !matches!(frame, Up::Beat(_) | Up::Inventory { .. }) {
                return frame;
            }
        }
    }

    /// The next frame of any kind, if one comes soon; nothing when the connection ended too.
    pub async fn soon(&mut self, wait: Duration) -> Option<Up> {
        timeout(wait, self.from.recv()).await.ok().flatten()
    }

    /// Waits until "started" comes for a task.
    pub async fn started(&mut self, task: TaskId) {
        loop {
            if let Up::Started { task: started, .. } = self.next().await
                && started == task
            {
                return;
            }
        }
    }

    /// The next receipt, its signature and output proven.
    pub async fn receipt(&mut self) -> (Receipt, Sent) {
        loop {
            if let Up::Receipt(sent) = self.next().await {
                let receipt: Receipt =
                    sent.receipt.open(&self.key).expect("a receipt that the host did not sign");
                assert!(sent.is_proven_by(&receipt));
                return (receipt, *sent);
            }
        }
    }

    /// The next receipt, acknowledged.
    pub async fn settled(&mut self) -> (Receipt, Sent) {
        let (receipt, sent) = self.receipt().await;
        self.ack(&receipt, &sent).await;
        (receipt, sent)
    }
}
