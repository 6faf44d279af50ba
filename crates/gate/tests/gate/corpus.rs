//! The corpus of approvals, line by line: its steps are taken against a real gate, and what must hold is looked at.

use std::collections::BTreeMap;

use crate::bench::*;
use legator_core::cage::CageState;
use legator_core::error::Failure;
use legator_core::ids::PlanId;
use legator_core::level::Level;
use legator_core::plan::PlanState;
use legator_core::rights::{Role, RoleOn};
use legator_core::span::Span;
use legator_core::task::TaskState as T;
use legator_gate::*;
use legator_wire::approval::Vote;
use serde_json::Value;

const CORPUS: &str = include_str!("../corpus/approvals.jsonl");

/// Where a case stands after its steps.
struct World {
    bench: Bench,
    plans: BTreeMap<String, PlanId>,
    /// What the last step that somebody took was answered with.
    last: Option<Result<PlanView, Failure>>,
    /// The answers of a race.
    raced: Vec<Result<PlanView, Failure>>,
}

fn text<'a>(step: &'a Value, field: &str) -> &'a str {
    step[field].as_str().unwrap_or_default()
}

/// A key, a login and a role are of the person behind them.
fn who(step: &Value) -> String {
    let by = step["same_person_as"].as_str().unwrap_or(text(step, "by"));
    by.strip_prefix("token-of-").unwrap_or(by).to_owned()
}

fn span(text: &str) -> Span {
    let parts = text.split(' ').map(|part| part.replace("min", "m").parse::<Span>().unwrap().millis());
    Span::from_millis(parts.sum())
}

impl World {
    fn plan(&self, step: &Value) -> PlanId {
        *self.plans.get(text(step, "plan")).unwrap_or_else(|| self.plans.values().next().unwrap())
    }

    async fn view(&self) -> PlanView {
        self.bench.view(self.plans["P"]).await
    }

    async fn request(&mut self, step: &Value, by: &str) {
        let selector =
            if step["selector"].is_string() || step["waves"].is_number() { "env=prod" } else { "web-03" };
        let base = if step["needs"] == 2 { reboot(selector) } else { restart(selector) };
        let rollout =
            step["waves"].is_number().then(|| AskRollout { batch: Some(1), ..AskRollout::default() });
        let decide_in = step["expires"].as_str().map(span);
        let ask = Ask { rollout, decide_in, expires_in: decide_in, ..base };
        let mut caller = self.bench.caller(by).await;
        if text(step, "by") == "brain" {
            caller = Caller { cap: Cap::ReadOrPropose, via: "chat", ..caller };
        }
        let view = legator_gate::ask(&self.bench.gate, &caller, ask).await.unwrap();
        self.plans.insert(text(step, "plan").to_owned(), view.id);
        self.last = Some(Ok(view));
    }

    async fn vote(&self, step: &Value, vote: Vote) -> Result<PlanView, Failure> {
        let plan = self.plan(step);
        let named = step["digest_of"].as_str().map_or(plan, |other| self.plans[other]);
        let digest = self.bench.view(named).await.digest.unwrap();
        let mut caller = self.bench.caller(&who(step)).await;
        if who(step) == "brain" {
            // Whatever credential it shows: even an admin's.
            caller = Caller { cap: Cap::ReadOrPropose, ..self.bench.caller("admin").await };
        }
        let vote = Decide { plan, digest, vote, reason: None, signature: None, break_glass: BreakGlass::No };
        decide(&self.bench.gate, &caller, vote).await
    }

    async fn break_glass(&mut self, step: &Value) {
        if self.plans.is_empty() {
            let request = serde_json::json!({"by": "alice", "plan": "P", "needs": 1});
            self.request(&request, "alice").await;
            self.bench.set_roles("alice", vec![role(Role::Operator), role(Role::Admin)]).await;
        }
        let plan = self.view().await;
        let vote = Decide {
            plan: plan.id,
            digest: plan.digest.unwrap(),
            vote: Vote::Approve,
            reason: step["reason"].as_str().map(str::to_owned),
            signature: None,
            break_glass: BreakGlass::Yes,
        };
        self.last = Some(decide(&self.bench.gate, &self.bench.caller(&who(step)).await, vote).await);
    }

    async fn dispatch(&mut self, plan: PlanId) {
        for handed in self.bench.seal(plan).await {
            let sent = self.bench.probe(&handed);
            self.bench.settle(handed.host, sent).await.unwrap();
        }
    }

