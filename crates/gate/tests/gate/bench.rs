//! A store in a file, a gate, persons, and hosts whose probes check grants as the real one does.
//!
//! Owns the simulation of a host: its key, its journal, whether it is connected. A grant that a host knows is answered, not run.

use std::collections::BTreeMap;
use std::sync::Arc;

use legator_core::cage::{CageReport, CageState};
use legator_core::digest::Digest;
use legator_core::error::Failure;
use legator_core::ids::*;
use legator_core::level::Level;
use legator_core::rights::{Role, RoleOn};
use legator_core::span::Span;
use legator_core::task::{Outcome, TaskState};
use legator_core::time::Timestamp;
use legator_gate::*;
use legator_store::persons::Person;
use legator_store::sessions::{self, Opening, SaidHello};
use legator_store::{Op, Options, Place, Store, StoreError, hosts, persons};
use legator_testkit::clock::{CountingIds, ManualClock};
use legator_wire::approval::Vote;
use legator_wire::dsse::Envelope;
use legator_wire::grant::{self, Delivery};
use legator_wire::keys::{AuthorityKey, ProbeKey, Signer};
use legator_wire::order::Limits;
use legator_wire::receipt::{Kept, Receipt, Sent};
use serde_json::{Value, json};

pub const INSTALLATION: &str = "sha256:installation";
pub const TENANT: TenantId = TenantId::DEFAULT;

/// A host and its probe.
pub struct TestHost {
    pub id: HostId,
    pub name: String,
    pub key: ProbeKey,
    pub epoch: u64,
    pub high_water: Timestamp,
    pub limits: Option<Limits>,
    /// What it did or refused: the grant that it knows for a task, and the receipt.
    pub journal: BTreeMap<TaskId, (Digest, Sent)>,
    /// How often each task really ran.
    pub runs: BTreeMap<TaskId, u32>,
    /// What its file holds.
    pub content: String,
}

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub clock: Arc<ManualClock>,
    pub ids: Arc<CountingIds>,
    pub gate: Gate,
    pub auth: Auth,
    pub authority: AuthorityKey,
    pub hosts: Vec<TestHost>,
    pub edge: InstanceId,
}

pub fn person(name: &str) -> PersonId {
    PersonId::new(
        1000 + u128::from(name.bytes().fold(7u64, |sum, b| sum.wrapping_mul(31) + u64::from(b)) % 1_000_000),
    )
}

pub fn role(role: Role) -> RoleOn {
    RoleOn { role, selector: None }
}

async fn open(dir: &std::path::Path, clock: &Arc<ManualClock>, ids: &Arc<CountingIds>) -> Store {
    let options = Options {
        place: Place::File(dir.join("legator.db")),
        seal_key: [7; 32],
        older_seal_keys: Vec::new(),
        clock: clock.clone(),
        ids: ids.clone(),
    };
    Store::open(options).await.unwrap()
}

