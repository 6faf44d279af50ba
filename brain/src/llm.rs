//! What a language model is asked and what it answers, whoever provides it.
//!
//! Owns the trait and the failures. Invariant: a reply was complete; a stream that was cut is a failure, never a short answer.

use futures::future::BoxFuture;
use serde_json::Value;
use std::time::Duration;

/// What a model is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The rules, before everything else.
    pub system: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// What may be called.
    pub tools: Vec<ToolCard>,
    /// How many tokens the reply may have.
    pub tokens_max: u32,
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// By people, or by the server in their place.
    Person(String),
    /// By the model.
    Model {
        /// Its words.
        text: String,
        /// What it called.
        calls: Vec<ModelCall>,
    },
    /// What its calls returned: the id of the call, and the text.
    Results(Vec<(String, String)>),
}

/// A call that a model made.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCall {
    /// Its id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments.
    pub args: Value,
}

/// A tool as a provider is told about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCard {
    /// Its name.
    pub name: String,
    /// One line.
    pub summary: String,
    /// The JSON Schema of its arguments.
    pub schema: Value,
}

/// What a model answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// Its words.
    pub text: String,
    /// What it calls.
    pub calls: Vec<ModelCall>,
    /// Tokens that went in; nothing when the provider does not say.
    pub tokens_in: Option<u64>,
    /// Tokens that came out; nothing when the provider does not say.
    pub tokens_out: Option<u64>,
    /// The bound on tokens ended it.
    pub cut: bool,
}

/// Why a model gave no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// No connection.
    #[error("the model's provider cannot be reached: {0}")]
    Unreachable(String),
    /// It said no.
    #[error("the model's provider answered {status}: {detail}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What it said, cut.
        detail: String,
    },
    /// Too often, also after the retries.
    #[error("the model's provider limits the rate{}", after.map(|after| format!(", for another {} s", after.as_secs())).unwrap_or_default())]
    RateLimited {
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// Nothing came for too long.
    #[error("the model said nothing for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The turn's time was over.
    #[error("the turn's time for the model is over")]
    TimeOver,
    /// The stream ended before the reply did.
    #[error("the model's reply was cut off")]
    CutOff,
    /// The stream is not what the protocol says.
    #[error("the model's reply cannot be read: {0}")]
    Unreadable(String),
    /// The arguments of a call are no JSON object.
    #[error("the model called {tool} with arguments that are no JSON object")]
    BadCall {
        /// The tool.
        tool: String,
    },
    /// More than is read.
    #[error("the model's reply is larger than {0} bytes")]
    TooLong(usize),
}

impl LlmError {
    /// A stable word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "model-unreachable",
            Self::Status { .. } => "model-refused",
            Self::RateLimited { .. } => "model-rate-limited",
            Self::Stalled(_) => "model-stalled",
            Self::TimeOver => "turn-time",
            Self::CutOff => "model-cut-off",
            Self::Unreadable(_) => "model-unreadable",
            Self::BadCall { .. } => "model-bad-call",
            Self::TooLong(_) => "model-too-long",
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "check LEGATOR_LLM_URL and that the provider is up, then ask again",
            Self::Status { status: 401 | 403, .. } => "check LEGATOR_LLM_KEY",
            Self::Status { status: 404, .. } => "check LEGATOR_LLM_URL and LEGATOR_LLM_MODEL",
            Self::Status { .. } | Self::RateLimited { .. } => "wait a moment, then ask again",
            Self::Stalled(_) => "ask again; a slow model may need a longer LEGATOR_LLM_STALL",
            Self::TimeOver => "ask for less at once, or raise LEGATOR_LLM_TURN_TIME",
            Self::CutOff => "ask again",
            Self::Unreadable(_) | Self::BadCall { .. } => "ask again; another model may do better",
            Self::TooLong(_) => "ask for less at once",
        }
    }
}

/// How many tokens a prompt has, counted by four bytes a token, tools included.
pub(crate) fn guessed_tokens(prompt: &Prompt) -> u64 {
    let messages = prompt.messages.iter().map(|message| match message {
        Message::Person(text) => text.len(),
        Message::Model { text, calls } => text.len() + calls.iter().map(bytes_of).sum::<usize>(),
        Message::Results(results) => results.iter().map(|(id, text)| id.len() + text.len()).sum(),
    });
    let tools =
        prompt.tools.iter().map(|tool| tool.name.len() + tool.summary.len() + tool.schema.to_string().len());
    let bytes = prompt.system.len() + messages.sum::<usize>() + tools.sum::<usize>();
    u64::try_from(bytes / 4).unwrap_or(u64::MAX)
}

/// How large a call is, in bytes.
pub(crate) fn bytes_of(call: &ModelCall) -> usize {
    call.name.len() + call.args.to_string().len()
}

/// A provider of a language model.
pub trait Llm: Send + Sync {
    /// Asks, and tells each piece of text as it comes.
    fn ask<'a>(
        &'a self,
        prompt: &'a Prompt,
        said: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<Reply, LlmError>>;
}
