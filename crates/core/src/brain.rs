//! What worker and brain tell each other about a turn, and the steps of a chat as they are stored and streamed.
//!
//! Owns the forms of both and the bounds on them. The worker sends a turn with all that was done so far, the brain answers one
//! step, the worker records it, acts, and sends the turn again: so the brain keeps nothing between two messages.
//! Invariant: what a message claims is never a right; the person, the hosts and the tools of a turn are the worker's own.

mod cites;
mod named;
mod step;
mod tools;
mod words;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

use crate::ids::{BadId, ChatId, HostId, TurnId};

pub use named::{Unnamed, names_hosts, names_object, never_for_a_model};
pub use step::{Approver, Cite, Coverage, PlanHost, Step, TaskLine, ToolState};
pub use tools::{Tool, Use, tools};
pub use words::{Answer, answer, model_text};

/// The largest turn or step on the bus, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// The longest question, in bytes.
pub const QUESTION_BYTES_MAX: usize = 8 * 1024;
/// The longest text of a model kept of one step, in bytes.
pub const TEXT_BYTES_MAX: usize = 32 * 1024;
/// How many calls of one step are looked at.
pub const CALLS_MAX: usize = 8;
/// The largest arguments of one call, in bytes.
pub const CALL_BYTES_MAX: usize = 96 * 1024;
/// How many times a model is asked in one turn.
pub const ROUNDS_MAX: u32 = 16;
/// How much of one host's output a model is shown, in bytes.
pub const EVIDENCE_BYTES_MAX: usize = 12 * 1024;
/// How much output a model is shown in one turn, in bytes.
pub const TURN_EVIDENCE_BYTES_MAX: usize = 128 * 1024;
/// How many earlier turns a model is shown.
pub const PAST_TURNS_MAX: usize = 12;
/// How much of earlier turns a model is shown, in bytes.
pub const PAST_BYTES_MAX: usize = 24 * 1024;
/// How many hosts a model is told about; it finds the others by selector.
pub const HOST_CARDS_MAX: usize = 50;

/// What a chat is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Scope {
    /// One host; nothing in the chat reaches another.
    Host(HostId),
    /// All hosts that the asking person may see.
    Fleet,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Fleet => f.write_str("fleet"),
        }
    }
}

impl FromStr for Scope {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        match text {
            "fleet" => Ok(Self::Fleet),
            host => host.parse().map(Self::Host),
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.to_string()
    }
}

impl TryFrom<String> for Scope {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

/// What a turn has cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Times that a model was asked.
    pub rounds: u32,
    /// Tokens that went in.
    pub tokens_in: u64,
    /// Tokens that came out.
    pub tokens_out: u64,
    /// What they cost, in millionths of the currency of the settings.
    pub cost_micros: u64,
    /// How long models were at work, in milliseconds.
    pub model_ms: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            rounds: self.rounds.saturating_add(more.rounds),
            tokens_in: self.tokens_in.saturating_add(more.tokens_in),
            tokens_out: self.tokens_out.saturating_add(more.tokens_out),
            cost_micros: self.cost_micros.saturating_add(more.cost_micros),
            model_ms: self.model_ms.saturating_add(more.model_ms),
        }
    }
}

/// Worker to brain: think about this once more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnSent {
    /// The chat.
    pub chat: ChatId,
    /// The turn.
    pub turn: TurnId,
    /// What the chat is about.
    pub scope: Scope,
    /// Rises each time the turn is sent; a step with an older one is not taken.
    pub fence: u64,
    /// How many steps the turn had when it was sent.
    pub number: u32,
    /// Who asks, as text for the model.
    pub asker: String,
    /// The question.
    pub question: String,
    /// Hosts that may be asked about.
    pub hosts: Vec<HostCard>,
    /// Earlier turns, oldest first.
    pub past: Vec<Past>,
    /// What was done in this turn, oldest first.
    pub rounds: Vec<Round>,
    /// What may be called.
    pub tools: Vec<Tool>,
    /// What the turn has cost so far.
    pub used: Usage,
}

/// A host as a model is told about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCard {
    /// Its name, which the host chose.
    pub name: String,
    /// online, stale, offline or revoked.
    pub status: String,
    /// observe, diagnose or remediate.
    pub level: String,
    /// Its labels, as `k=v`.
    pub labels: Vec<String>,
}

/// An earlier turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Who asked.
    pub asker: String,
    /// What.
    pub question: String,
    /// How a model answered; empty when it did not.
    pub answer: String,
    /// What really came of it, by the server.
    pub facts: String,
}

/// One time that a model was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// What it said.
    pub text: String,
    /// What it called.
    pub calls: Vec<Called>,
}

/// A call and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Called {
    /// The model's id of the call.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// Its arguments as the model gave them.
    pub args: Value,
    /// What came back.
    pub result: Vec<Piece>,
}

/// A piece of a result: the server's own words, or bytes of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum Piece {
    /// Said by the server.
    Server {
        /// The words.
        text: String,
    },
    /// Said by a host: data, whatever it looks like.
    Host {
        /// What an answer cites.
        evidence: String,
        /// The host's name.
        host: String,
        /// What it said, already safe to show and without credentials.
        text: String,
        /// How much there was, in bytes.
        bytes: u64,
        /// Whether something was left out.
        cut: bool,
    },
}

/// Brain to worker: one step of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSent {
    /// The turn.
    pub turn: TurnId,
    /// The fence that the turn came with.
    pub fence: u64,
    /// The number that the turn came with.
    pub number: u32,
    /// The step.
    pub step: BrainStep,
    /// What it cost, this time.
    pub used: Usage,
}

/// What a brain can say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum BrainStep {
    /// The model is at it; this is what it said so far.
    Working {
        /// The text so far.
        text: String,
    },
    /// The model wants to look, or proposes.
    Calls {
        /// What it said.
        text: String,
        /// What it calls. The worker alone says whether a call reads or proposes.
        calls: Vec<CallSent>,
    },
    /// The model has answered.
    Answer {
        /// Its words.
        text: String,
    },
    /// It cannot go on.
    Failed {
        /// A stable word, kebab-case.
        code: String,
        /// What happened.
        detail: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// A call that a model made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallSent {
    /// The model's id of it.
    pub id: String,
    /// The tool's name as the model gave it.
    pub tool: String,
    /// The arguments, any JSON.
    pub args: Value,
}

/// Worker to brain: what became of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum StepTaken {
    /// It is on disk.
    Taken,
    /// The turn is at another fence or number, or has ended: stop.
    Stale,
    /// It is no step; the turn ends.
    Refused {
        /// Why.
        detail: String,
    },
}

/// Brain to watchers: words for display only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The turn.
    pub turn: TurnId,
    /// The fence that the turn came with.
    pub fence: u64,
    /// The words since the last message.
    pub text: String,
}

/// What a brain says about itself when asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrainStatus {
    /// The provider: openai, ollama, anthropic.
    pub provider: String,
    /// The model.
    pub model: String,
}
