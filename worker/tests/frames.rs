//! Bad frames: each line of the corpus on a connection of its own, against one running edge and worker.
//!
//! Proves for every line how its connection ends, that the event names it, and that nothing of hosts A and B changed meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

mod small;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use legator_core::ids::{InstanceId, PlanId, TaskId, TenantId};
use legator_store::inventory;
use legator_testkit::sim::{Honest, SimProbe, Wire, figures, now};
use legator_wire::dsse::{Envelope, Payload as _};
use legator_wire::frame::{Beat, Down, Up};
use legator_wire::hello::Hello;
use legator_wire::inventory::Inventory;
use legator_wire::keys::{ProbeKey, Signer as _};
use serde_json::{Value, json};
use small::Small;
use std::time::Duration;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

struct Actors {
    a: SimProbe,
    b: SimProbe,
    old_nonce: String,
}

/// One connection under test.
struct Line<'a> {
    actors: &'a Actors,
    wire: Wire,
    edge: InstanceId,
    nonce: String,
}

impl Actors {
    fn probe(&self, name: &str) -> &SimProbe {
        if name == "B" { &self.b } else { &self.a }
    }

    fn key(&self, name: &str) -> &ProbeKey {
        &self.probe(name).key
    }

    fn filled(&self, text: &str) -> String {
        let filled = text
            .replace("${HOST_A}", &self.a.host().to_string())
            .replace("${HOST_B}", &self.b.host().to_string())
            .replace("${OTHER_TENANT}", &TenantId::new(99).to_string())
            .replace("${PLAN}", &PlanId::new(5).to_string())
            .replace("${TASK}", &TaskId::new(5).to_string());
        assert!(!filled.contains("${"), "a placeholder is left over: {filled}");
        filled
    }
}

fn text<'v>(step: &'v Value, name: &str, default: &'v str) -> &'v str {
    step.get(name).and_then(Value::as_str).unwrap_or(default)
}

fn number(step: &Value, name: &str, default: usize) -> usize {
    step.get(name).and_then(Value::as_u64).map_or(default, |number| number as usize)
}

impl Line<'_> {
    async fn step(&mut self, step: &Value) {
        let step: Value = serde_json::from_str(&self.actors.filled(&step.to_string())).unwrap();
        let repeat = number(&step, "repeat", 1);
        match text(&step, "send", "") {
            "hello" => self.hello(&step).await,
            "beat" => self.many(&beat(&step), repeat).await,
            "inventory" => self.inventory(&step).await,
            "output" => self.many(&output(&step), repeat).await,
            "text" => {
                self.wire
                    .raw(Message::text(
                        text(&step, "text", "").to_owned() + &text(&step, "then", "").repeat(repeat),
                    ))
                    .await
            }
            "binary_b64" => {
                self.wire.raw(Message::binary(STANDARD.decode(text(&step, "data", "")).unwrap())).await
            }
            "raw_text_b64" => {
                let data = STANDARD.decode(text(&step, "data", "")).unwrap();
                self.wire.raw(Message::Frame(Frame::message(data, OpCode::Data(Data::Text), true))).await;
            }
            "ping" => {
                for _ in 0..repeat {
                    self.wire.raw(Message::Ping(Bytes::from_static(b"0123456789"))).await;
                }
            }
            "fragments" => self.fragments(number(&step, "bytes", 1), repeat).await,
            other => panic!("no such step: {other}"),
        }
    }

    async fn many(&mut self, frame: &str, repeat: usize) {
        let frame = Utf8Bytes::from(frame);
        for _ in 0..repeat {
            self.wire.raw(Message::Text(frame.clone())).await;
        }
    }

    async fn fragments(&mut self, bytes: usize, repeat: usize) {
        let part = vec![b'x'; bytes];
        let first = Frame::message(part.clone(), OpCode::Data(Data::Text), false);
        self.wire.raw(Message::Frame(first)).await;
        for _ in 1..repeat {
            let next = Frame::message(part.clone(), OpCode::Data(Data::Continue), false);
            self.wire.raw(Message::Frame(next)).await;
        }
    }

    async fn hello(&mut self, step: &Value) {
        let who = self.actors.probe(text(step, "as", "A"));
        let nonce = if text(step, "nonce", "") == "old" { &self.actors.old_nonce } else { &self.nonce };
        let mut hello = who.hello(self.edge, nonce);
        hello.running = (0..number(step, "tasks", 0)).map(|task| TaskId::new(task as u128)).collect();
        let mut hello = serde_json::to_value(hello).unwrap();
        merge(&mut hello, step.get("set"));
        for (name, length) in step.get("fill").and_then(Value::as_object).into_iter().flatten() {
            hello[name] = json!("x".repeat(length.as_u64().unwrap() as usize));
        }
        let signer = self.actors.key(text(step, "key", text(step, "as", "A")));
        let mut envelope = Envelope::seal_bytes(Hello::TYPE, serde_json::to_vec(&hello).unwrap(), signer);
        match text(step, "signature", "") {
            "none" => envelope.signatures.clear(),
            "zero" => envelope.signatures[0].sig = vec![0; 64],
            "twice" => envelope.signatures.push(envelope.signatures[0].clone()),
            _ => {}
        }
        let credential =
            self.actors.probe(text(step, "credential", text(step, "as", "A"))).admission.credential.clone();
        self.wire.send(&Up::Hello { credential, envelope }).await;
    }

    async fn inventory(&mut self, step: &Value) {
        let a = &self.actors.a;
        let packages: Vec<Value> =
            (0..number(step, "packages", 1)).map(|n| json!({"name": format!("p{n}")})).collect();
        let part = text(step, "part", "packages").to_owned();
        let inventory = Inventory {
            installation: a.admission.installation.clone(),
            host: text(step, "host", &a.host().to_string()).parse().unwrap(),
            sequence: 1_000_000,
            whole: false,
            parts: [(part, json!({"items": packages, "total": 1}))].into(),
            made_at: now(),
        };
        let envelope = Envelope::seal(&inventory, self.actors.key(text(step, "key", "A")));
        self.wire.send(&Up::Inventory { envelope }).await;
    }
}

