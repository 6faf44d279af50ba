//! One time that a model is asked about a turn.
//!
//! Owns the bounds on what a turn costs. Keeps nothing. Invariant: for every turn there is one step, and it comes within the turn's time.

use std::time::{Duration, Instant};

use legator_core::brain::{BrainStep, CallSent, TurnSent, Usage};
use tokio::time::timeout;

use crate::llm::{Llm, LlmError, Prompt, Reply};
use crate::prompt::prompt;
use crate::settings::Bounds;

/// Asks the model once and says what it does next, and what that cost.
pub async fn think(
    turn: &TurnSent,
    llm: &dyn Llm,
    bounds: &Bounds,
    said: &mut (dyn FnMut(&str) + Send),
) -> (BrainStep, Usage) {
    let time = match left(&turn.used, bounds) {
        Ok(time) => time,
        Err(over) => return (over, Usage::default()),
    };
    let prompt = prompt(turn, bounds.answer_tokens);
    let began = Instant::now();
    let reply = timeout(time, llm.ask(&prompt, said)).await.unwrap_or(Err(LlmError::TimeOver));
    let model_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    metrics::histogram!("legator_model_seconds").record(began.elapsed().as_secs_f64());
    match reply {
        Ok(reply) => {
            let used = usage(&prompt, &reply, bounds, model_ms);
            (step(reply), used)
        }
        Err(why) => {
            metrics::counter!("legator_model_failures_total", "code" => why.code()).increment(1);
            tracing::warn!(turn = %turn.turn, code = why.code(), "a model gave no reply: {why}");
            (failed(&why), Usage { rounds: 1, model_ms, ..Usage::default() })
        }
    }
}

/// How long the model may still be at work, or which bound is reached.
fn left(used: &Usage, bounds: &Bounds) -> Result<Duration, BrainStep> {
    let time = bounds.time.saturating_sub(Duration::from_millis(used.model_ms));
    let tokens = used.tokens_in.saturating_add(used.tokens_out);
    if used.rounds >= bounds.rounds {
        return Err(over(
            "turn-steps",
            format!("the model was asked {} times and did not come to an answer", used.rounds),
        ));
    }
    if time < Duration::from_millis(100) {
        return Err(failed(&LlmError::TimeOver));
    }
    if tokens >= bounds.tokens {
        return Err(over(
            "turn-tokens",
            format!("the turn used {tokens} tokens, its bound is {}", bounds.tokens),
        ));
    }
    match bounds.cost_micros {
        Some(most) if used.cost_micros >= most => {
            Err(over("turn-cost", "the turn's cost is at its bound".to_owned()))
        }
        _ => Ok(time),
    }
}

fn over(code: &str, detail: String) -> BrainStep {
    let hint = Some("ask for less at once, or raise the bounds of LEGATOR_LLM_TURN_…".to_owned());
    BrainStep::Failed { code: code.to_owned(), detail, hint }
}

fn failed(why: &LlmError) -> BrainStep {
    BrainStep::Failed {
        code: why.code().to_owned(),
        detail: why.to_string(),
        hint: Some(why.hint().to_owned()),
    }
}

fn step(reply: Reply) -> BrainStep {
    if reply.calls.is_empty() && reply.text.trim().is_empty() {
        return failed(&LlmError::Unreadable("it is empty".to_owned()));
    }
    match reply.calls.is_empty() {
        true => BrainStep::Answer {
            text: if reply.cut { format!("{} […cut]", reply.text) } else { reply.text },
        },
        false => {
            let calls = reply.calls.into_iter().map(|call| CallSent {
                id: call.id,
                tool: call.name,
                args: call.args,
            });
            BrainStep::Calls { text: reply.text, calls: calls.collect() }
        }
    }
}

/// What a reply cost; counted by four bytes a token where the provider does not say.
fn usage(prompt: &Prompt, reply: &Reply, bounds: &Bounds, model_ms: u64) -> Usage {
    let guessed = |bytes: usize| u64::try_from(bytes / 4).unwrap_or(u64::MAX);
    let tokens_in = reply.tokens_in.unwrap_or_else(|| guessed(format!("{prompt:?}").len()));
    let calls: usize = reply.calls.iter().map(|call| call.args.to_string().len()).sum();
    let tokens_out = reply.tokens_out.unwrap_or_else(|| guessed(reply.text.len() + calls));
    let cost = u128::from(tokens_in) * u128::from(bounds.price_in_micros)
        + u128::from(tokens_out) * u128::from(bounds.price_out_micros);
    let cost_micros = u64::try_from(cost.div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Usage { rounds: 1, tokens_in, tokens_out, cost_micros, model_ms }
}
