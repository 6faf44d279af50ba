//! `exec` and `do`: make a plan and see it through.
//!
//! Both make the same request: a plan. There is no other way to a host.

use crate::cli::Session;
use crate::exit::{Fault, Outcome};
use crate::follow::{Patience, see_through};
use clap::Args;
use legator_core::level::Level;
use legator_core::span::Span;
use legator_core::verbs;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// What any plan may say.
#[derive(Debug, Args)]
pub struct Asking {
    /// observe, diagnose or remediate [default: the lowest that the verb has]
    #[arg(long)]
    level: Option<Level>,
    /// Why: people who approve read it
    #[arg(long)]
    reason: Option<String>,
    /// How long it waits for approvals, such as 15m
    #[arg(long)]
    decide_in: Option<Span>,
    /// How long it may wait for its hosts, such as 1h
    #[arg(long)]
    expires_in: Option<Span>,
    /// Hosts of one wave
    #[arg(long)]
    batch: Option<u32>,
    /// Hosts at work at the same time
    #[arg(long)]
    max_parallel: Option<u32>,
    /// Start no further host after so many failed
    #[arg(long)]
    stop_after_failures: Option<u32>,
    /// Rest between two waves
    #[arg(long)]
    pause: Option<Span>,
    /// Wait for people to approve too
    #[arg(long)]
    wait: bool,
}

/// Run a command on hosts.
#[derive(Debug, Args)]
pub struct Exec {
    /// Which hosts: a name, or a selector such as env=prod,role in (web,api)
    selector: String,
    /// How long the command may run, such as 30s
    #[arg(long)]
    timeout: Option<Span>,
    /// Its working directory
    #[arg(long)]
    cwd: Option<String>,
    /// At remediate: a path that the command may write; nothing else then
    #[arg(long = "write", value_name = "PATH")]
    write: Vec<String>,
    /// At remediate: the command may use the network
    #[arg(long)]
    net: bool,
    #[command(flatten)]
    asking: Asking,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

/// Do a verb on hosts.
#[derive(Debug, Args)]
pub struct Do {
    /// The verb, such as service.restart
    verb: String,
    /// Which hosts: a name, or a selector
    selector: String,
    /// Its arguments; a value that is JSON is taken as such, @FILE is a file's content
    #[arg(value_name = "KEY=VALUE")]
    args: Vec<String>,
    #[command(flatten)]
    asking: Asking,
}

/// Runs `exec`.
pub async fn exec(session: &Session, exec: Exec) -> Outcome {
    let mut args = Map::from_iter([("argv".to_owned(), json!(exec.argv))]);
    if let Some(timeout) = exec.timeout {
        args.insert("timeout".into(), json!(timeout));
    }
    if let Some(cwd) = exec.cwd {
        args.insert("cwd".into(), json!(cwd));
    }
    if !exec.write.is_empty() || exec.net {
        args.insert("effects".into(), json!({"write": exec.write, "net": exec.net}));
    }
    ask(session, "shell.run", args, &exec.selector, exec.asking).await
}

/// Runs `do`.
pub async fn act(session: &Session, act: Do) -> Outcome {
    let args = act.args.iter().map(|word| argument(&act.verb, word)).collect::<Result<Map<_, _>, _>>()?;
    ask(session, &act.verb, args, &act.selector, act.asking).await
}

/// Whether the verb's schema says that this argument is text, so that `content=1` stays the text `1`.
fn is_text(verb: &str, key: &str) -> bool {
    let schema = verbs::find(verb).map(|spec| (spec.schema)()).unwrap_or_default();
    let kind = schema.pointer(&format!("/properties/{key}/type")).cloned().unwrap_or_default();
    kind == json!("string") || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("string")))
}

fn argument(verb: &str, word: &str) -> Result<(String, Value), Fault> {
    let (key, value) =
        word.split_once('=').ok_or_else(|| Fault::usage(format!("{word:?} is not key=value")))?;
    if let Some(path) = value.strip_prefix('@') {
        let content =
            std::fs::read_to_string(path).map_err(|error| Fault::usage(format!("{path}: {error}")))?;
        return Ok((key.to_owned(), json!(content)));
    }
    let parsed = if is_text(verb, key) { None } else { serde_json::from_str(value).ok() };
    Ok((key.to_owned(), parsed.unwrap_or_else(|| json!(value))))
}

async fn ask(
    session: &Session,
    verb: &str,
    args: Map<String, Value>,
    selector: &str,
    asking: Asking,
) -> Outcome {
    let mut body = Map::from_iter([
        ("verb".to_owned(), json!(verb)),
        ("args".to_owned(), Value::Object(args)),
        ("selector".to_owned(), json!(selector)),
    ]);
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("level", asking.level.map(|level| json!(level)));
    put("reason", asking.reason.as_ref().map(|reason| json!(reason)));
    put("decide_in", asking.decide_in.map(|span| json!(span)));
    put("expires_in", asking.expires_in.map(|span| json!(span)));
    let rollout = rollout(&asking);
    put("rollout", (!rollout.is_empty()).then(|| Value::Object(rollout)));
    // The server answers as soon as nothing more can be waited for; a longer run is followed by its stream.
    let plan = session.client.call(Method::POST, "/api/v1/plans?wait=100ms", &body.into()).await?;
    let patience = if asking.wait { Patience::ForApprovals } else { Patience::ForHosts };
    see_through(session, plan, patience).await
}

fn rollout(asking: &Asking) -> Map<String, Value> {
    let numbers = [
        ("batch", asking.batch),
        ("max_parallel", asking.max_parallel),
        ("stop_after_failures", asking.stop_after_failures),
    ];
    let mut rollout: Map<String, Value> =
        numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect();
    if let Some(pause) = asking.pause {
        rollout.insert("pause".into(), json!(pause));
    }
    rollout
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_argument_is_text_where_the_verb_wants_text() {
        assert_eq!(argument("file.write", "content=1").unwrap().1, json!("1"));
        assert_eq!(argument("service.restart", "name=nginx").unwrap().1, json!("nginx"));
        assert_eq!(argument("process.signal", "pid=12").unwrap().1, json!(12));
        assert!(argument("file.read", "path").is_err());
    }
}