impl Bench {
    pub async fn new(auth: Auth) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, ids) = (Arc::new(ManualClock::default()), Arc::new(CountingIds::default()));
        let store = open(dir.path(), &clock, &ids).await;
        let gate = Gate::new(store, INSTALLATION, auth);
        let authority = AuthorityKey::from_secret(&[9; 32]);
        let edge = InstanceId::new(77);
        let bench = Self { dir, clock, ids, gate, auth, authority, hosts: Vec::new(), edge };
        for (name, roles) in [
            ("alice", vec![role(Role::Operator), role(Role::Approver)]),
            ("bob", vec![role(Role::Approver)]),
            ("carol", vec![role(Role::Approver)]),
            ("erin", vec![role(Role::Approver)]),
            ("dave", vec![role(Role::Viewer)]),
            ("admin", vec![role(Role::Admin)]),
        ] {
            bench.set_roles(name, roles).await;
        }
        bench
    }

    /// One with hosts of these names, connected, with the label env=prod.
    pub async fn with(auth: Auth, names: &[&str]) -> Self {
        let mut bench = Self::new(auth).await;
        for name in names {
            bench.enrol(name, &[("env", "prod")], Level::Remediate).await;
            bench.connect(name, CageState::Full).await;
        }
        bench
    }

    pub fn store(&self) -> &Store {
        self.gate.store()
    }

    pub fn now(&self) -> Timestamp {
        legator_core::clock::Clock::now(self.clock.as_ref())
    }

    pub fn later(&self, secs: u64) {
        self.clock.advance(Span::from_secs(secs));
    }

    /// The process ends and another one opens the same file.
    pub async fn restart(&mut self) {
        self.store().close().await.unwrap();
        let store = open(self.dir.path(), &self.clock, &self.ids).await;
        self.gate = Gate::new(store, INSTALLATION, self.auth);
    }

    pub async fn set_roles(&self, name: &str, roles: Vec<RoleOn>) {
        let row = Person { name: name.into(), roles, made_at: self.now(), disabled_at: None };
        self.act(async |tx| persons::put(tx, person(name), &row).await).await;
    }

    pub async fn act(&self, work: impl AsyncFnOnce(&legator_store::Tx) -> Result<(), StoreError>) {
        let op = Op::system(TENANT, "test", TraceId::new(1));
        let event = legator_core::event::NewEvent::new("test.acted", Default::default(), json!({}));
        let written = self.store().write(&op, async |tx| {
            work(tx).await?;
            Ok::<_, StoreError>(legator_store::Audited::new((), event))
        });
        written.await.unwrap();
    }

    pub async fn enrol(&mut self, name: &str, labels: &[(&str, &str)], level: Level) -> HostId {
        let number = self.hosts.len() as u8 + 1;
        let key = ProbeKey::from_secret(&[100 + number; 32]);
        let id = HostId::fresh(self.ids.as_ref());
        let new = hosts::Newcomer {
            id,
            tenant: TENANT,
            key: key.public().hex(),
            token: TokenId::new(1),
            name: name.into(),
            hostname: name.into(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            level,
            clashes: vec![],
        };
        let op = Op::system(TENANT, "test", TraceId::new(1));
        self.store().write(&op, async |tx| hosts::enrol(tx, new).await).await.unwrap();
        self.hosts.push(TestHost {
            id,
            name: name.into(),
            key,
            epoch: 0,
            high_water: Timestamp::EPOCH,
            limits: None,
            journal: BTreeMap::new(),
            runs: BTreeMap::new(),
            content: "old\n".into(),
        });
        id
    }

    pub async fn connect(&mut self, name: &str, cage: CageState) {
        let host = self.host(name).id;
        let cage = if cage == CageState::Full {
            CageReport::full()
        } else {
            CageReport { state: cage, missing: vec!["x: y".into()] }
        };
        let said = SaidHello {
            hostname: name.into(),
            version: "0.1.0".into(),
            cage,
            max_level: Level::Remediate,
            limits_version: 0,
            running: vec![],
        };
        let instance = InstanceId::new(host.bits() + 5000);
        let opening = Opening { host, tenant: TENANT, edge: self.edge, instance, clock_ahead_ms: 0, said };
        let begun = sessions::begin(self.store(), &[opening], TraceId::new(1)).await.unwrap();
        self.host_mut(name).epoch = begun[0].session.epoch;
    }

    pub async fn disconnect(&self, name: &str) {
        let host = self.host(name);
        sessions::end(self.store(), &[(TENANT, host.id, host.epoch)]).await.unwrap();
    }

    pub fn host(&self, name: &str) -> &TestHost {
        self.hosts.iter().find(|host| host.name == name).unwrap()
    }

    pub fn host_mut(&mut self, name: &str) -> &mut TestHost {
        self.hosts.iter_mut().find(|host| host.name == name).unwrap()
    }

    /// Somebody with the roles that are sealed for them now.
    pub async fn caller(&self, name: &str) -> Caller {
        if self.auth == Auth::Off {
            return self.as_caller(PersonId::LOCAL, vec![role(Role::Admin)]);
        }
        let row = persons::get(self.store(), TENANT, person(name)).await.unwrap();
        self.as_caller(person(name), row.map_or_else(Vec::new, |row| row.roles))
    }

    fn as_caller(&self, person: PersonId, roles: Vec<RoleOn>) -> Caller {
        let trace = TraceId::fresh(self.ids.as_ref());
        Caller { tenant: TENANT, person, key: None, roles, via: "api", cap: Cap::All, trace, auth: self.auth }
    }

    pub async fn ask(&self, by: &str, ask: Ask) -> Result<PlanView, Failure> {
        legator_gate::ask(&self.gate, &self.caller(by).await, ask).await
    }

    pub async fn view(&self, plan: PlanId) -> PlanView {
        plan_view(&self.gate, TENANT, plan).await.unwrap().unwrap()
    }

    pub async fn vote(&self, by: &str, plan: &PlanView, vote: Vote) -> Result<PlanView, Failure> {
        let digest = self.view(plan.id).await.digest.unwrap_or(Digest::of(b""));
        self.vote_on(by, plan.id, digest, vote).await
    }

    pub async fn vote_on(
        &self,
        by: &str,
        plan: PlanId,
        digest: Digest,
        vote: Vote,
    ) -> Result<PlanView, Failure> {
        let vote = Decide { plan, digest, vote, reason: None, signature: None, break_glass: BreakGlass::No };
        decide(&self.gate, &self.caller(by).await, vote).await
    }

    pub async fn approve(&self, by: &str, plan: &PlanView) -> Result<PlanView, Failure> {
        self.vote(by, plan, Vote::Approve).await
    }

    pub async fn seal(&self, plan: PlanId) -> Vec<Handed> {
        self.sealed(plan).await.deliveries
    }

    pub async fn sealed(&self, plan: PlanId) -> Sealed {
        legator_gate::seal(&self.gate, &self.authority, plan).await.unwrap()
    }

    pub async fn sweep(&self) -> Reaped {
        reap(&self.gate).await.unwrap()
    }

    /// What the probe of this delivery does, and says.
    pub fn probe(&mut self, handed: &Handed) -> Sent {
        let (now, authority) = (self.now(), self.authority.public());
        let host = self.hosts.iter_mut().find(|host| host.id == handed.host).unwrap();
        host.take(&handed.delivery, now, &authority)
    }

    pub async fn settle(&self, host: HostId, sent: Sent) -> Option<Settled> {
        let key = self.hosts.iter().find(|known| known.id == host).unwrap().key.public();
        settle(&self.gate, vec![Received { host, key, sent }]).await.unwrap().into_iter().next()
    }

    /// Seals, runs and settles until nothing more is handed over.
    pub async fn run(&mut self, plan: PlanId) -> PlanView {
        for _ in 0..200 {
            let handed = self.seal(plan).await;
            if handed.is_empty() {
                break;
            }
            for handed in &handed {
                let sent = self.probe(handed);
                self.settle(handed.host, sent).await;
            }
        }
        self.view(plan).await
    }

    pub async fn events(&self, kind: &str) -> Vec<Value> {
        let text = "SELECT body FROM events WHERE kind = ? ORDER BY seq";
        let rows = legator_store::sql::all(self.store().reader(), text, vec![kind.into()]).await.unwrap();
        rows.iter()
            .map(|row| serde_json::from_str(&legator_store::sql::column::<String>(row, 0).unwrap()).unwrap())
            .collect()
    }

    pub fn states(view: &PlanView) -> Vec<TaskState> {
        view.tasks.iter().map(|task| task.state).collect()
    }
}

