//! Anything that can happen, in any order: what must hold whatever the order was.
//!
//! Votes, cancels, the passing of time, seals, deliveries, receipts, duplicates, forgeries, lost and given-back grants, hosts that go
//! and come, restarts over the same file. The model beside the gate is a set of votes a plan and a list of states a task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bench::*;
use legator_core::cage::CageState;
use legator_core::digest::Digest;
use legator_core::ids::{HostId, PlanId, TaskId};
use legator_core::plan::PlanState;
use legator_core::task::{Outcome, TaskState};
use legator_gate::*;
use legator_wire::approval::Vote;
use legator_wire::dsse::Envelope;
use legator_wire::keys::{ProbeKey, Signer};
use legator_wire::receipt::{Receipt, Sent};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

const HOSTS: [&str; 3] = ["a", "b", "c"];
const VOTERS: [&str; 4] = ["alice", "bob", "carol", "erin"];
const CASES: u32 = 64;

#[derive(Debug, Clone)]
enum Step {
    Ask(usize, usize),
    Approve(usize, usize),
    Reject(usize, usize),
    Revoke(usize, usize),
    Cancel(usize),
    Advance(u64),
    Seal(usize),
    Deliver(usize),
    Lose(usize),
    GiveBack(usize),
    Started(usize),
    Receive(usize),
    Forge(usize),
    Resend(usize),
    Go(usize),
    Come(usize),
    Sweep,
    Prepare(usize),
    /// Approved, handed over, run and told, without anything in between.
    Through(usize),
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let n = 0usize..8;
    prop_oneof![
        3 => (0usize..5, 0usize..4).prop_map(|(kind, on)| Step::Ask(kind, on)),
        6 => (0usize..4, n.clone()).prop_map(|(by, plan)| Step::Approve(by, plan)),
        1 => (0usize..4, n.clone()).prop_map(|(by, plan)| Step::Reject(by, plan)),
        2 => (0usize..4, n.clone()).prop_map(|(by, plan)| Step::Revoke(by, plan)),
        1 => n.clone().prop_map(Step::Cancel),
        3 => prop_oneof![Just(1), Just(11), Just(65), Just(300), Just(1000), Just(5000)].prop_map(Step::Advance),
        9 => n.clone().prop_map(Step::Seal),
        9 => n.clone().prop_map(Step::Deliver),
        1 => n.clone().prop_map(Step::Lose),
        2 => n.clone().prop_map(Step::GiveBack),
        1 => n.clone().prop_map(Step::Started),
        8 => n.clone().prop_map(Step::Receive),
        2 => n.clone().prop_map(Step::Forge),
        2 => (0usize..3).prop_map(Step::Resend),
        2 => (0usize..3).prop_map(Step::Go),
        2 => (0usize..3).prop_map(Step::Come),
        3 => Just(Step::Sweep),
        3 => n.clone().prop_map(Step::Prepare),
        4 => n.prop_map(Step::Through),
        1 => Just(Step::Restart),
    ]
}

struct Asked {
    id: PlanId,
    needs: usize,
    votes: BTreeSet<usize>,
    rejected: bool,
}

#[derive(Default)]
struct Seen {
    grants: BTreeMap<TaskId, Digest>,
    states: BTreeMap<TaskId, Vec<TaskState>>,
}

struct World {
    bench: Bench,
    plans: Vec<Asked>,
    /// Handed over, not at its host yet.
    flying: Vec<Handed>,
    /// Receipts that may come, each as often as it likes.
    outbox: Vec<(HostId, Sent)>,
    seen: Seen,
}

static STEPS: AtomicUsize = AtomicUsize::new(0);
static RUNS: AtomicUsize = AtomicUsize::new(0);
static ENDS: [AtomicUsize; 10] = [const { AtomicUsize::new(0) }; 10];

fn pick<T>(list: &[T], at: usize) -> Option<usize> {
    if list.is_empty() { None } else { Some(at % list.len()) }
}

impl World {
    async fn ask(&mut self, kind: usize, on: usize) {
        if self.plans.len() >= 6 {
            return;
        }
        let selector = ["a", "b", "c", "env=prod"][on];
        let (ask, needs) = match kind {
            0 => (stat(selector), 0),
            1 => (restart(selector), 1),
            2 => (reboot(selector), 2),
            3 => {
                (asked("file.write", json!({"path": "/etc/motd", "content": format!("{on}\n")}), selector), 1)
            }
            _ => {
                let rollout = Some(AskRollout {
                    batch: Some(1),
                    stop_after_failures: Some(2),
                    ..AskRollout::default()
                });
                (Ask { rollout, ..restart(selector) }, 1)
            }
        };
        let view = self.bench.ask("alice", ask).await.unwrap();
        self.plans.push(Asked { id: view.id, needs, votes: BTreeSet::new(), rejected: false });
        if let Some(reading) = view.reading {
            self.plans.push(Asked { id: reading, needs: 0, votes: BTreeSet::new(), rejected: false });
        }
    }

