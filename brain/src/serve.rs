//! The brain on the bus: turns come in, steps go out.
//!
//! Owns how many turns are thought about at once and how a step is delivered. Invariant: a turn that was taken up is answered by a step,
//! or given up when the worker says that it is stale.

use std::sync::Arc;
use std::time::Duration;

use legator_bus::{Bus, BusError, Message, subject};
use legator_core::brain::{BrainStep, MESSAGE_BYTES_MAX, Said, Scope, StepSent, StepTaken, TurnSent, Usage};
use legator_core::text;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_util::sync::CancellationToken;

use crate::live::Live;
use crate::llm::{Llm, LlmError};
use crate::settings::{Bounds, Settings};
use crate::think::think;

/// How many turns a model is asked about at once; others wait, and say that they do.
const TURNS_AT_ONCE: usize = 16;
/// How many turns may be asked about or wait.
const TURNS_MAX: usize = 256;
const SAY_EVERY: Duration = Duration::from_millis(80);
const WORKING_EVERY: Duration = Duration::from_secs(4);
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
const STEP_TRIES: u32 = 3;
const PIECES_MAX: usize = 1024;

/// Why the brain cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The provider's client cannot be made.
    #[error("the client of the model's provider cannot be made")]
    Provider(#[from] LlmError),
    /// The bus takes no subscription.
    #[error("the bus takes no subscription")]
    Bus(#[from] BusError),
}

/// A model on a bus.
#[derive(Clone)]
pub struct Brain {
    /// The bus.
    pub bus: Bus,
    /// The model.
    pub llm: Arc<dyn Llm>,
    /// What a turn may cost.
    pub bounds: Bounds,
    /// How many turns the model may still be asked about at once.
    pub room: Arc<Semaphore>,
}

/// Thinks about turns until the shutdown; without a model it ends at once, and nobody answers turns.
pub async fn run(settings: Settings, bus: Bus, shutdown: CancellationToken) -> Result<(), RunError> {
    let Some(model) = &settings.model else {
        tracing::info!("no language model is set: chats answer 503");
        return Ok(());
    };
    let room = Arc::new(Semaphore::new(TURNS_AT_ONCE));
    let brain = Brain { llm: model.connect()?, bounds: settings.bounds, bus, room };
    let status = serde_json::to_vec(&model.status()).unwrap_or_default();
    let mut turns = brain.bus.queue_subscribe(subject::turns(), "brain").await?;
    let mut asked = brain.bus.queue_subscribe(subject::brain(), "brain").await?;
    let mut thinking = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(message) = asked.next() => drop(brain.bus.reply(&message, status.clone()).await),
            Some(message) = turns.next() => {
                // Beyond that the message is dropped: the worker's sweep sends the turn again.
                if thinking.len() < TURNS_MAX {
                    let brain = brain.clone();
                    thinking.spawn(async move { brain.take_up(message).await });
                }
            }
            Some(_) = thinking.join_next() => {}
        }
    }
    thinking.shutdown().await;
    Ok(())
}

impl Brain {
    async fn take_up(&self, message: Message) {
        if message.body.len() > MESSAGE_BYTES_MAX {
            tracing::warn!(bytes = message.body.len(), "a turn larger than the bound is dropped");
            return;
        }
        match serde_json::from_slice::<TurnSent>(&message.body) {
            Ok(turn) => self.think(&turn).await,
            Err(why) => tracing::warn!(%why, "a message that is no turn is dropped"),
        }
    }

    /// Thinks about one turn and delivers the step. Tells the worker meanwhile that it is at it.
    pub async fn think(&self, turn: &TurnSent) {
        let (tell, mut told) = mpsc::channel::<String>(PIECES_MAX);
        let mut said = move |piece: &str| drop(tell.try_send(piece.to_owned()));
        let thought = async {
            // A semaphore that nobody closes gives a permit.
            let _permit = self.room.acquire().await;
            think(turn, self.llm.as_ref(), &self.bounds, &mut said).await
        };
        tokio::pin!(thought);
        let mut say = interval(SAY_EVERY);
        let mut working = interval_at(Instant::now() + WORKING_EVERY, WORKING_EVERY);
        say.set_missed_tick_behavior(MissedTickBehavior::Delay);
        working.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut live = Live::default();
        let (step, used) = loop {
            tokio::select! {
                done = &mut thought => break done,
                Some(piece) = told.recv() => live.push(&piece),
                _ = say.tick() => self.say(turn, &mut live).await,
                _ = working.tick() => {
                    let text = text::brief(live.shown(), 4096);
                    let taken = self.tell(turn, BrainStep::Working { text }, Usage::default()).await;
                    if !matches!(taken, Ok(StepTaken::Taken) | Err(_)) {
                        return;
                    }
                }
            }
        };
        self.deliver(turn, step, used).await;
    }

    /// The words since the last time, for display.
    async fn say(&self, turn: &TurnSent, live: &mut Live) {
        let Some(text) = live.fresh(&turn.question) else { return };
        let said = Said { turn: turn.turn, fence: turn.fence, text };
        let body = serde_json::to_vec(&said).unwrap_or_default();
        drop(self.bus.publish(&subject::say(host(turn.scope), turn.turn), body).await);
    }

    async fn deliver(&self, turn: &TurnSent, step: BrainStep, used: Usage) {
        for _ in 0..STEP_TRIES {
            match self.tell(turn, step.clone(), used).await {
                Ok(StepTaken::Taken | StepTaken::Stale) => return,
                Ok(StepTaken::Refused { detail }) => {
                    tracing::warn!(turn = %turn.turn, detail, "a step was refused");
                    return;
                }
                Err(why) => tracing::warn!(turn = %turn.turn, %why, "a step was not taken"),
            }
        }
    }

    async fn tell(&self, turn: &TurnSent, step: BrainStep, used: Usage) -> Result<StepTaken, BusError> {
        let sent = StepSent { turn: turn.turn, fence: turn.fence, number: turn.number, step, used };
        let mut body = serde_json::to_vec(&sent).unwrap_or_default();
        if body.len() > MESSAGE_BYTES_MAX {
            let why = LlmError::TooLong(MESSAGE_BYTES_MAX);
            let step = BrainStep::Failed { code: why.code().into(), detail: why.to_string(), hint: None };
            body = serde_json::to_vec(&StepSent { step, ..sent }).unwrap_or_default();
        }
        let answer =
            self.bus.request(&subject::step(host(turn.scope), turn.turn), body, STEP_TIMEOUT).await?;
        let unreadable = StepTaken::Refused { detail: "the answer cannot be read".to_owned() };
        Ok(serde_json::from_slice(&answer).unwrap_or(unreadable))
    }
}

const fn host(scope: Scope) -> Option<legator_core::ids::HostId> {
    match scope {
        Scope::Host(host) => Some(host),
        Scope::Fleet => None,
    }
}