fn merge(into: &mut Value, set: Option<&Value>) {
    for (name, value) in set.and_then(Value::as_object).into_iter().flatten() {
        into[name] = value.clone();
    }
}

fn beat(step: &Value) -> String {
    let mut frame = serde_json::to_value(Up::Beat(Beat { at: now(), metrics: figures() })).unwrap();
    merge(&mut frame, step.get("set"));
    merge(&mut frame["metrics"], step.get("metrics"));
    let disk = json!({"path": "/", "total": 1, "available": 1});
    frame["metrics"]["disks"] = json!(vec![disk; number(step, "disks", 0)]);
    frame.to_string()
}

fn output(step: &Value) -> String {
    let bytes = STANDARD.encode(vec![b'x'; number(step, "bytes", 1)]);
    let (plan, task) = (PlanId::new(5), TaskId::new(5));
    json!({"kind": "output", "plan": plan, "task": task, "stream": "stdout", "offset": 0, "bytes": bytes})
        .to_string()
}

async fn ends_as(wire: &mut Wire, expected: &str) -> Result<(), String> {
    if let Some(code) = expected.strip_prefix("denied:") {
        let denied =
            wire.until(|down| if let Down::Denied { code } = down { Some(code) } else { None }).await;
        return if denied.as_deref() == Some(code) { Ok(()) } else { Err(format!("denied with {denied:?}")) };
    }
    if expected == "closed" {
        return if wire.is_closed().await { Ok(()) } else { Err("still open".to_owned()) };
    }
    // Open: a ping of the far end comes through, and the connection does not end.
    let mut welcome = false;
    while let Some(down) = wire.next_within(Duration::from_millis(if welcome { 400 } else { 20_000 })).await {
        welcome |= matches!(down, Down::Welcome { .. });
    }
    let closed = tokio::time::timeout(Duration::from_millis(100), wire.is_closed()).await.is_ok();
    if welcome && !closed { Ok(()) } else { Err(format!("welcome: {welcome}, closed: {closed}")) }
}

async fn unchanged(small: &Small, actors: &Actors, before: &(Value, Value)) {
    assert_eq!(&state(small, &actors.a).await, &before.0);
    assert_eq!(&state(small, &actors.b).await, &before.1);
    for probe in [&actors.a, &actors.b] {
        assert!(inventory::parts(&small.store, probe.host()).await.unwrap().is_empty());
    }
}

async fn state(small: &Small, probe: &SimProbe) -> Value {
    let row = small.host(probe.host()).await;
    json!([row.id, row.key, row.facts.name, row.facts.level, row.facts.labels, row.revoked])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_ends_as_it_must_and_changes_nothing() {
    let small = small::start().await;
    let (a, b) = (small.probe("web-a").await, small.probe("web-b").await);
    let (_, _, old_nonce) = a.dial().await;
    let actors = Actors { a, b, old_nonce };
    let bystander = small.probe("bystander").await;
    let mut bystander = Honest::connect(bystander).await;
    let before = (state(&small, &actors.a).await, state(&small, &actors.b).await);
    let mut failed = Vec::new();
    let mut count = 0;
    for line in include_str!("corpus/frames.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        let (wire, edge, nonce) = actors.a.dial().await;
        let mut on = Line { actors: &actors, wire, edge, nonce };
        for step in case["steps"].as_array().unwrap() {
            on.step(step).await;
        }
        count += 1;
        if let Err(why) = ends_as(&mut on.wire, case["expect"].as_str().unwrap()).await {
            failed.push(format!("{id}: {why}"));
        }
        unchanged(&small, &actors, &before).await;
    }
    assert!(failed.is_empty(), "{failed:#?}");
    for what in [
        "bad-signature",
        "second-hello",
        "no-frame",
        "binary",
        "too-large",
        "no-websocket",
        "output-too-large",
    ] {
        assert!(odd(&small, what).await > 0, "an event names {what}");
    }
    let plan = small.read_on("name=bystander").await;
    assert!(bystander.until_acked(1).await, "a bystander did not notice");
    small::until("its plan is finished", async || small.plan(plan.id).await.state.is_final()).await;
    let (_wire, epoch) = actors.a.connect().await;
    eprintln!("{count} bad lines of frames; A's honest session after them has epoch {epoch}");
    assert!(actors.a.key.public() != actors.b.key.public());
}

async fn odd(small: &Small, what: &str) -> usize {
    let text = "SELECT body FROM events WHERE kind = 'host.odd_connection' AND body LIKE ?";
    let like = format!("%\"what\":\"{what}\"%");
    legator_store::sql::all(small.store.reader(), text, vec![like.into()]).await.unwrap().len()
}
