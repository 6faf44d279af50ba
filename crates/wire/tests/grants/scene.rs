//! A grant as it should be, and everything around it that a case may change.
//!
//! Owns the making of a delivery from parts. What is changed before sealing is signed by the right key; what is changed afterwards is not.
#![allow(dead_code)]

use super::wire::approval::{Approval, Vote};
use super::wire::dsse::{Envelope, from_b64, to_b64};
use super::wire::grant::{Approver, Checked, Counted, Delivery, Grant, HostFacts, check};
use super::wire::keys::{ApproverKey, AuthorityKey, ProbeKey, PublicKey, Signer as _};
use super::wire::order::{FreezeWindow, Limits};
use super::wire::refusal::Refusal;
use legator_core::digest::Digest;
use legator_core::ids::{ApprovalId, FreezeId, HostId, PersonId, PlanId, TaskId, TenantId};
use legator_core::level::{Effects, Level};
use legator_core::merkle;
use legator_core::plan::{Leaf, Plan, PlanBody, Rollout, leaves_root};
use legator_core::span::Span;
use legator_core::time::Timestamp;
use serde_json::{Value, json};

/// What the host knows.
#[derive(Clone)]
pub struct Facts {
    pub now: Timestamp,
    pub high_water: Timestamp,
    pub skew: Span,
    pub limits: Option<Limits>,
    pub max_level: Level,
    pub approvers: Vec<Approver>,
    pub quorum: u8,
}

/// A grant in parts.
#[derive(Clone)]
pub struct Scene {
    pub authority: AuthorityKey,
    /// Seals the grant; the authority itself in a good one.
    pub sealer: AuthorityKey,
    pub installation: String,
    pub host: HostId,
    pub host_key: PublicKey,
    pub body: PlanBody,
    pub leaves: Vec<Leaf>,
    /// Which leaf is delivered.
    pub mine: usize,
    pub first: u32,
    pub count: u32,
    pub grant: Grant,
    pub approvals: Vec<Envelope>,
    pub payload_type: String,
    /// The last change to the grant's bytes before they are signed.
    pub bytes: fn(Vec<u8>) -> Vec<u8>,
    pub facts: Facts,
}

pub const APPROVERS: [&str; 3] = ["alice", "bob", "carol"];

/// An approver's key; `n` from one.
pub fn approver(n: u8) -> ApproverKey {
    ApproverKey::from_secret(&[100 + n; 32])
}

pub fn minutes(n: u64) -> Span {
    Span::from_secs(60 * n)
}

/// A plan that reads a file on three hosts.
fn body(installation: &str, now: Timestamp, task: TaskId) -> PlanBody {
    PlanBody {
        v: 1,
        installation: installation.to_owned(),
        tenant: TenantId::DEFAULT,
        plan: PlanId::new(task.bits() ^ 3),
        verb: "file.stat".to_owned(),
        args: json!({ "path": "/etc/hostname" }),
        level: Level::Observe,
        effects: Effects::none(),
        rollout: Rollout {
            batch: 3,
            max_parallel: 3,
            stop_after_failures: None,
            pause: Span::from_millis(0),
        },
        requester: PersonId::new(5),
        reason: None,
        timeout: Span::from_secs(30),
        output_bytes_max: 64 * 1024,
        made_at: now - minutes(2),
        decide_by: now + minutes(10),
        expires_at: now + minutes(60),
        hosts: 3,
        root: Digest::of(b""),
        nonce: "n".to_owned(),
    }
}

impl Scene {
    /// A good grant for this host.
    pub fn good(at: (&AuthorityKey, &str, HostId, PublicKey), now: Timestamp, task: TaskId) -> Self {
        let (authority, installation, host, host_key) = at;
        let other = ProbeKey::from_secret(&[9; 32]).public();
        let leaf = |index: u32, host: HostId, key: PublicKey, task: TaskId| Leaf {
            index,
            task,
            host,
            name: format!("host-{index}"),
            key: key.hex(),
            shown: None,
        };
        let leaves = vec![
            leaf(0, HostId::new(70), other, TaskId::new(task.bits() ^ 1)),
            leaf(1, host, host_key, task),
            leaf(2, HostId::new(72), other, TaskId::new(task.bits() ^ 2)),
        ];
        let body = body(installation, now, task);
        let grant = Grant {
            v: 1,
            installation: installation.to_owned(),
            plan: Digest::of(b""),
            first: 0,
            count: 3,
            not_before: now - minutes(1),
            expires_at: now + minutes(30),
            limits_version: 0,
            counted: vec![Counted {
                approval: ApprovalId::new(1),
                person: PersonId::new(6),
                key: None,
                mark: None,
            }],
            made_at: now,
        };
        let facts = Facts {
            now,
            high_water: now - minutes(1),
            skew: Span::from_millis(0),
            limits: None,
            max_level: Level::Remediate,
            approvers: Vec::new(),
            quorum: 0,
        };
        Self {
            authority: authority.clone(),
            sealer: authority.clone(),
            installation: installation.to_owned(),
            host,
            host_key,
            body,
            leaves,
            mine: 1,
            first: 0,
            count: 3,
            grant,
            approvals: Vec::new(),
            payload_type: "application/vnd.legator.grant.v1+json".to_owned(),
            bytes: |bytes| bytes,
            facts,
        }
    }

