//! Streams: a model's provider to the brain, and the server's events to `legatorctl`.
//!
//! Promises: how a stream is cut into pieces changes nothing; a reply keeps its bounds, and only a finished one is a reply.

use crate::Target;
use crate::dice::Dice;
use legator_brain::Provider;
use legator_core::brain::{CALL_BYTES_MAX, CALLS_MAX, TEXT_BYTES_MAX};
use legator_ctl::sse::{Event, Parser};

const WORDS: &[&str] = &[
    "data: ",
    "\n\n",
    "\r\n",
    "[DONE]",
    "event: message_stop\n",
    "\"delta\":{\"content\":\"",
    "\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{",
    "\"finish_reason\":\"stop\"",
    "\"done\":true",
    "\"type\":\"content_block_delta\"",
    "\"arguments\":\"{",
    "\"error\":{\"message\":\"",
    "id: 7\n",
    ":\n",
];

pub(super) const PROVIDER: Target =
    Target { name: "provider", hold: provider, examples: provider_examples, words: WORDS };
pub(super) const SSE: Target = Target { name: "sse", hold: sse, examples: sse_examples, words: WORDS };

/// The bytes in pieces whose lengths come from the bytes themselves.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while let Some(first) = rest.first() {
        let (piece, more) = rest.split_at((usize::from(*first) % 7 + 1).min(rest.len()));
        pieces.push(piece);
        rest = more;
    }
    pieces
}

/// The first byte chooses the provider.
fn provider(bytes: &[u8]) {
    let mut dice = Dice::new(bytes);
    let provider = [Provider::OpenAi, Provider::Anthropic, Provider::Ollama][dice.of(3)];
    let stream = dice.rest();
    let (whole, said) = legator_brain::recorded::reply(provider, &[stream]);
    let (again, said_again) = legator_brain::recorded::reply(provider, &pieces(stream));
    assert_eq!((&whole, &said), (&again, &said_again), "another reply when it comes in pieces");
    if let Ok(reply) = whole {
        assert!(reply.text.len() <= TEXT_BYTES_MAX && reply.calls.len() <= CALLS_MAX);
        assert!(reply.text == said, "what was said on the way is not what stands in the reply");
        for call in &reply.calls {
            assert!(call.args.is_object() && !call.name.is_empty() && !call.id.is_empty());
            assert!(call.args.to_string().len() <= CALL_BYTES_MAX * 6 && call.name.len() <= 256);
        }
    }
}

fn provider_examples() -> Vec<Vec<u8>> {
    let openai = [
        "data: {\"choices\":[{\"delta\":{\"content\":\"It runs\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"file_read\",\"arguments\":\"{\\\"path\\\":\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"/etc/x\\\"}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\u{fc}\"},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\r\n\r\n",
        ": ping\n\ndata: {\"error\":{\"message\":\"no\"}}\n\n",
        "data: {\"choices\":[]}\n\ndata: [DONE]\n\n",
        "data: not json\n\n",
    ];
    let anthropic = [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"It runs\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"file_read\",\"input\":{}}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"path\\\":\\\"/x\\\"}\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n",
        "data: {\"type\":\"ping\"}\n\n",
    ];
    let ollama = [
        "{\"message\":{\"role\":\"assistant\",\"content\":\"It runs\"},\"done\":false}\n{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":4,\"eval_count\":2}\n",
        "{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"file_read\",\"arguments\":{\"path\":\"/x\"}}}]},\"done\":false}\n{\"done\":true}",
        "{\"error\":\"model not found\"}\n",
        "\n\n{\"done\":true}\n",
        "{\"message\":{\"content\":\"cut\"},\"done\":true,\"done_reason\":\"length\"}\n",
    ];
    let of = |first: u8, stream: &str| [&[first], stream.as_bytes()].concat();
    let all = openai.iter().map(|stream| of(0, stream)).chain(anthropic.iter().map(|stream| of(1, stream)));
    all.chain(ollama.iter().map(|stream| of(2, stream))).collect()
}

fn events(pieces: &[&[u8]]) -> Vec<Event> {
    let mut parser = Parser::default();
    pieces.iter().flat_map(|piece| parser.push(piece).expect("short enough")).collect()
}

fn sse(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(64 * 1024)];
    let whole = events(&[bytes]);
    assert_eq!(whole, events(&pieces(bytes)), "other events when they come in pieces");
    let sum: usize = whole.iter().map(|event| event.data.len() + event.kind.len()).sum();
    assert!(sum <= bytes.len() * 3, "events are larger than their stream");
}

fn sse_examples() -> Vec<Vec<u8>> {
    let texts = [
        "id: 7\nevent: task\ndata: {\"a\":1}\n\n",
        ": hello\n\ndata: x\ndata: y\n\n",
        "data: x",
        "event: e\n\n",
        "id: 1\n\n",
        "data\n\n",
        "data:x\r\n\r\n",
        "retry: 10\ndata: z\n\n",
        "\u{feff}data: bom\n\n",
        "data: a\rdata: b\n\n",
        "id: 8\ndata: 1\n\nid: 9\ndata: 2\n\nid: 10\ndata: 3\n\n",
        "\n\n\n",
        "data: \u{fc}\n\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
