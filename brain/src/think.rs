//! One time that a model is asked about a turn.
//!
//! Owns the bounds on what a turn costs. Keeps nothing. Invariant: for every turn there is one step, and it comes within the turn's time.

use std::time::{Duration, Instant};

use legator_core::brain::{BrainStep, CallSent, TurnSent, Usage};
use tokio::time::timeout;

use crate::llm::{Llm, LlmError, Prompt, Reply, bytes_of, guessed_tokens};
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
    let prompt = match affordable(prompt, &turn.used, bounds) {
        Ok(prompt) => prompt,
        Err(over) => return (over, Usage::default()),
    };
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
    if used.rounds >= bounds.rounds {
        return Err(over(
            "turn-steps",
            format!("the model was asked {} times and did not come to an answer", used.rounds),
        ));
    }
    if time < Duration::from_millis(100) {
        return Err(failed(&LlmError::TimeOver));
    }
    Ok(time)
}

/// The prompt with as many tokens for the reply as the turn has left, or which bound it would break.
fn affordable(prompt: Prompt, used: &Usage, bounds: &Bounds) -> Result<Prompt, BrainStep> {
    let tokens = used.tokens_in.saturating_add(used.tokens_out);
    let asks = guessed_tokens(&prompt);
    let left = bounds.tokens.saturating_sub(tokens).saturating_sub(asks);
    if left == 0 {
        let detail = format!(
            "the turn used {tokens} tokens and would need {asks} more, its bound is {}",
            bounds.tokens
        );
        return Err(over("turn-tokens", detail));
    }
    let broke = match bounds.cost_micros {
        Some(most) => used.cost_micros.saturating_add(cost(bounds, asks, 0)) >= most,
        None => false,
    };
    if broke {
        return Err(over("turn-cost", "the turn's cost is at its bound".to_owned()));
    }
    let tokens_max = prompt.tokens_max.min(u32::try_from(left).unwrap_or(u32::MAX));
    Ok(Prompt { tokens_max, ..prompt })
}

/// What so many tokens cost, in millionths.
fn cost(bounds: &Bounds, tokens_in: u64, tokens_out: u64) -> u64 {
    let cost = u128::from(tokens_in) * u128::from(bounds.price_in_micros)
        + u128::from(tokens_out) * u128::from(bounds.price_out_micros);
    u64::try_from(cost.div_ceil(1_000_000)).unwrap_or(u64::MAX)
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
    let tokens_in = reply.tokens_in.unwrap_or_else(|| guessed_tokens(prompt));
    let said = reply.text.len() + reply.calls.iter().map(bytes_of).sum::<usize>();
    let tokens_out = reply.tokens_out.unwrap_or_else(|| u64::try_from(said / 4).unwrap_or(u64::MAX));
    let cost_micros = cost(bounds, tokens_in, tokens_out);
    Usage { rounds: 1, tokens_in, tokens_out, cost_micros, model_ms }
}