    /// The plan of these parts.
    pub fn plan(&self) -> Plan {
        let root = leaves_root(&self.leaves);
        Plan::make(PlanBody { root, ..self.body.clone() }).unwrap()
    }

    /// Everything sealed, as the authority would.
    pub fn delivery(&self) -> Delivery {
        let plan = self.plan();
        let grant = Grant { plan: plan.digest(), first: self.first, count: self.count, ..self.grant.clone() };
        let bytes = (self.bytes)(serde_json::to_vec(&grant).unwrap());
        let hashes: Vec<Digest> = self.leaves.iter().map(Leaf::hash).collect();
        Delivery {
            grant: Envelope::seal_bytes(&self.payload_type, bytes, &self.sealer),
            plan: plan.bytes().to_vec(),
            leaf: self.leaves[self.mine].clone(),
            proof: merkle::inclusion(&hashes, self.mine).unwrap(),
            approvals: self.approvals.clone(),
            limits: None,
            secrets: None,
        }
    }

    /// The frame as JSON.
    pub fn frame(&self) -> Value {
        let mut frame = serde_json::to_value(self.delivery()).unwrap();
        frame["kind"] = json!("grant");
        frame
    }

    /// Makes it a change of the host, at this level.
    pub fn change(&mut self, path: &str) {
        self.body.verb = "file.write".to_owned();
        self.body.args = json!({ "path": path, "content": "changed by a grant\n" });
        self.body.level = Level::Remediate;
        self.leaves[1].shown = Some(legator_core::verbs::ABSENT);
    }

    /// The host demands approvers of its own.
    pub fn demand(&mut self, quorum: u8) {
        let list = (1..=3).map(|n| Approver {
            person: APPROVERS[usize::from(n) - 1].to_owned(),
            keys: if n == 1 {
                vec![approver(1).public(), approver(11).public()]
            } else {
                vec![approver(n).public()]
            },
        });
        self.facts.approvers = list.collect();
        self.facts.quorum = quorum;
    }

    /// What an approver would sign under this plan.
    pub fn approval(&self, key: &ApproverKey) -> Approval {
        Approval {
            installation: self.installation.clone(),
            plan: self.plan().digest(),
            decision: Vote::Approve,
            person: PersonId::new(6),
            key: key.public().fingerprint(),
            made_at: self.facts.now,
            expires_at: self.facts.now + minutes(30),
        }
    }

    /// True approvals by these approvers.
    pub fn approve(&mut self, who: &[u8]) {
        self.approvals =
            who.iter().map(|n| Envelope::seal(&self.approval(&approver(*n)), &approver(*n))).collect();
    }

    /// Limits for this host.
    pub fn limits(&self, version: u64, ceiling: Level) -> Limits {
        let made_at = self.facts.now;
        Limits {
            installation: self.installation.clone(),
            host: self.host,
            version,
            ceiling,
            freezes: vec![],
            made_at,
        }
    }

    /// A window that is open now.
    pub fn freeze(&self) -> FreezeWindow {
        FreezeWindow {
            id: FreezeId::new(1),
            from: self.facts.now - minutes(5),
            until: self.facts.now + minutes(5),
        }
    }

    /// What the host says to a delivery.
    pub fn check(&self, delivery: &Delivery) -> Result<Checked, Refusal> {
        let facts = &self.facts;
        let authority = self.authority.public();
        let host = HostFacts {
            installation: &self.installation,
            authority: &authority,
            host: self.host,
            key: &self.host_key,
            now: facts.now,
            high_water: facts.high_water,
            skew: facts.skew,
            limits: facts.limits.as_ref(),
            max_level: facts.max_level,
            approvers: &facts.approvers,
            quorum: facts.quorum,
        };
        check(delivery, &host)
    }
}

/// Changes the bytes that a base64 field of a frame holds.
pub fn edit_bytes(field: &mut Value, edit: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = from_b64(field.as_str().unwrap()).unwrap();
    *field = json!(to_b64(&edit(bytes)));
}

/// Changes the JSON that a base64 field of a frame holds; the signature over it stays.
pub fn edit_json(field: &mut Value, edit: impl FnOnce(&mut Value)) {
    edit_bytes(field, |bytes| {
        let mut value: Value = serde_json::from_slice(&bytes).unwrap();
        edit(&mut value);
        serde_json::to_vec(&value).unwrap()
    });
}