    async fn vote(&mut self, by: usize, plan: usize, vote: Vote) {
        let Some(place) = pick(&self.plans, plan) else { return };
        let view = self.bench.view(self.plans[place].id).await;
        let answer = self.bench.vote(VOTERS[by], &view, vote).await;
        if by == 0 && vote == Vote::Approve {
            assert!(answer.is_err(), "who asked approved");
        }
        if answer.is_ok() {
            match vote {
                Vote::Approve => self.plans[place].votes.insert(by),
                Vote::Reject => std::mem::replace(&mut self.plans[place].rejected, true),
            };
        }
    }

    async fn revoke(&mut self, by: usize, plan: usize) {
        let Some(place) = pick(&self.plans, plan) else { return };
        let caller = self.bench.caller(VOTERS[by]).await;
        if revoke_approval(&self.bench.gate, &caller, self.plans[place].id).await.is_ok() {
            assert!(self.plans[place].votes.remove(&by), "a vote that was never given was taken back");
        }
    }

    async fn seal(&mut self, plan: usize) {
        let Some(place) = pick(&self.plans, plan) else { return };
        let asked = &self.plans[place];
        let handed = self.bench.seal(asked.id).await;
        if !handed.is_empty() {
            assert!(
                asked.votes.len() >= asked.needs,
                "handed over with {:?} of {}",
                asked.votes,
                asked.needs
            );
            assert!(!asked.rejected && !asked.votes.contains(&0));
        }
        self.fly(handed);
    }

    fn fly(&mut self, handed: Vec<Handed>) {
        for handed in handed {
            let digest = handed.delivery.grant.digest();
            let known = *self.seen.grants.entry(handed.task).or_insert(digest);
            assert_eq!(known, digest, "two grants of different content for {}", handed.task);
            self.flying.push(handed);
        }
    }

    fn deliver(&mut self, at: usize) {
        let Some(place) = pick(&self.flying, at) else { return };
        let handed = self.flying.swap_remove(place);
        let sent = self.bench.probe(&handed);
        self.outbox.push((handed.host, sent));
    }

    async fn receive(&mut self, at: usize) {
        let Some(place) = pick(&self.outbox, at) else { return };
        let (host, sent) = self.outbox[place].clone();
        let settled = self.bench.settle(host, sent.clone()).await.unwrap();
        assert_eq!(settled.ack, Some(sent.receipt.digest()));
    }

    /// Somebody who is not the host says that a task went well.
    async fn forge(&mut self, at: usize) {
        let Some(place) = pick(&self.flying, at) else { return };
        let handed = &self.flying[place];
        let plan = Digest::of(&handed.delivery.plan);
        let of = (handed.task, plan, handed.delivery.grant.digest());
        let receipt =
            Receipt::bare((INSTALLATION.into(), handed.host), of, Outcome::Succeeded, self.bench.now());
        let stranger = ProbeKey::from_secret(&[66; 32]);
        let sent = Sent { receipt: Envelope::seal(&receipt, &stranger), stdout: vec![], stderr: vec![] };
        assert_eq!(self.bench.settle(handed.host, sent).await.unwrap().ack, None);
    }

    async fn through(&mut self, plan: usize) {
        self.vote(1, plan, Vote::Approve).await;
        self.vote(2, plan, Vote::Approve).await;
        self.seal(plan).await;
        self.deliver(self.flying.len().saturating_sub(1));
        self.receive(self.outbox.len().saturating_sub(1)).await;
    }

    async fn sweep(&mut self) {
        let reaped = self.bench.sweep().await;
        for plan in reaped.prepare {
            let _ = prepared(&self.bench.gate, plan).await;
        }
    }

    async fn take(&mut self, step: Step) {
        STEPS.fetch_add(1, Ordering::Relaxed);
        match step {
            Step::Ask(kind, on) => self.ask(kind, on).await,
            Step::Approve(by, plan) => self.vote(by, plan, Vote::Approve).await,
            Step::Reject(by, plan) => self.vote(by, plan, Vote::Reject).await,
            Step::Revoke(by, plan) => self.revoke(by, plan).await,
            Step::Cancel(plan) => {
                if let Some(place) = pick(&self.plans, plan) {
                    let caller = self.bench.caller("alice").await;
                    let _ = cancel(&self.bench.gate, &caller, self.plans[place].id).await;
                }
            }
            Step::Advance(secs) => self.bench.later(secs),
            Step::Seal(plan) => self.seal(plan).await,
            Step::Deliver(at) => self.deliver(at),
            Step::Lose(at) => {
                if let Some(place) = pick(&self.flying, at) {
                    self.flying.swap_remove(place);
                }
            }
            Step::GiveBack(at) => {
                if let Some(place) = pick(&self.flying, at) {
                    let handed = self.flying.swap_remove(place);
                    give_back(&self.bench.gate, &[(handed.host, handed.task)]).await.unwrap();
                }
            }
            Step::Started(at) => {
                if let Some(place) = pick(&self.flying, at) {
                    let handed = &self.flying[place];
                    started(&self.bench.gate, &[(handed.host, handed.task)]).await.unwrap();
                }
            }
            Step::Receive(at) => self.receive(at).await,
            Step::Forge(at) => self.forge(at).await,
            Step::Resend(host) => {
                let id = self.bench.host(HOSTS[host]).id;
                let handed = resend(&self.bench.gate, &self.bench.authority, id).await.unwrap();
                self.fly(handed);
            }
            Step::Go(host) => self.bench.disconnect(HOSTS[host]).await,
            Step::Come(host) => self.bench.connect(HOSTS[host], CageState::Full).await,
            Step::Sweep => self.sweep().await,
            Step::Prepare(plan) => {
                if let Some(place) = pick(&self.plans, plan) {
                    let _ = prepared(&self.bench.gate, self.plans[place].id).await;
                }
            }
            Step::Through(plan) => self.through(plan).await,
            Step::Restart => self.bench.restart().await,
        }
    }

