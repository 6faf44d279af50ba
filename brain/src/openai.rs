//! Providers that speak OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp and many others.
//!
//! Owns that form of requests and of streamed pieces. Invariant: a reply counts only with a `finish_reason` or `[DONE]`.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::assembly::Assembly;
use crate::frames::Framing;
use crate::http::{Http, Protocol};
use crate::llm::{Llm, LlmError, Message, ModelCall, Prompt, Reply};

pub(crate) const PROTOCOL: Protocol =
    Protocol { framing: Framing::Events, kinds: &["text/event-stream"], take };

/// A provider of this kind.
pub(crate) struct OpenAi {
    http: Http,
    model: String,
}

impl OpenAi {
    /// The provider below this address, which ends before `/chat/completions`.
    pub(crate) fn new(url: &str, model: &str, key: Option<&str>, stall: Duration) -> Result<Self, LlmError> {
        let headers = key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect();
        let http = Http::new(format!("{}/chat/completions", url.trim_end_matches('/')), headers, stall)?;
        Ok(Self { http, model: model.to_owned() })
    }
}

impl Llm for OpenAi {
    fn ask<'a>(
        &'a self,
        prompt: &'a Prompt,
        said: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<Reply, LlmError>> {
        async move {
            let body = body(&self.model, prompt);
            match self.http.stream(&body, &PROTOCOL, said).await {
                // Newer models of OpenAI take the bound by another name, and no temperature.
                Err(LlmError::Status { status: 400, detail }) if detail.contains("max_completion_tokens") => {
                    self.http.stream(&renamed(body), &PROTOCOL, said).await
                }
                done => done,
            }
        }
        .boxed()
    }
}

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
    let mut body = json!({
        "model": model, "messages": messages, "stream": true, "max_tokens": prompt.tokens_max,
        "temperature": 0, "stream_options": {"include_usage": true},
    });
    let tools: Vec<Value> = prompt
        .tools
        .iter()
        .map(|tool| {
            let function = json!({"name": tool.name, "description": tool.summary, "parameters": tool.schema});
            json!({"type": "function", "function": function})
        })
        .collect();
    if let (Value::Object(body), false) = (&mut body, tools.is_empty()) {
        body.insert("tools".to_owned(), Value::Array(tools));
    }
    body
}

fn renamed(mut body: Value) -> Value {
    if let Value::Object(fields) = &mut body {
        fields.remove("temperature");
        if let Some(most) = fields.remove("max_tokens") {
            fields.insert("max_completion_tokens".to_owned(), most);
        }
    }
    body
}

fn spoken(text: &str, calls: &[ModelCall]) -> Value {
    if calls.is_empty() {
        return json!({"role": "assistant", "content": text});
    }
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| {
            let function = json!({"name": call.name, "arguments": call.args.to_string()});
            json!({"id": call.id, "type": "function", "function": function})
        })
        .collect();
    json!({"role": "assistant", "content": text, "tool_calls": calls})
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
