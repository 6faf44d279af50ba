//! Ollama's own chat: `POST /api/chat`, answered in lines of JSON.
//!
//! Owns that form of requests and of streamed pieces. Invariant: a reply counts only with `done: true`.

use serde_json::{Value, json};

use crate::assembly::Assembly;
use crate::frames::Framing;
use crate::http::{Protocol, bearer, only, with};
use crate::llm::{LlmError, Message, ModelCall, Prompt, guessed_tokens};
use crate::openai::functions;

pub(crate) static PROTOCOL: Protocol = Protocol {
    path: "/api/chat",
    headers: bearer,
    body,
    reworded: only,
    framing: Framing::Lines,
    kinds: &["application/x-ndjson", "application/json"],
    take,
};
/// The context that is asked for at least and at most, in tokens: the provider's own default cuts a prompt silently.
const CONTEXT_TOKENS: std::ops::RangeInclusive<u64> = 8 * 1024..=128 * 1024;

fn body(model: &str, prompt: &Prompt) -> Value {
    let mut messages = vec![json!({"role": "system", "content": prompt.system})];
    let mut called: &[ModelCall] = &[];
    for message in &prompt.messages {
        match message {
            Message::Person(text) => messages.push(json!({"role": "user", "content": text})),
            Message::Model { text, calls } => {
                called = calls;
                messages.push(spoken(text, calls));
            }
            Message::Results(results) => messages.extend(results.iter().map(|(id, text)| {
                let name = called.iter().find(|call| call.id == *id).map_or("", |call| call.name.as_str());
                json!({"role": "tool", "tool_name": name, "content": text})
            })),
        }
    }
    let wanted = guessed_tokens(prompt).saturating_add(prompt.tokens_max.into()).next_power_of_two();
    let context = wanted.clamp(*CONTEXT_TOKENS.start(), *CONTEXT_TOKENS.end());
    let options = json!({"temperature": 0, "num_predict": prompt.tokens_max, "num_ctx": context});
    let body = json!({"model": model, "messages": messages, "stream": true, "options": options});
    with(body, "tools", functions(prompt))
}

fn spoken(text: &str, calls: &[ModelCall]) -> Value {
    let call = |call: &ModelCall| json!({"function": {"name": call.name, "arguments": call.args}});
    with(json!({"role": "assistant", "content": text}), "tool_calls", calls.iter().map(call).collect())
}

fn take(assembly: &mut Assembly, event: &Value, said: &mut (dyn FnMut(&str) + Send)) -> Result<(), LlmError> {
    let content = event.pointer("/message/content").and_then(Value::as_str).unwrap_or_default();
    if !content.is_empty() {
        assembly.text(content)?;
        said(content);
    }
    let calls = event.pointer("/message/tool_calls").and_then(Value::as_array);
    for call in calls.into_iter().flatten() {
        let name = call.pointer("/function/name").and_then(Value::as_str).unwrap_or_default();
        // Arguments are an object here; some models give it as a text.
        let args = match call.pointer("/function/arguments") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(args) => args.to_string(),
        };
        let place = assembly.calls_count();
        assembly.call(place, ["", name, &args])?;
    }
    if event.get("done").and_then(Value::as_bool) == Some(true) {
        assembly.finished = true;
        assembly.cut |= event.get("done_reason").and_then(Value::as_str) == Some("length");
        assembly.tokens_in = event.get("prompt_eval_count").and_then(Value::as_u64);
        assembly.tokens_out = event.get("eval_count").and_then(Value::as_u64);
    }
    Ok(())
}
