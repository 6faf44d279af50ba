//! Steps of a brain, taken in.
//!
//! Owns what of a step is recorded. Never believes a step: the turn's own row says who asks, its scope says which tools there are, and
//! evidence that the turn does not have is cited by nobody. Invariant: a step is answered after it is on disk.

use super::TurnError;
use super::{Turns, begin, told};
use legator_bus::Message;
use legator_core::brain::{
    self, BrainStep, CALL_BYTES_MAX, CALLS_MAX, CallSent, MESSAGE_BYTES_MAX, ROUNDS_MAX, Scope, Step,
    StepSent, StepTaken, Tool, ToolState, Use, tools,
};
use legator_core::event::{About, NewEvent};
use legator_core::text;
use legator_store::Op;
use legator_store::chats::{self, Add, NewCall, Turn, TurnState};
use legator_store::hosts;
use serde_json::{Value, json};

impl Turns {
    /// Takes a step in and answers the brain.
    pub(super) async fn take(&self, message: &Message) {
        let taken = match self.taken(&message.body).await {
            Ok(taken) => taken,
            Err(why) => {
                tracing::error!(%why, "a step of a turn was not taken");
                // Unanswered, it comes again.
                return;
            }
        };
        let body = serde_json::to_vec(&taken).unwrap_or_default();
        if let Err(why) = self.bus.reply(message, body).await {
            tracing::debug!(%why, "a step's answer found nobody");
        }
    }

    async fn taken(&self, body: &[u8]) -> Result<StepTaken, TurnError> {
        let refused = |detail: &str| Ok(StepTaken::Refused { detail: detail.to_owned() });
        if body.len() > MESSAGE_BYTES_MAX {
            return refused("larger than a message may be");
        }
        let Ok(sent) = serde_json::from_slice::<StepSent>(body) else { return refused("this is no step") };
        let Some(turn) = chats::turn(&self.store, sent.turn).await? else { return Ok(StepTaken::Stale) };
        if turn.state != TurnState::Thinking || turn.fence != sent.fence || turn.steps != sent.number {
            return Ok(StepTaken::Stale);
        }
        let done = match &sent.step {
            BrainStep::Working { .. } => {
                let lease = self.store.clock().now() + super::LEASE;
                chats::extend(&self.store, turn.id, turn.fence, lease).await?
            }
            BrainStep::Calls { text, calls } => self.calls(&turn, &sent, text, calls).await?,
            BrainStep::Answer { text } => self.answer(&turn, &sent, text).await?,
            BrainStep::Failed { code, detail, hint } => {
                let step = error(code, detail, hint.as_deref());
                let add = Add { steps: vec![step], used: sent.used, ..Add::default() };
                self.end(&turn, add).await?
            }
        };
        Ok(if done { StepTaken::Taken } else { StepTaken::Stale })
    }

    async fn calls(
        &self,
        turn: &Turn,
        sent: &StepSent,
        words: &str,
        calls: &[CallSent],
    ) -> Result<bool, TurnError> {
        let round = turn.used.rounds + 1;
        if round > ROUNDS_MAX {
            let detail = format!("the model was asked {ROUNDS_MAX} times and did not come to an answer");
            let add =
                Add { steps: vec![error("turn-steps", &detail, None)], used: sent.used, ..Add::default() };
            return self.end(turn, add).await;
        }
        let said = self.said(turn).await?;
        let has_proposal = chats::calls(&self.store, turn.id).await?.iter().any(|call| call.what.proposal);
        let mut add = Add { state: Some(TurnState::Acting), used: sent.used, ..Add::default() };
        let shown = brain::model_text(words, &said.join("\n"));
        if !shown.trim().is_empty() {
            add.steps.push(Step::Text { round, text: shown });
        }
        let (offered, rows) = (tools(turn.scope), hosts::facts(&self.store, turn.tenant).await?);
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        let mut proposed = has_proposal;
        for (place, call) in calls.iter().take(CALLS_MAX).enumerate() {
            let id = format!("c{round:02}.{place}");
            let tool = offered.iter().find(|tool| tool.name == call.tool);
            let checked = check(tool, call, turn.scope, proposed).map_err(str::to_owned);
            let checked =
                checked.and_then(|new| begin::may_begin(turn.scope, &new, &rows, &said).map(|_| new));
            add.steps.push(card((round, &id), call, tool, checked.as_ref().err().cloned()));
            if let Ok(mut new) = checked {
                proposed |= new.proposal;
                new.call = id;
                self.memory().fresh_calls.insert((turn.id, new.call.clone()));
                add.calls.push(new);
            }
        }
        self.add(turn, add).await
    }

