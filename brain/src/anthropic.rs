//! Anthropic's messages.
//!
//! Owns that form of requests and of streamed pieces. Invariant: a reply counts only with its `message_stop`.

use serde_json::{Value, json};

use crate::assembly::Assembly;
use crate::frames::Framing;
use crate::http::{Protocol, only, with};
use crate::llm::{LlmError, Message, ModelCall, Prompt};

const VERSION: &str = "2023-06-01";
pub(crate) static PROTOCOL: Protocol = Protocol {
    path: "/v1/messages",
    headers,
    body,
    reworded: only,
    framing: Framing::Events,
    kinds: &["text/event-stream"],
    take,
};

fn headers(key: Option<&str>) -> Vec<(&'static str, String)> {
    let key = key.map(|key| ("x-api-key", key.to_owned()));
    key.into_iter().chain([("anthropic-version", VERSION.to_owned())]).collect()
}

fn body(model: &str, prompt: &Prompt) -> Value {
    let messages: Vec<Value> = prompt.messages.iter().map(message).collect();
    let tools: Vec<Value> = prompt
        .tools
        .iter()
        .map(|tool| json!({"name": tool.name, "description": tool.summary, "input_schema": tool.schema}))
        .collect();
    let body = json!({
        "model": model, "system": prompt.system, "messages": messages,
        "max_tokens": prompt.tokens_max, "temperature": 0, "stream": true,
    });
    with(body, "tools", tools)
}

fn message(message: &Message) -> Value {
    match message {
        Message::Person(text) => json!({"role": "user", "content": text}),
        Message::Model { text, calls } => json!({"role": "assistant", "content": spoken(text, calls)}),
        Message::Results(results) => {
            let blocks: Vec<Value> = results
                .iter()
                .map(|(id, text)| json!({"type": "tool_result", "tool_use_id": id, "content": text}))
                .collect();
            json!({"role": "user", "content": blocks})
        }
    }
}

fn spoken(text: &str, calls: &[ModelCall]) -> Vec<Value> {
    // An empty block of text is refused by the provider.
    let words = (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}));
    let calls = calls
        .iter()
        .map(|call| json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.args}));
    words.into_iter().chain(calls).collect()
}

fn take(assembly: &mut Assembly, event: &Value, said: &mut (dyn FnMut(&str) + Send)) -> Result<(), LlmError> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let index = event.get("index").and_then(Value::as_u64).unwrap_or_default();
    match text("/type") {
        "message_start" => {
            assembly.tokens_in = event.pointer("/message/usage/input_tokens").and_then(Value::as_u64);
        }
        "content_block_start" if text("/content_block/type") == "tool_use" => {
            assembly.call(index, [text("/content_block/id"), text("/content_block/name"), ""])?;
        }
        "content_block_delta" => match text("/delta/type") {
            "text_delta" => {
                assembly.text(text("/delta/text"))?;
                said(text("/delta/text"));
            }
            "input_json_delta" => assembly.call(index, ["", "", text("/delta/partial_json")])?,
            _ => {}
        },
        "message_delta" => {
            assembly.cut |= text("/delta/stop_reason") == "max_tokens";
            assembly.tokens_out = event.pointer("/usage/output_tokens").and_then(Value::as_u64);
        }
        "message_stop" => assembly.finished = true,
        _ => {}
    }
    Ok(())
}