    /// What holds after each step.
    async fn look(&mut self) {
        for place in 0..self.plans.len() {
            let view = self.bench.view(self.plans[place].id).await;
            assert!(!self.plans[place].rejected || view.state == PlanState::Rejected);
            for task in &view.tasks {
                self.follow(task);
                if task.state == TaskState::Succeeded {
                    self.proven(&view, task);
                }
            }
            let open = view.tasks.iter().any(|task| !task.state.is_final());
            assert!(!(view.state == PlanState::Finished && open), "finished with an open task: {view:?}");
        }
        for runs in self.bench.hosts.iter().flat_map(|host| host.runs.values()) {
            assert_eq!(*runs, 1, "a task ran twice");
        }
    }

    fn follow(&mut self, task: &TaskView) {
        let states = self.seen.states.entry(task.id).or_default();
        let last = states.last().copied();
        if last == Some(task.state) {
            return;
        }
        if let Some(last) = last.filter(|last| last.is_final()) {
            let receipt = matches!(task.state, TaskState::Succeeded | TaskState::Failed | TaskState::Refused);
            assert!(
                last == TaskState::Unknown && receipt && task.was_unknown,
                "{last} became {}",
                task.state
            );
        }
        let grantless = !self.seen.grants.contains_key(&task.id);
        let handed = matches!(
            task.state,
            TaskState::Sent | TaskState::Running | TaskState::Succeeded | TaskState::Unknown
        );
        assert!(!(grantless && handed), "{} without a grant", task.state);
        states.push(task.state);
    }

    /// A success has a receipt of its host, under the grant that it was handed, and the host did run it.
    fn proven(&self, view: &PlanView, task: &TaskView) {
        let host = self.bench.hosts.iter().find(|host| host.id == task.host).unwrap();
        let envelope: Envelope = serde_json::from_value(task.receipt.clone().unwrap()).unwrap();
        let receipt: Receipt = envelope.open(&host.key.public()).unwrap();
        assert_eq!((receipt.task, Some(receipt.plan)), (task.id, view.digest));
        assert_eq!(receipt.grant, self.seen.grants[&task.id]);
        assert_eq!(receipt.outcome, Outcome::Succeeded);
        assert_eq!(host.runs.get(&task.id), Some(&1));
    }

    /// Time goes by; then everything has ended, each task in one way.
    async fn end(&mut self) {
        self.bench.later(8 * 86_400);
        for _ in 0..4 {
            self.sweep().await;
        }
        self.look().await;
        for asked in &self.plans {
            let view = self.bench.view(asked.id).await;
            assert!(view.state.is_final(), "{} is {}", asked.id, view.state);
            for task in &view.tasks {
                assert!(task.state.is_final(), "{} of {} is {}", task.id, view.state, task.state);
                let place = TaskState::ALL.iter().position(|state| *state == task.state).unwrap();
                ENDS[place].fetch_add(1, Ordering::Relaxed);
            }
        }
        RUNS.fetch_add(self.bench.hosts.iter().map(|host| host.runs.len()).sum(), Ordering::Relaxed);
    }
}

async fn case(steps: Vec<Step>) {
    let bench = Bench::with(Auth::On, &HOSTS).await;
    let mut world = World { bench, plans: vec![], flying: vec![], outbox: vec![], seen: Seen::default() };
    world.ask(1, 3).await;
    for step in steps {
        world.take(step).await;
        world.look().await;
    }
    world.end().await;
}

#[test]
fn whatever_the_order_each_host_ends_in_one_state_and_nothing_runs_before_its_gate_or_twice() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    });
    let steps = proptest::collection::vec(any_step(), 20..60);
    let outcome = runner.run(&steps, |steps| {
        runtime.block_on(case(steps));
        Ok(())
    });
    outcome.unwrap();
    let ends: Vec<String> = TaskState::ALL
        .iter()
        .zip(&ENDS)
        .map(|(state, count)| (state, count.load(Ordering::Relaxed)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let (steps, runs) = (STEPS.load(Ordering::Relaxed), RUNS.load(Ordering::Relaxed));
    eprintln!(
        "interleavings: {CASES} orders, {steps} steps, {runs} runs on hosts; tasks ended: {}",
        ends.join(", ")
    );
}
