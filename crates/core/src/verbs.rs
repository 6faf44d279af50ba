//! Verbs: the typed actions that a plan can name, their arguments and what they say about themselves.
//!
//! Owns the list of verbs, the parsing of their arguments and the text that people read. Never runs anything.
//! Invariant: a [`Call`] was parsed once, every string and list in it is within its bounds, and every path in it is absolute.

mod arguments;
mod bounds;
mod difference;
mod secret;
mod specs;
mod words;

#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::digest::Digest;
use crate::error::Failure;
use crate::level::{Effects, Level};
use crate::span::Span;

pub use arguments::*;
pub use bounds::{ABSENT, CONTENT_BYTES_MAX, SCRIPT_BYTES_MAX, TIMEOUT_MAX, TIMEOUT_MIN};
pub use difference::difference;
pub use secret::{ENV_PREFIX, Revealed, Secret, Secrets, UNSEEN, hide, secrets};
pub use specs::all;

/// What a verb says about itself.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name, `noun.verb`.
    pub name: &'static str,
    /// The levels at which it exists, lowest first.
    pub levels: &'static [Level],
    /// What it does, in one line.
    pub summary: &'static str,
    /// What it may touch on the host, for the approver.
    pub effects_text: &'static str,
    /// It shows a difference: the present state is read before anyone is asked.
    pub pre_image: bool,
    /// What must hold afterwards for it to count as verified.
    pub post_condition: Option<&'static str>,
    /// Whether `task.undo` can take it back.
    pub undo: bool,
    /// The JSON Schema of its arguments.
    pub schema: fn() -> Value,
}

/// A verb with its arguments, ready to be planned or run.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The verb and its arguments.
    pub verb: Verb,
    /// The level it runs at.
    pub level: Level,
    /// What a confined program of it may touch; what a typed verb touches is the verb's own (`Spec::effects_text`).
    pub effects: Effects,
    /// How long it may run on a host.
    pub timeout: Span,
    /// One line for people.
    pub text: String,
    /// It runs an unconfined program: one tier of risk higher.
    pub tier_up: bool,
}

/// The verb of this name.
pub fn find(name: &str) -> Option<&'static Spec> {
    all().iter().find(|spec| spec.name == name)
}

/// The call that these arguments make; at the lowest level of the verb when none is asked for.
///
/// Fails with `unknown-verb`, `bad-level` or `bad-arguments`.
pub fn parse(name: &str, args: &Value, level: Option<Level>) -> Result<Call, Failure> {
    let spec = find(name).ok_or_else(|| unknown(name))?;
    let verb = Verb::from_args(spec.name, args)?;
    let level = choose_level(spec, level)?;
    verb.check_for(level)?;
    let effects = effects(&verb, level);
    let tier_up = effects.unconfined;
    Ok(Call { timeout: words::timeout(&verb), text: words::line(&verb), verb, level, effects, tier_up })
}

fn unknown(name: &str) -> Failure {
    let failure = Failure::invalid("unknown-verb", format!("there is no verb {:?}", bounds::cut(name, 80)));
    let noun = name.split('.').next().unwrap_or_default();
    let near: Vec<&str> =
        all().iter().map(|spec| spec.name).filter(|known| known.split('.').next() == Some(noun)).collect();
    match near.is_empty() {
        true => failure.hint("GET /api/v1/verbs lists all verbs"),
        false => failure.hint(format!("there are {}", near.join(", "))),
    }
}

fn choose_level(spec: &Spec, asked: Option<Level>) -> Result<Level, Failure> {
    let lowest = spec.levels.first().copied().unwrap_or(Level::Remediate);
    let level = asked.unwrap_or(lowest);
    if spec.levels.contains(&level) {
        return Ok(level);
    }
    let levels: Vec<&str> = spec.levels.iter().map(|level| level.word()).collect();
    let detail = format!("{} does not exist at level {level}", spec.name);
    Err(Failure::invalid("bad-level", detail).hint(format!("it exists at: {}", levels.join(", "))))
}

/// What a confined program of this verb may touch.
fn effects(verb: &Verb, level: Level) -> Effects {
    let asked = match verb {
        Verb::ShellRun(run) => &run.effects,
        Verb::ShellScript(script) => &script.effects,
        Verb::NetDns(_) | Verb::NetTcp(_) | Verb::NetHttp(_) => {
            return Effects { net: true, ..Effects::none() };
        }
        _ => return Effects::none(),
    };
    match (level, asked) {
        (Level::Observe, _) => Effects::none(),
        (Level::Diagnose, _) => Effects { net: true, ..Effects::none() },
        (Level::Remediate, None) => Effects::unconfined(),
        (Level::Remediate, Some(opened)) => {
            Effects { write: opened.write.clone(), net: opened.net, unconfined: false }
        }
    }
}

/// The arguments as they go into the plan: parsed, and without what was left out. Parsing them again gives the same call.
pub fn normal_args(call: &Call) -> Value {
    call.verb.args()
}

/// For a verb that shows a difference: the observe verb and its arguments that read the present state.
///
/// The state comes back as `before` of that task's receipt.
pub fn preparation(call: &Call) -> Option<(&'static str, Value)> {
    let path = match &call.verb {
        Verb::FileWrite(write) => &write.path,
        Verb::FileDelete(delete) => &delete.path,
        _ => return None,
    };
    Some(("file.read", serde_json::json!({ "path": path, "state": true })))
}

/// The digest of a state of a file as a receipt gives it: what goes into the host's leaf as `shown`.
///
/// It is the SHA-256 of the content, and 32 zero bytes where there is no file. The same holds for the `after` of a task that
/// `task.undo` is to take back.
pub fn shown(state: &Value) -> Option<Digest> {
    state.get("digest")?.as_str()?.parse().ok()
}
