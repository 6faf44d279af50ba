//! Chats, turns and steps as they are answered.
//!
//! Owns their JSON. A step is the object of `legator_core::brain::Step` with its number, turn and time, and a `text` for every kind.

use legator_core::brain::{Scope, Step, ToolState};
use legator_core::ids::TurnId;
use legator_core::time::Timestamp;
use legator_store::chats::{Chat, StepRow, Turn};
use serde::Serialize;
use serde_json::{Value, json};

/// A chat.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ChatView {
    /// Its id.
    id: String,
    /// `fleet`, or the id of the host that it is about.
    scope: String,
    /// The host's id; null for the fleet.
    host: Option<String>,
    /// What people see as its name.
    title: String,
    /// Who began it.
    made_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    /// When something was said last.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// The number of its last step.
    steps: u64,
}

impl ChatView {
    pub(super) fn of(chat: &Chat) -> Self {
        Self {
            id: chat.id.to_string(),
            scope: chat.scope.to_string(),
            host: match chat.scope {
                Scope::Host(host) => Some(host.to_string()),
                Scope::Fleet => None,
            },
            title: chat.title.clone(),
            made_by: chat.made_by.to_string(),
            made_at: chat.made_at,
            changed_at: chat.changed_at,
            steps: chat.steps,
        }
    }
}

/// A chat with its last turns.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct WholeChat {
    /// The chat.
    #[serde(flatten)]
    chat: ChatView,
    /// Its last turns, oldest first, at most 50.
    turns: Vec<TurnView>,
    /// The id of the last event of the stream: follow on from here.
    last_event: String,
}

impl WholeChat {
    pub(super) fn of(chat: &Chat, turns: Vec<TurnView>) -> Self {
        Self { chat: ChatView::of(chat), turns, last_event: chat.steps.to_string() }
    }
}

/// A question and everything done to answer it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TurnView {
    /// Its id.
    id: String,
    /// Who asked; null when the turn was changed outside Legator.
    person: Option<String>,
    /// Their name.
    name: String,
    /// The question.
    text: String,
    /// asked, thinking, acting, answered or failed.
    state: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    /// The answer, once there is one.
    answer: Option<String>,
    /// Its steps: objects with `kind`, `number`, `turn`, `at`, `text`, and what belongs to the kind.
    #[schema(value_type = Vec<Object>)]
    steps: Vec<Value>,
    /// Tokens that went to the model.
    tokens_in: u64,
    /// Tokens that came from the model.
    tokens_out: u64,
}

impl TurnView {
    pub(super) fn of(turn: &Turn, steps: &[StepRow]) -> Self {
        let answer = steps.iter().find_map(|row| match &row.step {
            Step::Answer { text, .. } => Some(text.clone()),
            _ => None,
        });
        let asked = turn.asked.as_ref();
        Self {
            id: turn.id.to_string(),
            person: asked.map(|asked| asked.person.to_string()),
            name: asked.map_or_else(String::new, |asked| asked.name.clone()),
            text: asked.map_or_else(String::new, |asked| asked.question.clone()),
            state: turn.state.word().to_owned(),
            made_at: turn.made_at,
            answer,
            steps: steps.iter().map(step).collect(),
            tokens_in: turn.used.tokens_in,
            tokens_out: turn.used.tokens_out,
        }
    }
}

/// A turn that was just asked.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct NewTurnView {
    /// Its id.
    id: String,
    /// Its chat.
    chat: String,
    /// Where it stands: `asked`.
    state: &'static str,
    /// Where its steps come: the chat's stream.
    stream: String,
}

impl NewTurnView {
    pub(super) fn new(turn: TurnId, chat: &Chat) -> Self {
        let stream = format!("/api/v1/chats/{}/stream", chat.id);
        Self { id: turn.to_string(), chat: chat.id.to_string(), state: "asked", stream }
    }
}

/// A step with its number, turn and time, and a text for people.
pub(super) fn step(row: &StepRow) -> Value {
    let mut value = serde_json::to_value(&row.step).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert("number".to_owned(), json!(row.seq));
        fields.insert("turn".to_owned(), json!(row.turn));
        fields.insert("at".to_owned(), json!(row.at));
        if let Some((name, word)) = extra(&row.step) {
            fields.entry(name).or_insert_with(|| json!(word));
        }
    }
    value
}

/// A line for people where the kind has none of its own.
fn extra(step: &Step) -> Option<(&'static str, String)> {
    match step {
        Step::Tool { tool, verb, on, state, reason, .. } => {
            let verb = verb.as_deref().unwrap_or(tool);
            let on = on.as_ref().map(|on| format!(" on {on}")).unwrap_or_default();
            let state = match state {
                ToolState::Reading => "looks".to_owned(),
                ToolState::Proposed => "proposes".to_owned(),
                ToolState::Refused => format!("refused: {}", reason.as_deref().unwrap_or("no reason")),
            };
            Some(("text", format!("{verb}{on}: {state}")))
        }
        Step::Approval { state, approvals_needed, .. } => {
            Some(("text", format!("{state}, {approvals_needed} approvals needed")))
        }
        Step::Error { detail, hint, .. } => {
            let hint = hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            Some(("text", format!("{detail}{hint}")))
        }
        Step::Plan { effect, .. } => {
            let word = serde_json::to_value(effect).unwrap_or_default();
            Some(("state", word.as_str().unwrap_or_default().to_owned()))
        }
        _ => None,
    }
}
