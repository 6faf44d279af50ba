//! Turns of chats: a brain thinks, this acts.
//!
//! Owns the loop between a turn's steps and the gate: it sends turns to brains, takes their steps in, makes plans as the asking person with
//! no more than read-or-propose, follows them, and writes down what came of it. Never decides about a plan and never believes a model.
//! Invariant: everything that a turn needs to go on stands in the store, so that any worker goes on with it after a restart.

mod begin;
mod follow;
mod send;
mod take;
mod told;

use begin::Begun;
use legator_bus::{Bus, BusError, Subject, subject};
use legator_core::brain::{Step, ToolState};
use legator_core::error::Failure;
use legator_core::ids::{PlanId, TurnId};
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_gate::{Caller, Gate};
use legator_store::chats::{self, Add, Asked, Call, Turn, TurnState};
use legator_store::{Store, StoreError};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How long a brain that said nothing is waited for; each sign of life makes it anew.
const LEASE: Span = Span::from_secs(20);
/// How often a turn is sent to brains that never answer.
const ATTEMPTS_MAX: u32 = 3;
/// How long a turn waits for any brain to be there.
const BRAIN_AWAY_MAX: Span = Span::from_secs(60);
const SWEEP: Duration = Duration::from_secs(1);
/// How many accepted calls are remembered before those of ended turns are looked for.
const FRESH_CALLS_MAX: usize = 1024;
/// How many earlier turns of a person count as their words.
const WORDS_TURNS: u32 = 20;

