//! A reply put together from the pieces of a stream.
//!
//! Owns the bounds on text, calls and arguments. Invariant: only a finished assembly becomes a reply.

use std::collections::BTreeMap;

use legator_core::brain::{CALL_BYTES_MAX, CALLS_MAX, TEXT_BYTES_MAX};
use serde_json::{Map, Value};

use crate::llm::{LlmError, ModelCall, Reply};

#[derive(Default)]
struct Begun {
    id: String,
    name: String,
    args: String,
}

/// The pieces so far.
#[derive(Default)]
pub(crate) struct Assembly {
    text: String,
    calls: BTreeMap<u64, Begun>,
    pub(crate) tokens_in: Option<u64>,
    pub(crate) tokens_out: Option<u64>,
    pub(crate) cut: bool,
    pub(crate) finished: bool,
}

impl Assembly {
    /// More text.
    pub(crate) fn text(&mut self, piece: &str) -> Result<(), LlmError> {
        if self.text.len() + piece.len() > TEXT_BYTES_MAX {
            return Err(LlmError::TooLong(TEXT_BYTES_MAX));
        }
        self.text.push_str(piece);
        Ok(())
    }

    /// More of the call at this place.
    pub(crate) fn call(&mut self, index: u64, [id, name, args]: [&str; 3]) -> Result<(), LlmError> {
        let count = self.calls.len();
        if !self.calls.contains_key(&index) && count >= CALLS_MAX {
            return Err(LlmError::Unreadable(format!("more than {CALLS_MAX} calls at once")));
        }
        let call = self.calls.entry(index).or_default();
        let bytes = call.args.len() + args.len();
        if bytes > CALL_BYTES_MAX || call.name.len() + name.len() > 256 || call.id.len() + id.len() > 256 {
            return Err(LlmError::TooLong(CALL_BYTES_MAX));
        }
        if call.id.is_empty() {
            call.id.push_str(id);
        }
        call.name.push_str(name);
        call.args.push_str(args);
        Ok(())
    }

    /// How many calls have begun.
    pub(crate) fn calls_count(&self) -> u64 {
        self.calls.len() as u64
    }

    /// The reply, when the stream said that it is complete.
    pub(crate) fn reply(self) -> Result<Reply, LlmError> {
        if !self.finished {
            return Err(LlmError::CutOff);
        }
        if self.cut && !self.calls.is_empty() {
            // Half a call is none.
            return Err(LlmError::CutOff);
        }
        let calls = self
            .calls
            .into_iter()
            .map(|(index, call)| finished_call(index, call))
            .collect::<Result<_, _>>()?;
        let (tokens_in, tokens_out, cut) = (self.tokens_in, self.tokens_out, self.cut);
        Ok(Reply { text: self.text, calls, tokens_in, tokens_out, cut })
    }
}

fn finished_call(index: u64, call: Begun) -> Result<ModelCall, LlmError> {
    let args = match call.args.trim() {
        "" => Value::Object(Map::new()),
        text => serde_json::from_str(text).unwrap_or_default(),
    };
    if !args.is_object() || call.name.is_empty() {
        let tool = legator_core::text::shown_line(legator_core::text::cut(&call.name, 80));
        return Err(LlmError::BadCall {
            tool: if tool.is_empty() { "a tool without a name".into() } else { tool },
        });
    }
    let id = if call.id.is_empty() { format!("call_{index}") } else { call.id };
    Ok(ModelCall { id, name: call.name, args })
}