    async fn policy(&self) {
        let admin = self.bench.caller("admin").await;
        let text = "@id(\"two\") @approvals(\"2\") permit (principal, action, resource);";
        let written = propose_policy(&self.bench.gate, &admin, text.into(), None).await.unwrap();
        activate_policy(&self.bench.gate, &admin, written.version).await.unwrap();
    }

    async fn freeze(&self, step: &Value) {
        let until = self.bench.now() + Span::from_secs(600);
        let new = NewFreeze {
            selector: text(step, "selector").into(),
            from: None,
            until,
            reason: "release".into(),
        };
        open_freeze(&self.bench.gate, &self.bench.caller("admin").await, new).await.unwrap();
    }

    async fn label(&mut self, step: &Value) {
        self.bench.enrol(text(step, "host"), &[("env", "prod")], Level::Remediate).await;
        self.bench.connect(text(step, "host"), CageState::Full).await;
    }

    async fn take(&mut self, step: &Value) {
        let by = who(step);
        match text(step, "do") {
            "request" => self.request(step, &by).await,
            "propose" => self.request(step, text(step, "on_behalf_of")).await,
            "ask in chat" => {}
            "approve" => {
                if let Some(rights) = step["rights"].as_array() {
                    let staging = rights[0].as_str().unwrap().contains("where");
                    let narrowed = RoleOn { role: Role::Approver, selector: Some("env=staging".into()) };
                    let roles = if staging { vec![narrowed] } else { vec![role(Role::Viewer)] };
                    self.bench.set_roles(&by, roles).await;
                }
                self.last = Some(self.vote(step, Vote::Approve).await);
            }
            "deny" => self.last = Some(self.vote(step, Vote::Reject).await),
            "revoke" => {
                let (plan, caller) = (self.plan(step), self.bench.caller(&by).await);
                self.last = Some(revoke_approval(&self.bench.gate, &caller, plan).await);
            }
            "cancel" => {
                let (plan, caller) = (self.plan(step), self.bench.caller(&by).await);
                cancel(&self.bench.gate, &caller, plan).await.unwrap();
            }
            "break glass" => self.break_glass(step).await,
            "advance" => {
                self.bench.clock.advance(span(text(step, "by_time")));
            }
            "offline" => self.bench.disconnect("web-03").await,
            "online" => {
                self.bench.connect("web-03", CageState::Full).await;
                self.sweep().await;
            }
            "dispatch" | "dispatch again" => {
                let plan = self.plan(step);
                self.dispatch(plan).await;
            }
            "sweep" => self.sweep().await,
            "kill -9" => self.bench.restart().await,
            "edit" => {
                // There is no edit: another plan is asked for and the first one taken back.
                let old = self.plan(step);
                let request = serde_json::json!({"by": by, "plan": step["becomes"], "needs": 2});
                self.request(&request, &by).await;
                cancel(&self.bench.gate, &self.bench.caller(&by).await, old).await.unwrap();
            }
            "label" => self.label(step).await,
            "remove right" => self.bench.set_roles(text(step, "person"), vec![role(Role::Viewer)]).await,
            "change policy" => self.policy().await,
            "freeze" => self.freeze(step).await,
            "GET" => self.last = Some(Ok(self.view().await)),
            "race" => {
                let steps = step["steps"].as_array().unwrap();
                let vote =
                    |step: &Value| if text(step, "do") == "deny" { Vote::Reject } else { Vote::Approve };
                let (one, two) = tokio::join!(
                    self.vote(&steps[0], vote(&steps[0])),
                    self.vote(&steps[1], vote(&steps[1]))
                );
                self.raced = vec![one, two];
            }
            other => panic!("the corpus has a step that is not known: {other}"),
        }
    }

    async fn sweep(&mut self) {
        for plan in self.bench.sweep().await.dispatch {
            self.dispatch(plan).await;
        }
    }

    fn refused(&self) -> &str {
        match self.last.as_ref().unwrap() {
            Ok(view) => panic!("it was not refused: {:?}", view.state),
            Err(failure) => failure.code,
        }
    }

    fn ran(&self) -> u32 {
        self.bench.hosts.iter().flat_map(|host| host.runs.values()).sum()
    }