impl TestHost {
    fn take(
        &mut self,
        delivery: &Delivery,
        now: Timestamp,
        authority: &legator_wire::keys::PublicKey,
    ) -> Sent {
        let task = delivery.leaf.task;
        let digest = delivery.grant.digest();
        if let Some((known, sent)) = self.journal.get(&task) {
            assert_eq!(*known, digest, "a host was handed two grants of different content for {task}");
            return sent.clone();
        }
        if let Some(limits) =
            delivery.limits.as_ref().and_then(|envelope| envelope.open::<Limits>(authority).ok())
        {
            assert!(self.limits.as_ref().is_none_or(|known| known.version <= limits.version));
            self.limits = Some(limits);
        }
        let key = self.key.public();
        let facts = grant::HostFacts {
            installation: INSTALLATION,
            authority,
            host: self.id,
            key: &key,
            now,
            high_water: self.high_water,
            skew: Span::from_secs(0),
            limits: self.limits.as_ref(),
            max_level: Level::Remediate,
            approvers: &[],
            quorum: 0,
        };
        let plan = legator_core::plan::Plan::parse(delivery.plan.clone()).unwrap();
        let at = (INSTALLATION.to_owned(), self.id);
        let receipt = match grant::check(delivery, &facts) {
            Err(refusal) => {
                let mut receipt = Receipt::bare(at, (task, plan.digest(), digest), Outcome::Refused, now);
                receipt.reason = Some(refusal.name().into());
                receipt
            }
            Ok(checked) => {
                self.high_water = self.high_water.max(checked.made_at);
                *self.runs.entry(task).or_default() += 1;
                self.ran(
                    &checked.plan,
                    Receipt::bare(at, (task, plan.digest(), digest), Outcome::Succeeded, now),
                )
            }
        };
        let stdout = if receipt.outcome == Outcome::Succeeded { b"done\n".to_vec() } else { Vec::new() };
        let receipt = Receipt { stdout: Kept::whole(&stdout), ..receipt };
        let sent = Sent { receipt: Envelope::seal(&receipt, &self.key), stdout, stderr: Vec::new() };
        self.journal.insert(task, (digest, sent.clone()));
        sent
    }

