//! Edge, worker, gate, store and bus in one process, with simulated probes over real sockets.
//!
//! Owns how a test starts them, joins probes and makes plans. The HTTP door here only hands on; the real one is the API's.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use legator_bus::{Bus, subject};
use legator_core::digest::Digest;
use legator_core::event::{About, NewEvent};
use legator_core::ids::{HostId, InstanceId, PersonId, PlanId, TenantId, TokenId, TraceId};
use legator_core::level::Level;
use legator_core::rights::{Role, RoleOn};
use legator_core::span::Span;
use legator_edge::{Edge, Settings};
use legator_gate::{Ask, Auth, BreakGlass, Caller, Cap, Decide, Gate, PlanView};
use legator_store::hosts::HostRow;
use legator_store::tokens::{self, Token};
use legator_store::{Audited, Op, Options, Store, StoreError, hosts, sql};
use legator_testkit::sim::SimProbe;
use legator_wire::approval::Vote;
use legator_wire::corridor::{Joined, Joining, pack, unpack};
use legator_wire::dsse::Envelope;
use legator_wire::keys::{AuthorityKey, CheckpointKey, Signer as _};
use legator_worker::{Parts, Worker};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub const TENANT: TenantId = TenantId::DEFAULT;
/// Long enough for a busy machine of two cores.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Small {
    pub store: Store,
    pub bus: Bus,
    pub gate: Gate,
    pub edge: Edge,
    pub authority: AuthorityKey,
    pub server: String,
    shutdown: CancellationToken,
}

impl Drop for Small {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Everything, with limits that suit tests.
pub async fn start() -> Small {
    start_with(Settings::default()).await
}

pub async fn start_with(settings: Settings) -> Small {
    let store = Store::open(Options::memory([9; 32])).await.unwrap();
    start_on(store, AuthorityKey::from_secret(&rand::random()), settings).await
}

/// The same over a store that is there already: what comes after a restart.
pub async fn start_on(store: Store, authority: AuthorityKey, settings: Settings) -> Small {
    let bus = Bus::in_process();
    let gate = Gate::new(store.clone(), authority.public().fingerprint().hex(), Auth::Off);
    let shutdown = CancellationToken::new();
    let parts = Parts {
        store: store.clone(),
        bus: bus.clone(),
        gate: gate.clone(),
        authority: authority.clone(),
        checkpoint: CheckpointKey::from_secret(&rand::random()),
        clock: store.shared_clock(),
        ids: store.shared_ids(),
    };
    tokio::spawn(legator_worker::run(Worker::new(parts), shutdown.clone()));
    let edge = Edge::new(bus.clone(), store.shared_clock(), InstanceId::fresh(store.ids()), settings);
    let server = serve(&edge, &bus, shutdown.clone()).await;
    let small = Small { store, bus, gate, edge, authority, server, shutdown };
    until("the edge admits", async || small.edge.is_ready()).await;
    small
}

async fn serve(edge: &Edge, bus: &Bus, shutdown: CancellationToken) -> String {
    let running = edge.clone();
    let stop = shutdown.clone();
    tokio::spawn(async move { running.run(stop).await.unwrap() });
    let doors = Router::new()
        .route("/api/v1/enrol", post(enrol))
        .route("/api/v1/renew", post(renew))
        .with_state(bus.clone())
        .merge(legator_edge::router(edge.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = doors.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        axum::serve(listener, service)
            .with_graceful_shutdown(async move { shutdown.cancelled().await })
            .await
            .unwrap();
    });
    format!("http://{address}")
}

async fn enrol(State(bus): State<Bus>, Json(envelope): Json<Envelope>) -> Response {
    join(&bus, Joining::Enrol { envelope, trace: TraceId::new(1) }).await
}

async fn renew(State(bus): State<Bus>, Json(envelope): Json<Envelope>) -> Response {
    join(&bus, Joining::Renew { envelope, trace: TraceId::new(1) }).await
}

async fn join(bus: &Bus, joining: Joining) -> Response {
    let body = bus.request(&subject::enrol(), pack(&joining), PATIENCE).await.unwrap();
    match unpack::<Joined>(&body).unwrap() {
        Ok(admission) => Json(admission).into_response(),
        Err(why) => (StatusCode::CONFLICT, why.failure().code).into_response(),
    }
}

/// Waits for a condition; panics with its name when it does not come.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = std::time::Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn caller() -> Caller {
    Caller {
        tenant: TENANT,
        person: PersonId::LOCAL,
        key: None,
        roles: vec![RoleOn { role: Role::Admin, selector: None }],
        via: "api",
        cap: Cap::All,
        trace: TraceId::new(7),
        auth: Auth::Off,
    }
}