    async fn answer(&self, turn: &Turn, sent: &StepSent, words: &str) -> Result<bool, TurnError> {
        let steps = self.steps(turn).await?;
        let said = self.said(turn).await?;
        let citable = told::citable(&steps);
        let known: Vec<String> = citable.keys().cloned().collect();
        let answer = brain::answer(words, &said.join("\n"), &known);
        let cites = answer.cited.iter().filter_map(|id| citable.get(id).cloned()).collect();
        let (coverage, facts) = (told::coverage(&steps), Some(told::facts(&steps)));
        let step = Step::Answer { text: answer.text, cites, coverage, dropped: answer.dropped, facts };
        self.end(turn, Add { steps: vec![step], used: sent.used, ..Add::default() }).await
    }

    /// Ends a turn with the last of these steps, in an act with its event.
    pub(super) async fn end(&self, turn: &Turn, mut add: Add) -> Result<bool, TurnError> {
        let (state, event) = ending(turn, add.steps.last());
        add.state = Some(state);
        let trace = turn.asked.as_ref().map_or(legator_core::ids::TraceId::new(0), |asked| asked.trace);
        let op = Op::system(turn.tenant, "turns", trace);
        let ended = chats::end(&self.store, &op, turn, add, event).await?;
        self.wake(turn).await;
        Ok(ended.is_some())
    }

    /// Adds steps to a turn; false when somebody else did meanwhile.
    pub(super) async fn add(&self, turn: &Turn, add: Add) -> Result<bool, TurnError> {
        let added = chats::add(&self.store, turn, add).await?.is_some();
        self.wake(turn).await;
        Ok(added)
    }
}

fn ending(turn: &Turn, last: Option<&Step>) -> (TurnState, NewEvent) {
    let about = super::send::host_of(turn.scope).map_or_else(About::nothing, About::host);
    let base = json!({"chat": turn.chat, "turn": turn.id});
    match last {
        Some(Step::Answer { cites, coverage, dropped, .. }) => {
            let data = json!({"chat": turn.chat, "turn": turn.id, "cites": cites, "coverage": coverage, "dropped": dropped});
            (TurnState::Answered, NewEvent::new("turn.answered", about, data))
        }
        Some(Step::Error { code, .. }) => {
            let data = json!({"chat": turn.chat, "turn": turn.id, "code": code});
            (TurnState::Failed, NewEvent::new("turn.failed", about, data))
        }
        _ => (TurnState::Failed, NewEvent::new("turn.failed", about, base)),
    }
}

/// The step that says why a turn ended without an answer.
pub(super) fn error(code: &str, detail: &str, hint: Option<&str>) -> Step {
    let word: String =
        code.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').take(40).collect();
    let safe = |text: &str| text::redact(&text::shown_line(&text::brief(text, 500)));
    Step::Error {
        code: if word.is_empty() { "model-failed".to_owned() } else { word },
        detail: safe(detail),
        hint: hint.map(safe),
    }
}

/// The call that this is, or why it is none. Its id is still empty.
fn check(
    tool: Option<&Tool>,
    call: &CallSent,
    scope: Scope,
    proposed: bool,
) -> Result<NewCall, &'static str> {
    let tool = tool.ok_or("there is no such tool: only the offered ones can be called")?;
    let Value::Object(mut args) = call.args.clone() else { return Err("the arguments are no object") };
    if call.args.to_string().len() > CALL_BYTES_MAX {
        return Err("the arguments are too large");
    }
    let proposal = tool.usage == Use::Propose;
    if proposal && proposed {
        return Err("a turn has at most one proposal, and this turn has it already");
    }
    let selector = match scope {
        Scope::Host(host) => format!("id={host}"),
        Scope::Fleet => match args.remove("on") {
            Some(Value::String(on)) if !on.trim().is_empty() => on,
            _ => return Err("say with `on` which hosts are meant: a selector"),
        },
    };
    let (verb, level) = (tool.verb.clone(), tool.level.to_string());
    Ok(NewCall { call: String::new(), proposal, verb, level, args: Value::Object(args), selector })
}

fn card((round, id): (u32, &str), call: &CallSent, tool: Option<&Tool>, refused: Option<String>) -> Step {
    let state = match (&refused, tool.map(|tool| tool.usage)) {
        (Some(_), _) | (None, None) => ToolState::Refused,
        (None, Some(Use::Read)) => ToolState::Reading,
        (None, Some(Use::Propose)) => ToolState::Proposed,
    };
    Step::Tool {
        round,
        call: id.to_owned(),
        tool: text::shown_line(text::cut(&call.tool, 80)),
        verb: tool.map(|tool| tool.verb.clone()),
        args: told::safe_args(&call.args, 6),
        on: call.args.get("on").and_then(Value::as_str).map(|on| text::shown_line(text::cut(on, 500))),
        state,
        reason: refused.map(|why| text::shown_line(&text::brief(&why, 1000))),
    }
}
