//! Which model is asked, with which key, and what a turn may cost.
//!
//! Owns the names of the settings and their bounds. Never reads the environment: the caller gives a map.
//! Invariant: a setting that is there and cannot be right is an error, never a default.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use legator_core::brain::BrainStatus;
use legator_core::span::Span;

use crate::http::{Http, Protocol};
use crate::llm::{Llm, LlmError};
use crate::{anthropic, ollama, openai};

/// What to set to have chats.
pub const WHAT_TO_SET: &str = "set LEGATOR_LLM_PROVIDER (openai, ollama or anthropic), LEGATOR_LLM_MODEL, and where needed LEGATOR_LLM_URL \
                               and LEGATOR_LLM_KEY or LEGATOR_LLM_KEY_FILE";

/// The names of all settings.
pub const NAMES: [&str; 13] = [
    "LEGATOR_LLM_PROVIDER",
    "LEGATOR_LLM_URL",
    "LEGATOR_LLM_MODEL",
    "LEGATOR_LLM_KEY",
    "LEGATOR_LLM_KEY_FILE",
    "LEGATOR_LLM_STALL",
    "LEGATOR_LLM_TURN_TIME",
    "LEGATOR_LLM_TURN_TOKENS",
    "LEGATOR_LLM_TURN_STEPS",
    "LEGATOR_LLM_ANSWER_TOKENS",
    "LEGATOR_LLM_PRICE_IN",
    "LEGATOR_LLM_PRICE_OUT",
    "LEGATOR_LLM_TURN_COST",
];

/// A setting that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct BadSetting {
    /// The setting.
    pub name: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// Who provides the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI, or anything that speaks its chat completions.
    OpenAi,
    /// Ollama, by its own chat.
    Ollama,
    /// Anthropic.
    Anthropic,
}

/// A credential of a provider; it never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderKey(String);

impl fmt::Debug for ProviderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderKey(…)")
    }
}

/// A model and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Who provides it.
    pub provider: Provider,
    /// The address, before the path of the protocol.
    pub url: String,
    /// Its name.
    pub name: String,
    key: Option<ProviderKey>,
    /// How long it may say nothing.
    pub stall: Duration,
}

/// What one turn may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How often the model is asked.
    pub rounds: u32,
    /// Tokens in and out together.
    pub tokens: u64,
    /// Tokens of one reply.
    pub answer_tokens: u32,
    /// How long the model may be at work altogether.
    pub time: Duration,
    /// Millionths of a currency; without bound when absent.
    pub cost_micros: Option<u64>,
    /// Millionths of a currency for a million tokens in.
    pub price_in_micros: u64,
    /// Millionths of a currency for a million tokens out.
    pub price_out_micros: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            rounds: 12,
            tokens: 200_000,
            answer_tokens: 2048,
            time: Duration::from_secs(300),
            cost_micros: None,
            price_in_micros: 0,
            price_out_micros: 0,
        }
    }
}

/// All settings of the brain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The model; without one there are no chats.
    pub model: Option<Model>,
    /// What one turn may cost.
    pub bounds: Bounds,
}

type Get<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Settings {
    /// The settings of a map such as the environment.
    pub fn from_map(get: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        let get: Get<'_> = &get;
        let (bounds, stall) =
            (bounds(get)?, span(get, "LEGATOR_LLM_STALL")?.unwrap_or(Duration::from_secs(60)));
        let Some(provider) = word(get, "LEGATOR_LLM_PROVIDER")? else {
            return match NAMES.iter().skip(1).take(4).find(|name| get(name).is_some()) {
                Some(_) => Err(bad("LEGATOR_LLM_PROVIDER", "is not set, but other settings of a model are")),
                None => Ok(Self { model: None, bounds }),
            };
        };
        let provider = match provider.as_str() {
            "openai" => Provider::OpenAi,
            "ollama" => Provider::Ollama,
            "anthropic" => Provider::Anthropic,
            other => {
                return Err(bad(
                    "LEGATOR_LLM_PROVIDER",
                    format!("{other:?} is none of openai, ollama, anthropic"),
                ));
            }
        };
        let name = word(get, "LEGATOR_LLM_MODEL")?.ok_or_else(|| bad("LEGATOR_LLM_MODEL", "is not set"))?;
        let key = key(get)?;
        let url = url(word(get, "LEGATOR_LLM_URL")?, provider, key.is_some())?;
        if key.is_none() && url == provider.url() && provider != Provider::Ollama {
            return Err(bad("LEGATOR_LLM_KEY", "is not set; this provider needs one"));
        }
        Ok(Self { model: Some(Model { provider, url, name, key, stall }), bounds })
    }
}

impl Provider {
    const fn url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Ollama => "http://127.0.0.1:11434",
            Self::Anthropic => "https://api.anthropic.com",
        }
    }

    /// How it is talked to.
    pub(crate) const fn protocol(self) -> &'static Protocol {
        match self {
            Self::OpenAi => &openai::PROTOCOL,
            Self::Ollama => &ollama::PROTOCOL,
            Self::Anthropic => &anthropic::PROTOCOL,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Ollama => "ollama",
            Self::Anthropic => "anthropic",
        }
    }
}

impl Model {
    /// What is told of it.
    pub fn status(&self) -> BrainStatus {
        BrainStatus { provider: self.provider.word().to_owned(), model: self.name.clone() }
    }

