//! `exec` and `do`: make a plan and see it through.
//!
//! Owns how words become a verb's arguments. Both commands make the same request: a plan. There is no other way to a host.

use crate::cli::Session;
use crate::commands::verdict;
use crate::exit::{Fault, Outcome};
use crate::follow::{Patience, see_through};
use clap::Args;
use legator_core::level::Level;
use legator_core::span::Span;
use legator_core::verbs;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::io::Read as _;

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
    /// Only say what the policy would decide: exit code 0, 3 or 5
    #[arg(long)]
    dry_run: bool,
}

/// Run a command on hosts.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  legatorctl exec web-03 -- uptime
  legatorctl exec 'env=prod,role in (web,api)' -o json -- df -h /
  legatorctl exec web-03 --level diagnose --timeout 30s -- ping -c1 db-01
  legatorctl exec web-03 --level remediate --write /var/cache/app --reason \"full\" -- rm -r /var/cache/app/old

At observe, the lowest level, the command runs in a kernel cage that cannot write, signal or use the network, and
nobody is asked. Above it a plan waits for approvals (exit code 5). Output of several hosts has the host's name before
each line; -o json prints one object a host: host state exit_code stdout stderr reason.")]
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
#[command(after_help = "Examples:
  legatorctl do service.restart web-03 name=nginx --reason \"it hangs\"
  legatorctl do file.read 'env=prod' path=/etc/hosts
  legatorctl do file.write web-03 path=/etc/motd content=@motd.txt
  legatorctl do shell.run web-03 'argv=[\"df\",\"-h\"]'

Arguments have the types of the verb's schema (legatorctl verbs VERB). A value is text where the verb wants text, else
JSON. @FILE is a file's content, @- standard input; @@ stands for a text that begins with @.")]
pub struct Do {
    /// The verb, such as service.restart
    verb: String,
    /// Which hosts: a name, or a selector
    selector: String,
    /// Its arguments: text, JSON, or @FILE
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
    let args = arguments(&act.verb, &act.args)?;
    ask(session, &act.verb, args, &act.selector, act.asking).await
}

/// The arguments of a verb from `key=value` words.
pub fn arguments(verb: &str, words: &[String]) -> Result<Map<String, Value>, Fault> {
    let mut found = Map::new();
    for word in words {
        let (key, value) = argument(verb, word)?;
        if found.insert(key.clone(), value).is_some() {
            return Err(Fault::usage(format!("{key} is given twice")));
        }
    }
    Ok(found)
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
    if let Some(rest) = value.strip_prefix('@').filter(|rest| !rest.starts_with('@')) {
        return Ok((key.to_owned(), json!(content(rest)?)));
    }
    let value = value.strip_prefix('@').unwrap_or(value);
    let parsed = if is_text(verb, key) { None } else { serde_json::from_str(value).ok() };
    Ok((key.to_owned(), parsed.unwrap_or_else(|| json!(value))))
}

/// The text of a file, at most as much as a verb takes.
fn content(path: &str) -> Result<String, Fault> {
    let fault = |error: std::io::Error| Fault::usage(format!("{path}: {error}"));
    let most = verbs::CONTENT_BYTES_MAX as u64 + 1;
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().lock().take(most).read_to_string(&mut text),
        path => std::fs::File::open(path).map_err(fault)?.take(most).read_to_string(&mut text),
    };
    read.map_err(fault)?;
    if text.len() as u64 == most {
        return Err(Fault::usage(format!("{path} has more than {} bytes", verbs::CONTENT_BYTES_MAX)));
    }
    Ok(text)
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
    if let Some(level) = asking.level {
        body.insert("level".to_owned(), json!(level));
    }
    if asking.dry_run {
        return verdict::simulate(session, &body.into()).await.map(|effect| effect.exit());
    }
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
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
        assert_eq!(argument("file.write", "content=@@home").unwrap().1, json!("@home"));
        assert_eq!(argument("shell.run", "argv=[\"ls\"]").unwrap().1, json!(["ls"]));
        assert!(argument("file.read", "path").is_err());
        assert!(argument("file.write", "content=@/nowhere").is_err());
        assert!(arguments("file.read", &["path=/a".into(), "path=/b".into()]).is_err());
    }
}