    fn ran(&mut self, plan: &legator_core::plan::Plan, mut receipt: Receipt) -> Receipt {
        receipt.started_at = Some(receipt.ended_at);
        receipt.duration_ms = 3;
        let state = |content: &str| json!({"kind": "file", "bytes": content.len(), "content": content, "mode": "0644", "digest": Digest::of(content.as_bytes())});
        let body = plan.body();
        match body.verb.as_str() {
            "file.read" => receipt.before = Some(state(&self.content)),
            "file.write" => {
                receipt.before = Some(state(&self.content));
                self.content = body.args["content"].as_str().unwrap().to_owned();
                receipt.after = Some(state(&self.content));
                receipt.verified = Some(true);
            }
            "service.restart" => {
                receipt.before = Some(json!({"pid": 1}));
                receipt.after = Some(json!({"pid": 2}));
                receipt.verified = Some(true);
            }
            _ => receipt.exit_code = Some(0),
        }
        receipt
    }

    /// A receipt of its own making, signed by it.
    pub fn sign(&self, receipt: &Receipt) -> Sent {
        Sent { receipt: Envelope::seal(receipt, &self.key), stdout: Vec::new(), stderr: Vec::new() }
    }
}

pub fn asked(verb: &str, args: Value, selector: &str) -> Ask {
    Ask {
        verb: verb.into(),
        args,
        selector: selector.into(),
        level: None,
        rollout: None,
        decide_in: None,
        expires_in: None,
        timeout: None,
        reason: None,
        turn: None,
    }
}

pub fn stat(selector: &str) -> Ask {
    asked("file.stat", json!({"path": "/etc/hosts"}), selector)
}

pub fn restart(selector: &str) -> Ask {
    asked("service.restart", json!({"name": "nginx"}), selector)
}

pub fn reboot(selector: &str) -> Ask {
    asked("host.reboot", json!({}), selector)
}

pub fn code<T: std::fmt::Debug>(result: Result<T, Failure>) -> &'static str {
    match result {
        Ok(value) => panic!("it was not refused: {value:?}"),
        Err(failure) => failure.code,
    }
}