    /// A client of it.
    pub fn connect(&self) -> Result<Arc<dyn Llm>, LlmError> {
        let key = self.key.as_ref().map(|key| key.0.as_str());
        Ok(Arc::new(Http::new(self.provider.protocol(), (&self.url, &self.name), key, self.stall)?))
    }
}

fn bad(name: &'static str, why: impl Into<String>) -> BadSetting {
    BadSetting { name, why: why.into() }
}

fn word(get: Get<'_>, name: &'static str) -> Result<Option<String>, BadSetting> {
    let Some(value) = get(name) else { return Ok(None) };
    let value = value.trim().to_owned();
    match value.is_empty() || value.len() > 4096 || value.chars().any(char::is_control) {
        true => Err(bad(name, "is empty, too long or holds a control character")),
        false => Ok(Some(value)),
    }
}

fn key(get: Get<'_>) -> Result<Option<ProviderKey>, BadSetting> {
    let (given, file) = (word(get, "LEGATOR_LLM_KEY")?, word(get, "LEGATOR_LLM_KEY_FILE")?);
    let (name, key) = match (given, file) {
        (Some(_), Some(_)) => return Err(bad("LEGATOR_LLM_KEY", "and LEGATOR_LLM_KEY_FILE are both set")),
        (Some(key), None) => ("LEGATOR_LLM_KEY", key),
        (None, Some(path)) => {
            let read = std::fs::read_to_string(&path);
            (
                "LEGATOR_LLM_KEY_FILE",
                read.map_err(|why| bad("LEGATOR_LLM_KEY_FILE", format!("{path}: {why}")))?,
            )
        }
        (None, None) => return Ok(None),
    };
    let key = key.trim();
    match key.is_empty() || key.len() > 4096 || !key.bytes().all(|b| b.is_ascii_graphic()) {
        true => Err(bad(name, "holds no key: one word of printable ASCII")),
        false => Ok(Some(ProviderKey(key.to_owned()))),
    }
}

fn url(given: Option<String>, provider: Provider, with_key: bool) -> Result<String, BadSetting> {
    let Some(url) = given else { return Ok(provider.url().to_owned()) };
    let name = "LEGATOR_LLM_URL";
    let parsed = reqwest::Url::parse(&url).map_err(|why| bad(name, why.to_string()))?;
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match parsed.scheme() {
        "https" => {}
        "http" if loopback || !with_key => {}
        "http" => return Err(bad(name, "a key would go over http in the clear: use https")),
        _ => return Err(bad(name, "is neither https nor http")),
    }
    match parsed.username().is_empty() && parsed.password().is_none() && parsed.query().is_none() {
        true => Ok(url.trim_end_matches('/').to_owned()),
        false => Err(bad(name, "holds a user, a password or a query; the key belongs into LEGATOR_LLM_KEY")),
    }
}

fn bounds(get: Get<'_>) -> Result<Bounds, BadSetting> {
    let base = Bounds::default();
    let number = |name, range, otherwise| number(get, name, range).map(|found| found.unwrap_or(otherwise));
    let rounds = number("LEGATOR_LLM_TURN_STEPS", 1..=16, base.rounds.into())?;
    let answer_tokens = number("LEGATOR_LLM_ANSWER_TOKENS", 64..=65_536, base.answer_tokens.into())?;
    Ok(Bounds {
        rounds: u32::try_from(rounds).unwrap_or(base.rounds),
        tokens: number("LEGATOR_LLM_TURN_TOKENS", 1000..=10_000_000, base.tokens)?,
        answer_tokens: u32::try_from(answer_tokens).unwrap_or(base.answer_tokens),
        time: span(get, "LEGATOR_LLM_TURN_TIME")?.unwrap_or(base.time),
        cost_micros: money(get, "LEGATOR_LLM_TURN_COST")?,
        price_in_micros: money(get, "LEGATOR_LLM_PRICE_IN")?.unwrap_or(0),
        price_out_micros: money(get, "LEGATOR_LLM_PRICE_OUT")?.unwrap_or(0),
    })
}

fn number(
    get: Get<'_>,
    name: &'static str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, BadSetting> {
    let Some(text) = word(get, name)? else { return Ok(None) };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number
        .map(Some)
        .ok_or_else(|| bad(name, format!("is no number from {} to {}", range.start(), range.end())))
}

fn span(get: Get<'_>, name: &'static str) -> Result<Option<Duration>, BadSetting> {
    let Some(text) = word(get, name)? else { return Ok(None) };
    let span: Span = text.parse().map_err(|why: legator_core::span::BadSpan| bad(name, why.to_string()))?;
    match (1000..=3_600_000).contains(&span.millis()) {
        true => Ok(Some(span.duration())),
        false => Err(bad(name, "is not from 1s to 1h")),
    }
}

/// An amount such as `0.25`, in millionths.
fn money(get: Get<'_>, name: &'static str) -> Result<Option<u64>, BadSetting> {
    let Some(text) = word(get, name)? else { return Ok(None) };
    let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return Err(bad(name, "is no amount such as 0.25"));
    }
    let micros = format!("{whole}{part:0<6}").parse();
    micros.map(Some).map_err(|_| bad(name, "is no amount such as 0.25"))
}

#[cfg(test)]
mod tests;
