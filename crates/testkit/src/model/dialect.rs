//! How each provider writes a stream.
//!
//! Owns the events of all dialects. Never decides what is said.

use serde_json::{Value, json};

use super::Play;

/// The protocol of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's chat completions.
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
    /// Ollama's own chat: JSON lines.
    Ollama,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Ollama];

    /// The word for it in settings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Anthropic => "text/event-stream",
            Self::Ollama => "application/x-ndjson",
        }
    }

    pub(super) fn events(self, play: &Play) -> Vec<String> {
        match self {
            Self::OpenAi => openai(play),
            Self::Anthropic => anthropic(play),
            Self::Ollama => ollama(play),
        }
    }

    /// One piece of text.
    pub(super) fn word_piece(self, text: &str) -> String {
        match self {
            Self::OpenAi => openai_text(text),
            Self::Anthropic => {
                let delta = json!({"type": "text_delta", "text": text});
                data(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
            }
            Self::Ollama => line(&json!({"message": {"role": "assistant", "content": text}, "done": false})),
        }
    }

    /// What says nothing and keeps the connection open.
    pub(super) const fn ping(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Anthropic => ": ping\n\n",
            Self::Ollama => "\n",
        }
    }
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn pieces(text: &str, chars: usize) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    all.chunks(chars).map(|chunk| chunk.iter().collect()).collect()
}

/// How many characters of text one event holds: few at first, so that people see it stream, then many.
fn words(text: &str) -> Vec<String> {
    let head = text.char_indices().nth(400).map_or(text.len(), |(at, _)| at);
    let (head, rest) = text.split_at(head);
    [pieces(head, 24), pieces(rest, 1024)].concat()
}

fn openai_text(text: &str) -> String {
    data(&json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}))
}

fn openai_call(index: usize, name: &str, args: &str) -> Vec<String> {
    let begun = json!({"index": index, "id": format!("call_{index}"), "type": "function", "function": {"name": name, "arguments": ""}});
    let more = pieces(args, 7.max(args.len() / 64))
        .into_iter()
        .map(|piece| json!({"index": index, "function": {"arguments": piece}}));
    let calls = std::iter::once(begun).chain(more);
    calls.map(|call| data(&json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))).collect()
}

fn openai(play: &Play) -> Vec<String> {
    let end = |reason: &str| {
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 10});
        vec![
            data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})),
            data(&json!({"choices": [], "usage": usage})),
            "data: [DONE]\n\n".to_owned(),
        ]
    };
    let said = |text: &str| words(text).iter().map(|piece| openai_text(piece)).collect::<Vec<_>>();
    match play {
        Play::Text(text) => [said(text), end("stop")].concat(),
        Play::Calls(text, calls) => {
            let calls = calls.iter().enumerate();
            let calls = calls.flat_map(|(index, (name, args))| openai_call(index, name, &args.to_string()));
            [said(text), calls.collect(), end("tool_calls")].concat()
        }
        Play::RawCall(name, args) => [openai_call(0, name, args), end("tool_calls")].concat(),
        Play::RawEvent(line) => vec![format!("data: {line}\n\n")],
        Play::Stall(text) | Play::CutOff(text) => said(text),
        _ => vec![],
    }
}

fn anthropic_event(value: &Value) -> String {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {kind}\n{}", data(value))
}

fn anthropic_block(index: usize, begin: &Value, deltas: Vec<Value>) -> Vec<String> {
    let begin = json!({"type": "content_block_start", "index": index, "content_block": begin});
    let deltas = deltas
        .into_iter()
        .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta}));
    let end = json!({"type": "content_block_stop", "index": index});
    std::iter::once(begin).chain(deltas).chain([end]).map(|event| anthropic_event(&event)).collect()
}

fn anthropic_text(text: &str) -> Vec<String> {
    let deltas = words(text).into_iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect();
    anthropic_block(0, &json!({"type": "text", "text": ""}), deltas)
}

fn anthropic_call(index: usize, name: &str, args: &str) -> Vec<String> {
    let begin = json!({"type": "tool_use", "id": format!("toolu_{index}"), "name": name, "input": {}});
    let more = pieces(args, 7.max(args.len() / 64)).into_iter();
    let deltas = more.map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
    anthropic_block(index, &begin, deltas.collect())
}

fn anthropic(play: &Play) -> Vec<String> {
    let begin =
        anthropic_event(&json!({"type": "message_start", "message": {"usage": {"input_tokens": 100}}}));
    let end = |reason: &str| {
        let delta = json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 10}});
        vec![anthropic_event(&delta), anthropic_event(&json!({"type": "message_stop"}))]
    };
    match play {
        Play::Text(text) => [vec![begin], anthropic_text(text), end("end_turn")].concat(),
        Play::Stall(text) | Play::CutOff(text) => [vec![begin], anthropic_text(text)].concat(),
        Play::Calls(text, calls) => {
            let said = if text.is_empty() { vec![] } else { anthropic_text(text) };
            let calls = calls.iter().enumerate();
            let calls =
                calls.flat_map(|(index, (name, args))| anthropic_call(index + 1, name, &args.to_string()));
            [vec![begin], said, calls.collect(), end("tool_use")].concat()
        }
        Play::RawCall(name, args) => [vec![begin], anthropic_call(0, name, args), end("tool_use")].concat(),
        Play::RawEvent(line) => vec![format!("data: {line}\n\n")],
        _ => vec![],
    }
}

fn ollama(play: &Play) -> Vec<String> {
    let message = |message: Value| line(&json!({"model": "scripted", "message": message, "done": false}));
    let said = |text: &str| {
        let pieces = words(text).into_iter();
        pieces.map(|piece| message(json!({"role": "assistant", "content": piece}))).collect::<Vec<_>>()
    };
    let call = |name: &str, args: Value| {
        message(
            json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": name, "arguments": args}}]}),
        )
    };
    let end = || {
        let whole = json!({"message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop",
            "prompt_eval_count": 100, "eval_count": 10});
        vec![line(&whole)]
    };
    match play {
        Play::Text(text) => [said(text), end()].concat(),
        Play::Calls(text, calls) => {
            let calls = calls.iter().map(|(name, args)| call(name, args.clone())).collect();
            [said(text), calls, end()].concat()
        }
        // Here arguments are a part of the line's JSON: bytes that are none break the line, or are a text.
        Play::RawCall(name, args) => match serde_json::from_str(args) {
            Ok(args) => [vec![call(name, args)], end()].concat(),
            Err(_) => [vec![call(name, json!(args))], end()].concat(),
        },
        Play::RawEvent(line) => vec![format!("{line}\n")],
        Play::Stall(text) | Play::CutOff(text) => said(text),
        _ => vec![],
    }
}
