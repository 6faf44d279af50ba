//! A person, a model and a host in one conversation: everything in one process but the model, which answers over HTTP.
//!
//! Owns how a test starts them, asks, decides and waits. The host is a simulated probe that answers by verb.

#![allow(dead_code)]

use super::small::{self, Small, TENANT, until};
use legator_brain::Settings;
use legator_core::brain::{Scope, Step};
use legator_core::ids::{PersonId, PlanId, TurnId};
use legator_core::level::Level;
use legator_core::plan::{Plan, PlanState};
use legator_core::task::Outcome;
use legator_gate::{BreakGlass, Decide};
use legator_store::chats::{self, Asked, Chat, Turn};
use legator_store::{StoreError, hosts};
use legator_testkit::model::Model;
use legator_testkit::sim::{SimProbe, receipt_for};
use legator_wire::approval::Vote;
use legator_wire::dsse::Envelope;
use legator_wire::frame::{Down, Up};
use legator_wire::receipt::Sent;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// What a host returns to a verb with these arguments: its output.
pub type Says = Arc<dyn Fn(&str, &Value) -> String + Send + Sync>;

/// Verbs that a host was told to do, in order, with their level.
pub type Done = Arc<Mutex<Vec<(String, Level)>>>;

pub struct Talk {
    pub small: Small,
    pub model: Model,
    stop: CancellationToken,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Talk {
    pub async fn start(model: Model) -> Self {
        Self::over(small::start().await, model).await
    }

    pub async fn over(small: Small, model: Model) -> Self {
        let stop = CancellationToken::new();
        let settings = Settings::from_map(model.settings()).unwrap();
        tokio::spawn(legator_brain::run(settings, small.bus.clone(), stop.clone()));
        Self { small, model, stop }
    }

    /// A connected host at this level that answers every grant; and what it was told to do.
    pub async fn host(&self, name: &str, says: Says) -> (SimProbe, Done) {
        let probe = self.small.probe(name).await;
        let op = self.small.op();
        let raised = self.small.store.write(&op, async |tx| {
            let raised = hosts::set_level(tx, probe.host(), Level::Remediate).await?;
            raised.ok_or_else(|| StoreError::corrupt("host", "it is gone"))
        });
        raised.await.unwrap();
        let done = self.connect(&probe, says).await;
        (probe, done)
    }

    /// Connects a host that is enrolled already.
    pub async fn connect(&self, probe: &SimProbe, says: Says) -> Done {
        let done = Done::default();
        let (mut wire, _) = probe.connect().await;
        let (own, told) = (probe.clone(), done.clone());
        tokio::spawn(async move {
            while let Some(down) = wire.next_within(std::time::Duration::from_secs(600)).await {
                let Down::Grant(delivery) = down else { continue };
                let plan = Plan::parse(delivery.plan.clone()).unwrap();
                let body = plan.body();
                told.lock().unwrap().push((body.verb.clone(), body.level));
                let stdout = says(&body.verb, &body.args);
                let mut receipt = receipt_for(&own, &delivery, Outcome::Succeeded, stdout.as_bytes());
                if body.level == Level::Remediate {
                    receipt.verified = Some(true);
                    receipt.before = Some(json!({"main_pid": 812, "active": true}));
                    receipt.after = Some(json!({"main_pid": 4711, "active": true}));
                }
                let receipt = Envelope::seal(&receipt, &own.key);
                let sent = Sent { receipt, stdout: stdout.into_bytes(), stderr: vec![] };
                wire.send(&Up::Receipt(Box::new(sent))).await;
            }
        });
        self.small.until_host(probe.host(), "connected", |row| row.connected).await;
        done
    }

    pub async fn chat(&self, scope: Scope) -> Chat {
        let op = small::caller().op();
        chats::begin(&self.small.store, &op, PersonId::LOCAL, (scope, "a chat")).await.unwrap().0
    }

    pub async fn ask(&self, chat: &Chat, question: &str) -> TurnId {
        let caller = small::caller();
        let asked = Asked {
            person: caller.person,
            name: "local".into(),
            key: None,
            local: true,
            trace: caller.trace,
            question: question.into(),
        };
        let turn = chats::ask(&self.small.store, &caller.op(), chat, &asked).await.unwrap();
        self.small.bus.publish(&legator_bus::subject::wake("turn", turn), vec![]).await.unwrap();
        turn
    }

    pub async fn turn(&self, turn: TurnId) -> Turn {
        chats::turn(&self.small.store, turn).await.unwrap().unwrap()
    }

    pub async fn steps(&self, turn: TurnId) -> Vec<Step> {
        let rows = chats::steps_of_turn(&self.small.store, turn).await.unwrap();
        rows.into_iter().map(|row| row.step).collect()
    }

    /// Waits for the end of a turn; its steps.
    pub async fn ended(&self, turn: TurnId) -> Vec<Step> {
        let started = std::time::Instant::now();
        loop {
            let now = self.turn(turn).await;
            if !now.state.is_open() {
                return self.steps(turn).await;
            }
            if started.elapsed() > small::PATIENCE {
                panic!("waited too long for the end of {now:?}: {:?}", self.steps(turn).await.last());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Waits until a plan of the turn waits for an approval.
    pub async fn pending(&self, turn: TurnId) -> PlanId {
        until("a plan waits", async || pending_of(&self.steps(turn).await).is_some()).await;
        pending_of(&self.steps(turn).await).unwrap()
    }

    pub async fn decide(&self, plan: PlanId, vote: Vote) {
        let digest = self.small.plan(plan).await.digest.unwrap();
        let decide =
            Decide { plan, digest, vote, reason: None, signature: None, break_glass: BreakGlass::No };
        legator_gate::decide(&self.small.gate, &small::caller(), decide).await.unwrap();
        self.small.bus.publish(&legator_bus::subject::wake("plan", plan), vec![]).await.unwrap();
    }

    /// All plans that are not reads.
    pub async fn changes(&self) -> Vec<legator_store::plans::PlanRow> {
        let filter = legator_store::plans::Filter { limit: 500, ..Default::default() };
        let all = legator_store::plans::list(&self.small.store, TENANT, &filter).await.unwrap();
        all.into_iter().filter(|row| level(&row.body) != Level::Observe).collect()
    }
}

fn level(body: &[u8]) -> Level {
    serde_json::from_slice::<Value>(body).unwrap()["level"].as_str().unwrap().parse().unwrap()
}

fn pending_of(steps: &[Step]) -> Option<PlanId> {
    steps.iter().find_map(|step| match step {
        Step::Approval { plan, state: PlanState::Pending, .. } => Some(*plan),
        _ => None,
    })
}
