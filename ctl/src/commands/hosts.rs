//! `hosts`: list, show, label, level, revoke, remove, watch.
//!
//! Owns how a host is named on the command line: by its id, or by a name that exactly one host has.

use crate::cli::Session;
use crate::client::encode;
use crate::commands::prompt;
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, col, state, wide, word};
use crate::sse;
use clap::Subcommand;
use legator_core::ids::HostId;
use legator_core::level::Level;
use legator_core::text::shown_line;
use reqwest::Method;
use serde_json::{Map, Value, json};

const LIST_MAX: usize = 10_000;

/// What to do with hosts.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  legatorctl hosts list
  legatorctl hosts list 'env=prod,role in (web,api)' -o wide
  legatorctl hosts show web-03
  legatorctl hosts inventory web-03 packages -o json
  legatorctl hosts label web-03 env=prod owner-
  legatorctl hosts level web-03 observe")]
pub enum Hosts {
    /// List hosts
    List {
        /// Only these, such as env=prod,role in (web,api)
        #[arg(default_value = "")]
        selector: String,
    },
    /// Everything about one host
    Show {
        /// Its name or id
        host: String,
    },
    /// What a host is: all parts, or one
    Inventory {
        /// Its name or id
        host: String,
        /// The part, such as packages
        part: Option<String>,
    },
    /// Set and remove labels
    Label {
        /// Its name or id
        host: String,
        /// key=value to set, key- to remove
        #[arg(required = true)]
        labels: Vec<String>,
    },
    /// Set the ceiling of what may run
    Level {
        /// Its name or id
        host: String,
        /// observe, diagnose or remediate
        level: Level,
    },
    /// Withdraw a host's credential: nothing runs there any more
    Revoke {
        /// Its name or id
        host: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Forget a host
    Remove {
        /// Its name or id
        host: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Follow what happens to hosts
    Watch,
}

/// Runs it.
pub async fn run(session: &Session, command: Hosts) -> Outcome {
    match command {
        Hosts::List { selector } => list(session, &selector).await,
        Hosts::Show { host } => show(session, &host).await,
        Hosts::Inventory { host, part } => inventory(session, &host, part).await,
        Hosts::Label { host, labels } => label(session, &host, &labels).await,
        Hosts::Level { host, level } => change(session, &host, json!({"level": level})).await,
        Hosts::Revoke { host, yes } => end(session, End { host, yes, word: "revoke" }).await,
        Hosts::Remove { host, yes } => end(session, End { host, yes, word: "remove" }).await,
        Hosts::Watch => watch(session).await,
    }
}

/// The end of a host's time here.
struct End {
    host: String,
    yes: bool,
    word: &'static str,
}

async fn end(session: &Session, end: End) -> Outcome {
    let id = find(session, &end.host).await?;
    let question = format!("type {} to {0} {} ({id}): ", end.word, shown_line(&end.host));
    if !end.yes && !prompt::confirmed(&question, end.word).await? {
        out::note("nothing was done");
        return Ok(Exit::Failed);
    }
    let path = format!("/api/v1/hosts/{id}");
    let (method, path) = match end.word {
        "revoke" => (Method::POST, format!("{path}/revoke")),
        _ => (Method::DELETE, path),
    };
    let answer = session.client.call(method, &path, &Value::Null).await?;
    out::done(session.format, &answer, &format!("{} is {}d", shown_line(&end.host), end.word));
    Ok(Exit::Ok)
}

async fn list(session: &Session, selector: &str) -> Outcome {
    let query = if selector.is_empty() { String::new() } else { format!("?filter={}", encode(selector)) };
    let hosts = session.client.list(&format!("/api/v1/hosts{query}"), LIST_MAX).await?;
    let columns = [
        col("NAME", "name"),
        state("STATUS", "status"),
        col("LEVEL", "level"),
        col("HEALTH", "health.score"),
        state("RISK", "risk.level"),
        col("CAGE", "cage"),
        wide("OS", "os"),
        wide("PROBE", "probe.version"),
        wide("LAST SEEN", "last_seen"),
        wide("ID", "id"),
        col("LABELS", "labels"),
    ];
    out::records(session.format, &hosts, &columns);
    Ok(Exit::Ok)
}

/// The id of the host of this name or id.
pub async fn find(session: &Session, host: &str) -> Result<HostId, Fault> {
    if let Ok(id) = host.parse() {
        return Ok(id);
    }
    let hosts =
        session.client.list(&format!("/api/v1/hosts?filter={}", encode(&format!("name={host}"))), 10).await?;
    match hosts.as_slice() {
        [] => Err(Fault::usage(format!("there is no host {host:?}")).hint("legatorctl hosts list")),
        [one] => word(one, "id").parse().map_err(|_| Fault::failed("the server's answer has no host id")),
        several => {
            let ids: Vec<String> = several.iter().map(|host| word(host, "id")).collect();
            Err(Fault::usage(format!("several hosts are named {host:?}: say which id")).hint(ids.join(" ")))
        }
    }
}

async fn show(session: &Session, host: &str) -> Outcome {
    let id = find(session, host).await?;
    let host: Value = session.client.get(&format!("/api/v1/hosts/{id}")).await?;
    out::record(session.format, &host, || text(&host));
    Ok(Exit::Ok)
}

/// A host for people.
fn text(host: &Value) -> String {
    let part = |path: &str| word(host, path);
    let reasons = |path: &str| {
        let texts: Vec<String> = out::list(host, path).iter().map(|reason| word(reason, "text")).collect();
        texts.iter().map(|text| format!("  {text}\n")).collect::<String>()
    };
    let missing = part("cage_missing");
    let cage = if missing.is_empty() { part("cage") } else { format!("{}, without {missing}", part("cage")) };
    let mut text = out::pairs_text(&[
        ("name", part("name")),
        ("id", part("id")),
        ("hostname", part("hostname")),
        ("status", part("status")),
        ("last seen", part("last_seen")),
        ("level", part("level")),
        ("own limit", part("probe.max_level")),
        ("cage", cage),
        ("os", part("os")),
        ("probe", part("probe.version")),
        ("enrolled", part("enrolled_at")),
        ("cloned", part("cloned_at")),
        ("labels", part("labels")),
        ("key", part("key")),
    ]);
    for (title, value, path) in
        [("health", "health.score", "health.reasons"), ("risk", "risk.level", "risk.reasons")]
    {
        text.push_str(&format!("{title:<9}  {}\n{}", out::tinted(&part(value)), reasons(path)));
    }
    text
}

async fn inventory(session: &Session, host: &str, part: Option<String>) -> Outcome {
    let id = find(session, host).await?;
    let tail = part.map_or(String::new(), |part| format!("/{}", encode(&part)));
    let found: Value = session.client.get(&format!("/api/v1/hosts/{id}/inventory{tail}")).await?;
    out::record(session.format, &found, || out::pretty(&found));
    Ok(Exit::Ok)
}

async fn label(session: &Session, host: &str, words: &[String]) -> Outcome {
    let mut labels = Map::new();
    for word in words {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) => labels.insert(key.to_owned(), json!(value)),
            (None, Some(key)) => labels.insert(key.to_owned(), Value::Null),
            (None, None) => return Err(Fault::usage(format!("{word:?} is neither key=value nor key-"))),
        };
    }
    change(session, host, json!({"labels": labels})).await
}

async fn change(session: &Session, host: &str, body: Value) -> Outcome {
    let id = find(session, host).await?;
    let host = session.client.call(Method::PATCH, &format!("/api/v1/hosts/{id}"), &body).await?;
    out::record(session.format, &host, || {
        out::fields(&host, &[("name", "name"), ("level", "level"), ("labels", "labels")])
    });
    Ok(Exit::Ok)
}

async fn watch(session: &Session) -> Outcome {
    out::note("following what happens to hosts; Ctrl-C ends it");
    let mut stream = sse::Stream::new(&session.client, "/api/v1/events/stream?kind=host.*", None);
    super::audit::print_events(session, &mut stream).await
}