    /// Seals whatever can be sealed, then says what each task came to.
    async fn after(&mut self) -> (PlanState, Vec<T>) {
        for plan in self.plans.values().copied().collect::<Vec<_>>() {
            self.dispatch(plan).await;
        }
        let view = self.view().await;
        (view.state, Bench::states(&view))
    }

    async fn waits(&mut self) {
        assert_eq!(self.after().await.0, PlanState::Pending);
        assert_eq!(self.ran(), 0);
    }
}

async fn holds(id: &str, world: &mut World) {
    let id = id.strip_prefix("approval-").unwrap();
    let looked = who_may(id, world).await || what_and_when(id, world).await || taken_back(id, world).await;
    let looked = looked || added(id, world).await;
    assert!(looked, "the corpus has a case that nobody looks at: {id}");
}

/// Cases of who approves.
async fn who_may(id: &str, world: &mut World) -> bool {
    match id {
        "by-the-requester"
        | "by-the-requesters-other-account"
        | "by-the-requesters-machine-token"
        | "of-what-the-brain-proposed-for-me" => {
            assert_eq!(world.refused(), "own-plan");
            world.waits().await;
        }
        "by-the-brain" => {
            assert_eq!(world.refused(), "brain-may-not");
            world.waits().await;
        }
        "twice-by-one-person" | "two-keys-of-one-person" | "two-roles-of-one-person" => {
            assert_eq!(world.view().await.approvals.len(), 1);
            world.waits().await;
        }
        "without-the-right" => {
            assert_eq!(world.refused(), "missing-permission");
            assert_eq!(world.bench.events("approval.denied").await.len(), 1);
            world.waits().await;
        }
        "right-for-another-environment" => {
            assert_eq!(world.refused(), "outside-your-hosts");
            assert_eq!(
                world.last.as_ref().unwrap().as_ref().unwrap_err().rule.as_deref(),
                Some("role-selector")
            );
            world.waits().await;
        }
        "right-lost-before-the-seal" | "policy-tightened-meanwhile" => world.waits().await,
        _ => return false,
    }
    true
}

/// Cases of what was approved, and when.
async fn what_and_when(id: &str, world: &mut World) -> bool {
    match id {
        "after-expiry" | "at-the-instant-of-expiry" => {
            assert_eq!(world.refused(), "plan-expired");
            world.sweep().await;
            let approve = serde_json::json!({"by": "bob", "plan": "P"});
            assert_eq!(code(world.vote(&approve, Vote::Approve).await), "plan-expired");
            assert_eq!(world.after().await, (PlanState::Expired, vec![T::Expired]));
        }
        "plan-expires-before-dispatch" => {
            assert_eq!(world.after().await, (PlanState::Expired, vec![T::Expired]));
            assert_eq!(world.ran(), 0);
        }
        "digest-of-another-plan" => {
            assert_eq!(world.refused(), "other-digest");
            world.waits().await;
            assert_eq!(world.bench.view(world.plans["Q"]).await.state, PlanState::Pending);
        }
        "plan-edited-after-approval" => {
            let second = world.bench.view(world.plans["P2"]).await;
            assert_eq!((second.state, second.approvals.len()), (PlanState::Pending, 1));
            assert_eq!(world.after().await.0, PlanState::Cancelled);
            assert_eq!(world.ran(), 0);
        }
        "twin-plans" => {
            assert_eq!(world.after().await, (PlanState::Finished, vec![T::Succeeded]));
            let twin = world.bench.view(world.plans["Q"]).await;
            assert_eq!(twin.state, PlanState::Pending);
            assert_ne!(twin.digest, world.view().await.digest);
            assert_eq!(world.ran(), 1);
        }
        "host-joins-the-selector-later" => {
            assert_eq!(world.after().await, (PlanState::Finished, vec![T::Succeeded]));
            assert!(world.bench.host("db-01").runs.is_empty());
        }
        _ => return false,
    }
    true
}

