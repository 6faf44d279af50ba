//! How each provider writes a stream.
//!
//! Owns the events of both dialects. Never decides what is said.

use serde_json::{Value, json};

use super::Play;

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(24).map(|chunk| chunk.iter().collect()).collect()
}

/// One piece of text in OpenAI's dialect.
pub(super) fn openai_text(text: &str) -> String {
    data(&json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}))
}

/// A play in OpenAI's dialect.
pub(super) fn openai(play: &Play) -> Vec<String> {
    let call = |index: usize, name: &str, args: &str| {
        let half = (0..=args.len() / 2).rev().find(|at| args.is_char_boundary(*at)).unwrap_or(0);
        let (first, rest) = args.split_at(half);
        let id = format!("call_{index}");
        let begun = json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": first}});
        let more = json!({"index": index, "function": {"arguments": rest}});
        [begun, more].map(|call| data(&json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})))
    };
    let end = |reason: &str| {
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 10});
        vec![
            data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})),
            data(&json!({"choices": [], "usage": usage})),
            "data: [DONE]\n\n".to_owned(),
        ]
    };
    let said = |text: &str| pieces(text).iter().map(|piece| openai_text(piece)).collect::<Vec<_>>();
    match play {
        Play::Text(text) => [said(text), end("stop")].concat(),
        Play::Calls(text, calls) => {
            let calls = calls
                .iter()
                .enumerate()
                .flat_map(|(index, (name, args))| call(index, name, &args.to_string()));
            [said(text), calls.collect(), end("tool_calls")].concat()
        }
        Play::RawCall(name, args) => [call(0, name, args).to_vec(), end("tool_calls")].concat(),
        Play::RawEvent(line) => vec![format!("data: {line}\n\n")],
        Play::Stall(text) | Play::CutOff(text) => said(text),
        Play::Silence | Play::TooMany(_) | Play::Status(..) | Play::Endless => vec![],
    }
}

/// A play in Anthropic's dialect.
pub(super) fn anthropic(play: &Play) -> Vec<String> {
    let event = |value: Value| {
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("event: {kind}\n{}", data(&value))
    };
    let mut out = vec![event(json!({"type": "message_start", "message": {"usage": {"input_tokens": 100}}}))];
    let mut index = 0;
    let mut block = |out: &mut Vec<String>, begin: Value, deltas: Vec<Value>| {
        out.push(event(json!({"type": "content_block_start", "index": index, "content_block": begin})));
        out.extend(
            deltas
                .into_iter()
                .map(|delta| event(json!({"type": "content_block_delta", "index": index, "delta": delta}))),
        );
        out.push(event(json!({"type": "content_block_stop", "index": index})));
        index += 1;
    };
    let deltas =
        |text: &str| pieces(text).iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect();
    let mut reason = "end_turn";
    let mut call = |out: &mut Vec<String>, name: &str, args: String| {
        reason = "tool_use";
        let begin =
            json!({"type": "tool_use", "id": format!("toolu_{}", out.len()), "name": name, "input": {}});
        block(out, begin, vec![json!({"type": "input_json_delta", "partial_json": args})]);
    };
    match play {
        Play::Text(text) => block(&mut out, json!({"type": "text", "text": ""}), deltas(text)),
        Play::Stall(text) | Play::CutOff(text) => {
            block(&mut out, json!({"type": "text", "text": ""}), deltas(text));
            return out;
        }
        Play::Calls(_, calls) => calls.iter().for_each(|(name, args)| call(&mut out, name, args.to_string())),
        Play::RawCall(name, args) => call(&mut out, name, args.clone()),
        Play::RawEvent(line) => return vec![format!("data: {line}\n\n")],
        Play::Silence | Play::TooMany(_) | Play::Status(..) | Play::Endless => return vec![],
    }
    out.push(event(
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 10}}),
    ));
    out.push(event(json!({"type": "message_stop"})));
    out
}
