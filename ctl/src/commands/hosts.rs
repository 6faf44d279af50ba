//! `hosts`: list, show, label, level, revoke, remove, watch.
//!
//! Owns how a host is named on the command line: by its id, or by a name that exactly one host has.

use crate::cli::Session;
use crate::client::encode;
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, col, wide, word};
use crate::sse;
use clap::Subcommand;
use legator_core::ids::HostId;
use legator_core::level::Level;
use reqwest::Method;
use serde_json::{Map, Value, json};

const LIST_MAX: usize = 10_000;

/// What to do with hosts.
#[derive(Debug, Subcommand)]
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
    /// Withdraw a host's credential
    Revoke {
        /// Its name or id
        host: String,
    },
    /// Forget a host
    Remove {
        /// Its name or id
        host: String,
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
        Hosts::Revoke { host } => {
            let id = find(session, &host).await?;
            session.client.call(Method::POST, &format!("/api/v1/hosts/{id}/revoke"), &Value::Null).await?;
            Ok(Exit::Ok)
        }
        Hosts::Remove { host } => {
            let id = find(session, &host).await?;
            session.client.call(Method::DELETE, &format!("/api/v1/hosts/{id}"), &Value::Null).await?;
            Ok(Exit::Ok)
        }
        Hosts::Watch => watch(session).await,
    }
}

async fn list(session: &Session, selector: &str) -> Outcome {
    let query = if selector.is_empty() { String::new() } else { format!("?filter={}", encode(selector)) };
    let hosts = session.client.list(&format!("/api/v1/hosts{query}"), LIST_MAX).await?;
    let columns = [
        col("NAME", "name"),
        col("STATUS", "status"),
        col("LEVEL", "level"),
        col("HEALTH", "health.score"),
        col("RISK", "risk.level"),
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
    out::record(session.format, &host, || {
        let names = [
            ("name", "name"),
            ("id", "id"),
            ("hostname", "hostname"),
            ("status", "status"),
            ("last seen", "last_seen"),
            ("level", "level"),
            ("cage", "cage"),
            ("os", "os"),
            ("probe", "probe.version"),
            ("labels", "labels"),
            ("health", "health.score"),
            ("risk", "risk.level"),
        ];
        let mut text = out::fields(&host, &names);
        for reason in ["health.reasons", "risk.reasons"] {
            for item in out::at(&host, reason).as_array().into_iter().flatten() {
                text.push_str(&format!("  - {}\n", word(item, "text")));
            }
        }
        text
    });
    Ok(Exit::Ok)
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
    let mut stream = sse::Stream::new(&session.client, "/api/v1/events/stream?kind=host.*", None);
    loop {
        let event = stream.next().await?;
        let Ok(event) = serde_json::from_str::<Value>(&event.data) else { continue };
        super::audit::print_event(session.format, &event);
    }
}