/// What can go wrong with a turn, to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The store.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// The bus.
    #[error("the bus: {0}")]
    Bus(#[from] BusError),
    /// The gate is away.
    #[error("the gate: {0}")]
    Gate(#[from] Failure),
}

/// The loop over turns; cheap to clone.
#[derive(Clone)]
pub struct Turns {
    store: Store,
    gate: Gate,
    bus: Bus,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    /// Plans of open turns and whose they are: a wake of another one is not looked at.
    plans: HashMap<PlanId, TurnId>,
    /// Calls that this process accepted and did not begin yet: no plan of theirs can be there from before.
    fresh_calls: HashSet<(TurnId, String)>,
    /// Since when no brain is there.
    away_since: Option<Timestamp>,
}

/// Moves turns on until the shutdown.
pub(crate) async fn run(worker: crate::Worker, shutdown: CancellationToken) {
    let turns = Turns::new(worker.store, worker.gate, worker.bus);
    if let Err(error) = turns.run(shutdown).await {
        tracing::error!(%error, "the worker cannot listen for turns");
    }
}

impl Turns {
    /// A loop over these parts.
    pub fn new(store: Store, gate: Gate, bus: Bus) -> Self {
        Self { store, gate, bus, memory: Arc::default() }
    }

    /// Takes steps in and moves turns on until the shutdown.
    ///
    /// # Errors
    /// The bus takes no subscription.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), TurnError> {
        let mut steps = self.bus.queue_subscribe(subject::steps(), "turns").await?;
        let mut turns = self.bus.queue_subscribe(subject::wakes("turn"), "turns").await?;
        let mut plans = self.bus.subscribe(subject::wakes("plan")).await?;
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let moved = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                // What was taken in wakes its turn.
                Some(message) = steps.next() => { self.take(&message).await; Ok(()) }
                Some(message) = turns.next() => self.wake_up(woken(&message.subject)).await,
                Some(message) = plans.next() => self.wake_up(self.turn_of(&message.subject)).await,
                _ = sweep.tick() => self.tick().await.map(drop),
            };
            if let Err(why) = moved {
                tracing::warn!(%why, "turns are tried again");
            }
        }
    }

    /// The open turn that a woken plan belongs to.
    fn turn_of(&self, subject: &Subject) -> Option<TurnId> {
        self.memory().plans.get(&woken(subject)?).copied()
    }

    /// Moves one turn on.
    async fn wake_up(&self, turn: Option<TurnId>) -> Result<(), TurnError> {
        let Some(id) = turn else { return Ok(()) };
        let Some(turn) = chats::turn(&self.store, id).await?.filter(|turn| turn.state.is_open()) else {
            self.forget(id);
            return Ok(());
        };
        self.advance(turn).await
    }

    /// Nothing of an ended turn is remembered.
    fn forget(&self, id: TurnId) {
        let mut memory = self.memory();
        memory.plans.retain(|_, turn| *turn != id);
        memory.fresh_calls.retain(|(turn, _)| *turn != id);
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves every open turn on by what can be done now; says how many there are.
    pub async fn tick(&self) -> Result<usize, TurnError> {
        let open = chats::open_turns(&self.store).await?;
        for turn in &open {
            if let Err(why) = self.advance(turn.clone()).await {
                tracing::warn!(turn = %turn.id, %why, "a turn is tried again");
            }
        }
        let ids: HashSet<TurnId> = open.iter().map(|turn| turn.id).collect();
        let mut memory = self.memory();
        memory.plans.retain(|_, turn| ids.contains(turn));
        // A call that was accepted after the list was read stays: its turn is thought of as open until a later sweep.
        let known = &ids;
        if memory.fresh_calls.len() > FRESH_CALLS_MAX {
            memory.fresh_calls.retain(|(turn, _)| known.contains(turn));
        }
        Ok(open.len())
    }

    async fn advance(&self, turn: Turn) -> Result<(), TurnError> {
        let now = self.store.clock().now();
        let Some(asked) = turn.asked.clone() else {
            let detail = "the turn was changed outside Legator: it speaks for nobody";
            return self.fail(&turn, "turn-tampered", detail, "ask again").await;
        };
        match turn.state {
            TurnState::Thinking if now < turn.lease_until => Ok(()),
            TurnState::Thinking if turn.attempts >= ATTEMPTS_MAX => {
                let detail = "no model answered: the turn was sent several times";
                self.fail(&turn, "brain-silent", detail, "ask again; see the log of the brain").await
            }
            TurnState::Asked | TurnState::Thinking => self.think(&turn, &asked).await,
            TurnState::Acting => self.act(turn, &asked).await,
            TurnState::Answered | TurnState::Failed => Ok(()),
        }
    }

    /// Claims the turn and sends it to a brain, when one is there.
    async fn think(&self, turn: &Turn, asked: &Asked) -> Result<(), TurnError> {
        let caller = match self.caller(turn, asked).await? {
            Ok(caller) => caller,
            Err(why) => return self.fail(turn, "asker-gone", &why, "ask an admin for access").await,
        };
        let now = self.store.clock().now();
        if self.bus.request(&subject::brain(), vec![], Duration::from_secs(2)).await.is_err() {
            let since = *self.memory().away_since.get_or_insert(now);
            return match now.since(since) > BRAIN_AWAY_MAX {
                true => {
                    self.fail(turn, "brain-away", "no language model is there", "see LEGATOR_LLM_PROVIDER")
                        .await
                }
                false => Ok(()),
            };
        }
        self.memory().away_since = None;
        match chats::claim(&self.store, turn, now + LEASE).await? {
            Some(claimed) => self.send(&claimed, asked, &caller.roles).await,
            None => Ok(()),
        }
    }

    /// Begins the calls that have no plan yet and follows those that have one; thinks again when all are over.
    async fn act(&self, mut turn: Turn, asked: &Asked) -> Result<(), TurnError> {
        let caller = match self.caller(&turn, asked).await? {
            Ok(caller) => caller,
            Err(why) => return self.fail(&turn, "asker-gone", &why, "ask an admin for access").await,
        };
        let mut open = 0;
        for call in chats::calls(&self.store, turn.id).await?.into_iter().filter(|call| call.open) {
            let plan = match call.plan {
                Some(plan) => plan,
                None => match self.begin(&turn, &caller, &call).await? {
                    Begun::Made(plan) => plan,
                    Begun::Refused(why) => {
                        turn = self.refuse(turn, &call, &why).await?;
                        continue;
                    }
                },
            };
            // Before it is looked at, so that no wake of it is missed.
            self.memory().plans.insert(plan, turn.id);
            let (after, over) = self.follow(turn, &caller, (&call, plan)).await?;
            turn = after;
            match over {
                true => drop(self.memory().plans.remove(&plan)),
                false => open += 1,
            }
        }
        match open {
            0 => self.think(&turn, asked).await,
            _ => Ok(()),
        }
    }

    /// The call came to nothing; the model is told why.
    async fn refuse(&self, turn: Turn, call: &Call, why: &str) -> Result<Turn, TurnError> {
        let steps = self.steps(&turn).await?;
        let card = steps
            .into_iter()
            .find(|step| matches!(step, Step::Tool { call: id, .. } if *id == call.what.call));
        let Some(Step::Tool { round, call: id, tool, verb, args, on, .. }) = card else { return Ok(turn) };
        chats::close_call(&self.store, turn.id, &id).await?;
        let reason = Some(legator_core::text::shown_line(&legator_core::text::brief(why, 1000)));
        let step = Step::Tool { round, call: id, tool, verb, args, on, state: ToolState::Refused, reason };
        self.grow(turn, Add { steps: vec![step], ..Add::default() }).await
    }

    async fn fail(&self, turn: &Turn, code: &str, detail: &str, hint: &str) -> Result<(), TurnError> {
        let step = take::error(code, detail, Some(hint));
        self.end(turn, Add { steps: vec![step], ..Add::default() }).await?;
        Ok(())
    }

    /// The turn with more steps; a conflict is an error, and the turn is looked at anew.
    async fn grow(&self, turn: Turn, add: Add) -> Result<Turn, TurnError> {
        let grown = chats::add(&self.store, &turn, add).await?;
        self.wake(&turn).await;
        grown.ok_or_else(|| StoreError::Fenced(turn.id.to_string()).into())
    }

    async fn steps(&self, turn: &Turn) -> Result<Vec<Step>, TurnError> {
        Ok(chats::steps_of_turn(&self.store, turn.id).await?.into_iter().map(|row| row.step).collect())
    }

    /// What the person said in this chat: the words that a change has to be named by.
    async fn said(&self, turn: &Turn) -> Result<Vec<String>, TurnError> {
        Ok(chats::words_of(&self.store, turn, WORDS_TURNS).await?)
    }

    /// Who looks at the chat reads it again; so does this loop.
    async fn wake(&self, turn: &Turn) {
        for subject in [subject::wake("chat", turn.chat), subject::wake("turn", turn.id)] {
            drop(self.bus.publish(&subject, vec![]).await);
        }
    }
}

/// The id in the subject of a wake.
fn woken<T: std::str::FromStr>(subject: &Subject) -> Option<T> {
    subject::read::wake(subject).and_then(|(_, id)| id.parse().ok())
}

/// Who asks at the gate: the turn's person, with no more than read-or-propose.
type AsCaller = Result<Caller, String>;
