//! A simulated probe that does what it is asked, and says so with good receipts.
//!
//! Owns the receipt of a grant and a loop that answers every grant until its end.

use super::{SimProbe, Wire, now};
use legator_core::ids::{PlanId, TaskId};
use legator_core::plan::Plan;
use legator_core::task::Outcome;
use legator_wire::dsse::Envelope;
use legator_wire::frame::{Down, Up};
use legator_wire::grant::Delivery;
use legator_wire::order::Ack;
use legator_wire::receipt::{Kept, Receipt, Sent};
use std::collections::HashMap;

/// The receipt of a task that ended so, with this output.
pub fn receipt_for(probe: &SimProbe, delivery: &Delivery, outcome: Outcome, stdout: &[u8]) -> Receipt {
    let plan = Plan::parse(delivery.plan.clone()).expect("a grant comes with its plan");
    let at = (probe.admission.installation.clone(), probe.host());
    let of = (delivery.leaf.task, plan.digest(), delivery.grant.digest());
    let mut receipt = Receipt::bare(at, of, outcome, now());
    receipt.started_at = Some(now());
    receipt.exit_code = Some(i32::from(outcome != Outcome::Succeeded));
    receipt.stdout = Kept::whole(stdout);
    receipt
}

/// A probe that answers every grant.
pub struct Honest {
    /// The probe.
    pub probe: SimProbe,
    /// Its connection.
    pub wire: Wire,
    /// How often each task was started.
    pub started: HashMap<TaskId, u32>,
    /// Receipts without acknowledgement.
    pub waiting: HashMap<TaskId, Sent>,
    /// Receipts with one.
    pub acked: usize,
}

impl Honest {
    /// Connects.
    pub async fn connect(probe: SimProbe) -> Self {
        let (wire, _) = probe.connect().await;
        Self { probe, wire, started: HashMap::new(), waiting: HashMap::new(), acked: 0 }
    }

    /// Answers one frame. False when the connection has ended.
    pub async fn step(&mut self) -> bool {
        let Some(down) = self.wire.next().await else { return false };
        match down {
            Down::Grant(delivery) => self.granted(&delivery).await,
            Down::Ack { envelope } => {
                let ack: Ack =
                    envelope.open(&self.probe.admission.authority).expect("the authority acknowledges");
                if self.waiting.remove(&ack.task).is_some() {
                    self.acked += 1;
                }
            }
            _ => {}
        }
        true
    }

    async fn granted(&mut self, delivery: &Delivery) {
        let (task, plan) = (delivery.leaf.task, plan_of(delivery));
        if let Some(sent) = self.waiting.get(&task).cloned() {
            return self.wire.send(&Up::Receipt(Box::new(sent))).await;
        }
        *self.started.entry(task).or_default() += 1;
        self.wire.send(&Up::Started { plan, task }).await;
        let receipt = receipt_for(&self.probe, delivery, Outcome::Succeeded, b"done\n");
        let receipt = Envelope::seal(&receipt, &self.probe.key);
        let sent = Sent { receipt, stdout: b"done\n".to_vec(), stderr: Vec::new() };
        self.waiting.insert(task, sent.clone());
        self.wire.send(&Up::Receipt(Box::new(sent))).await;
    }

    /// Answers until so many receipts are acknowledged. False when the connection ended before.
    pub async fn until_acked(&mut self, count: usize) -> bool {
        while self.acked < count {
            if !self.step().await {
                return false;
            }
        }
        true
    }
}

fn plan_of(delivery: &Delivery) -> PlanId {
    Plan::parse(delivery.plan.clone()).expect("a grant comes with its plan").body().plan
}
