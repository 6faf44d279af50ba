//! The language-model loop: prompts, tools, evidence.
//!
//! Owns what a model is told and how providers are spoken to. It has provider keys and nothing else: no database, no way to make, approve or
//! send anything; whatever a model says is a message to the worker, who decides. Invariant: nothing is kept between two messages.

mod anthropic;
mod assembly;
mod frames;
mod http;
mod live;
pub mod llm;
mod ollama;
mod openai;
mod prompt;
pub mod recorded;
mod serve;
mod settings;
mod think;

pub use prompt::prompt;
pub use serve::{Brain, RunError, run};
pub use settings::{BadSetting, Bounds, Model, NAMES, Provider, ProviderKey, Settings, WHAT_TO_SET};
pub use think::think;