/// Cases of what changes meanwhile, of races and of emergencies.
async fn taken_back(id: &str, world: &mut World) -> bool {
    match id {
        "revoked-before-dispatch" => {
            world.waits().await;
            world.bench.later(3600);
            world.sweep().await;
            assert_eq!(world.after().await.1, [T::Cancelled]);
        }
        "revoked-during-the-first-wave" => {
            assert_eq!(
                world.after().await,
                (PlanState::Finished, vec![T::Succeeded, T::Cancelled, T::Cancelled])
            );
        }
        "denied-and-then-approved" => {
            assert_eq!(world.refused(), "plan-rejected");
            assert_eq!(world.after().await, (PlanState::Rejected, vec![T::Cancelled]));
        }
        "approve-and-deny-at-once" => {
            let yes = world.raced[0].is_ok();
            let no = world.raced[1].is_ok();
            assert!(no, "a no is possible before anything ran: {:?}", world.raced[1]);
            assert_eq!(world.after().await.0, PlanState::Rejected);
            assert_eq!(world.ran(), 0, "yes was first: {yes}");
        }
        "two-last-votes-at-once" => {
            assert!(world.raced.iter().all(Result::is_ok), "{:?}", world.raced);
            assert_eq!(world.after().await, (PlanState::Finished, vec![T::Succeeded]));
            assert_eq!(world.ran(), 1);
        }
        "replica-dies-between-vote-and-seal" => {
            assert_eq!(world.after().await, (PlanState::Finished, vec![T::Succeeded]));
            assert_eq!(world.ran(), 1);
        }
        "during-a-freeze" => {
            assert_eq!(world.after().await, (PlanState::Approved, vec![T::Waiting]));
            assert!(world.view().await.frozen_until.is_some());
        }
        "break-glass-without-a-reason" => {
            assert_eq!(world.refused(), "reason-needed");
            world.waits().await;
        }
        "break-glass-without-the-right" => {
            assert_eq!(world.refused(), "missing-permission");
            assert_eq!(world.bench.events("approval.denied").await.len(), 1);
        }
        "break-glass-used-again" => {
            assert_eq!(world.after().await, (PlanState::Finished, vec![T::Succeeded]));
            assert_eq!(world.ran(), 1);
            assert_eq!(world.view().await.approvals[0].mark.as_deref(), Some("break_glass"));
            assert_eq!(world.bench.events("approval.glass-broken").await.len(), 1);
        }
        "link-fetched-by-a-mail-scanner" => {
            assert!(world.view().await.approvals.is_empty());
            world.waits().await;
        }
        _ => return false,
    }
    true
}

/// Cases that were added here.
async fn added(id: &str, world: &mut World) -> bool {
    match id {
        "after-the-plan-was-cancelled" => {
            assert_eq!(world.refused(), "plan-not-pending");
            assert_eq!(world.after().await, (PlanState::Cancelled, vec![T::Cancelled]));
        }
        "revoked-and-given-again" => {
            assert_eq!(world.after().await, (PlanState::Finished, vec![T::Succeeded]));
            assert_eq!((world.view().await.approvals.len(), world.ran()), (1, 1));
        }
        "one-of-two-revoked" | "break-glass-by-who-lost-the-right" => world.waits().await,
        "by-one-person-twice-at-once" => {
            assert_eq!(world.view().await.approvals.len(), 1);
            world.waits().await;
        }
        "revoked-by-somebody-else" => {
            assert_eq!(world.refused(), "no-approval");
            assert_eq!(world.after().await, (PlanState::Finished, vec![T::Succeeded]));
        }
        "denied-by-the-requester" => {
            assert_eq!(world.refused(), "plan-rejected");
            assert_eq!(world.after().await, (PlanState::Rejected, vec![T::Cancelled]));
        }
        "break-glass-of-anothers-plan" => {
            assert_eq!(world.after().await, (PlanState::Finished, vec![T::Succeeded]));
            assert_eq!(world.view().await.approvals[0].mark.as_deref(), Some("break_glass"));
        }
        _ => return false,
    }
    true
}

#[tokio::test]
async fn every_case_of_the_corpus_ends_as_it_must() {
    let mut cases = 0;
    for line in CORPUS.lines().filter(|line| !line.trim().is_empty()) {
        let case: Value = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        let steps = case["steps"].as_array().unwrap();
        let waves = steps.iter().any(|step| step["waves"].is_number());
        let names: &[&str] = if waves { &["web-03", "web-04", "web-05"] } else { &["web-03"] };
        let bench = Bench::with(Auth::On, names).await;
        let mut world = World { bench, plans: BTreeMap::new(), last: None, raced: Vec::new() };
        for step in steps {
            world.take(step).await;
        }
        eprintln!("  {id}");
        holds(id, &mut world).await;
        cases += 1;
    }
    assert!(cases >= 38);
    eprintln!("cases of the corpus of approvals: {cases}");
}