impl Small {
    pub fn op(&self) -> Op {
        Op::system(TENANT, "test", TraceId::new(1))
    }

    /// The text of a fresh registration token for so many uses.
    pub async fn token(&self, uses: u32) -> String {
        self.token_for(uses, Level::Observe).await
    }

    pub async fn token_for(&self, uses: u32, level: Level) -> String {
        let secret: [u8; 32] = rand::random();
        let id = TokenId::fresh(self.store.ids());
        let now = self.store.clock().now();
        let token = Token {
            hash: Digest::of(&secret),
            uses_max: uses,
            used: 0,
            labels: BTreeMap::from([("made".to_owned(), "token".to_owned())]),
            level,
            note: None,
            made_by: PersonId::LOCAL,
            made_at: now,
            expires_at: now + Span::from_secs(3600),
            revoked_at: None,
        };
        let op = self.op();
        let made = self.store.write(&op, async |tx| {
            tokens::put(tx, id, &token).await?;
            let event = NewEvent::new("token.made", About::nothing(), serde_json::json!({}));
            Ok::<_, StoreError>(Audited::new((), event))
        });
        made.await.unwrap();
        let pin = &self.authority.public().fingerprint().hex()[..32];
        format!("lt_{:032x}_{}_{pin}", id.bits(), hex::encode(secret))
    }

    /// A fresh enrolled machine.
    pub async fn probe(&self, hostname: &str) -> SimProbe {
        let token = self.token(1).await;
        SimProbe::enrol(&self.server, &token, hostname).await.unwrap()
    }

    pub async fn host(&self, host: HostId) -> HostRow {
        hosts::find(&self.store, TENANT, host).await.unwrap().unwrap()
    }

    /// Waits until the host is as the condition wants it.
    pub async fn until_host(&self, host: HostId, what: &str, is: impl Fn(&HostRow) -> bool) {
        until(what, async || is(&self.host(host).await)).await;
    }

    /// Reads a file on these hosts: a plan that needs no approval.
    pub async fn read_on(&self, selector: &str) -> PlanView {
        let ask = Ask {
            verb: "file.stat".to_owned(),
            args: serde_json::json!({"path": "/etc/hosts"}),
            selector: selector.to_owned(),
            level: None,
            rollout: None,
            decide_in: None,
            expires_in: None,
            timeout: None,
            reason: None,
            turn: None,
        };
        let plan = legator_gate::ask(&self.gate, &caller(), ask).await.unwrap();
        self.bus.publish(&subject::wake("plan", plan.id), Vec::new()).await.unwrap();
        plan
    }

    /// A fresh enrolled machine on which changes may run.
    pub async fn able(&self, hostname: &str) -> SimProbe {
        let token = self.token_for(1, Level::Remediate).await;
        SimProbe::enrol(&self.server, &token, hostname).await.unwrap()
    }

    /// Restarts a service there: a plan that the one person there is has approved.
    pub async fn change_on(&self, selector: &str) -> PlanId {
        let ask = Ask {
            verb: "service.restart".to_owned(),
            args: serde_json::json!({"name": "nginx"}),
            selector: selector.to_owned(),
            level: None,
            rollout: None,
            decide_in: None,
            expires_in: None,
            timeout: None,
            reason: None,
            turn: None,
        };
        let plan = legator_gate::ask(&self.gate, &caller(), ask).await.unwrap();
        let yes = Decide {
            plan: plan.id,
            digest: plan.digest.unwrap(),
            vote: Vote::Approve,
            reason: None,
            signature: None,
            break_glass: BreakGlass::No,
        };
        legator_gate::decide(&self.gate, &caller(), yes).await.unwrap();
        self.bus.publish(&subject::wake("plan", plan.id), Vec::new()).await.unwrap();
        plan.id
    }

    pub async fn plan(&self, plan: PlanId) -> PlanView {
        legator_gate::plan_view(&self.gate, TENANT, plan).await.unwrap().unwrap()
    }

    /// How many events of this kind there are.
    pub async fn events(&self, kind: &str) -> usize {
        let rows =
            sql::all(self.store.reader(), "SELECT body FROM events WHERE kind = ?", vec![kind.into()]).await;
        rows.unwrap().len()
    }
}
