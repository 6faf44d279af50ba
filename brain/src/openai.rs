//! Providers that speak OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp and many others.
//!
//! Owns that form of requests and of streamed pieces. Invariant: a reply counts only with a `finish_reason` or `[DONE]`.

use serde_json::{Value, json};

use crate::assembly::Assembly;
use crate::frames::Framing;
use crate::http::{Protocol, bearer, with};
use crate::llm::{LlmError, Message, ModelCall, Prompt, ToolCard};

pub(crate) static PROTOCOL: Protocol = Protocol {
    path: "/chat/completions",
    headers: bearer,
    body,
    reworded,
    framing: Framing::Events,
    kinds: &["text/event-stream"],
    take,
};

fn body(model: &str, prompt: &Prompt) -> Value {
    let mut messages = vec![json!({"role": "system", "content": prompt.system})];
    for message in &prompt.messages {
        match message {
            Message::Person(text) => messages.push(json!({"role": "user", "content": text})),
            Message::Model { text, calls } => messages.push(spoken(text, calls)),
            Message::Results(results) => messages.extend(
                results.iter().map(|(id, text)| json!({"role": "tool", "tool_call_id": id, "content": text})),
            ),
        }
    }
    let body = json!({
        "model": model, "messages": messages, "stream": true, "max_tokens": prompt.tokens_max,
        "temperature": 0, "stream_options": {"include_usage": true},
    });
    with(body, "tools", functions(prompt))
}

/// What may be called, as functions.
pub(crate) fn functions(prompt: &Prompt) -> Vec<Value> {
    let function = |tool: &ToolCard| {
        let function = json!({"name": tool.name, "description": tool.summary, "parameters": tool.schema});
        json!({"type": "function", "function": function})
    };
    prompt.tools.iter().map(function).collect()
}

/// Newer models of OpenAI take the bound by another name, and no temperature.
fn reworded(refused: &LlmError, mut body: Value) -> Option<Value> {
    let LlmError::Status { status: 400, detail } = refused else { return None };
    let fields = body.as_object_mut().filter(|_| detail.contains("max_completion_tokens"))?;
    fields.remove("temperature");
    let most = fields.remove("max_tokens")?;
    fields.insert("max_completion_tokens".to_owned(), most);
    Some(body)
}

fn spoken(text: &str, calls: &[ModelCall]) -> Value {
    let calls = calls.iter().map(|call| {
        let function = json!({"name": call.name, "arguments": call.args.to_string()});
        json!({"id": call.id, "type": "function", "function": function})
    });
    with(json!({"role": "assistant", "content": text}), "tool_calls", calls.collect())
}

fn take(assembly: &mut Assembly, event: &Value, said: &mut (dyn FnMut(&str) + Send)) -> Result<(), LlmError> {
    if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
        assembly.tokens_in = usage.get("prompt_tokens").and_then(Value::as_u64);
        assembly.tokens_out = usage.get("completion_tokens").and_then(Value::as_u64);
    }
    let Some(choice) = event.pointer("/choices/0") else { return Ok(()) };
    if let Some(text) =
        choice.pointer("/delta/content").and_then(Value::as_str).filter(|text| !text.is_empty())
    {
        assembly.text(text)?;
        said(text);
    }
    let calls = choice.pointer("/delta/tool_calls").and_then(Value::as_array);
    for (place, call) in calls.into_iter().flatten().enumerate() {
        let index = call.get("index").and_then(Value::as_u64).unwrap_or(place as u64);
        let text = |pointer: &str| call.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        // Some servers give the arguments as an object.
        let object =
            call.pointer("/function/arguments").filter(|args| args.is_object()).map(Value::to_string);
        let args = object.as_deref().unwrap_or_else(|| text("/function/arguments"));
        assembly.call(index, [text("/id"), text("/function/name"), args])?;
    }
    if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
        assembly.finished = true;
        assembly.cut |= reason == "length";
    }
    Ok(())
}
