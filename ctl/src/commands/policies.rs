//! `policies` and `freeze`.
//!
//! A policy is a file of rules; it counts once an admin activated it.

use crate::cli::Session;
use crate::client::{body, encode};
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, col, word};
use clap::Subcommand;
use legator_core::span::Span;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub enum Policies {
    /// List versions
    List,
    /// One version's rules
    Show {
        /// Its number; 0 is the built-in one
        version: u64,
    },
    /// Store a new version; it does not count yet
    Create {
        /// A file of Cedar rules
        file: PathBuf,
        /// What it is for
        #[arg(long)]
        note: Option<String>,
    },
    /// Let a version count
    Activate {
        /// Its number; 0 is the built-in one
        version: u64,
    },
    /// What would be decided
    Simulate {
        /// The verb
        verb: String,
        /// Which hosts
        selector: String,
        /// The verb's arguments, key=value
        args: Vec<String>,
    },
}

/// Windows in which nothing but reads runs.
#[derive(Debug, Subcommand)]
pub enum Freeze {
    /// List them
    List,
    /// Open one, now or later
    Add {
        /// Which hosts [default: all]
        #[arg(default_value = "*")]
        selector: String,
        /// How long, such as 2h
        #[arg(long = "for", value_name = "DURATION")]
        length: Span,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Close one
    Remove {
        /// Its id
        id: String,
    },
}

/// Runs `policies`.
pub async fn run(session: &Session, command: Policies) -> Outcome {
    match command {
        Policies::List => {
            let items = session.client.list("/api/v1/policies", 1_000).await?;
            let columns = [
                col("VERSION", "version"),
                col("ACTIVE", "active"),
                col("MADE", "made_at"),
                col("NOTE", "note"),
            ];
            out::records(session.format, &items, &columns);
        }
        Policies::Show { version } => {
            let policy: Value = session.client.get(&format!("/api/v1/policies/{version}")).await?;
            out::record(session.format, &policy, || {
                legator_core::text::shown(out::at(&policy, "text").as_str().unwrap_or(""))
            });
        }
        Policies::Create { file, note } => {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| Fault::usage(format!("{}: {error}", file.display())))?;
            let body = body([("text", Some(json!(text))), ("note", note.map(Value::from))]);
            let policy = session.client.call(Method::POST, "/api/v1/policies", &body).await?;
            out::record(session.format, &policy, || format!("version {}", word(&policy, "version")));
        }
        Policies::Activate { version } => {
            session
                .client
                .call(Method::POST, &format!("/api/v1/policies/{version}/activate"), &Value::Null)
                .await?;
        }
        Policies::Simulate { verb, selector, args } => {
            let body = json!({"verb": verb, "selector": selector, "args": super::tokens::pairs(&args)?});
            let answer = session.client.call(Method::POST, "/api/v1/policies/simulate", &body).await?;
            out::record(session.format, &answer, || out::pretty(&answer));
        }
    }
    Ok(Exit::Ok)
}

/// Runs `freeze`.
pub async fn freeze(session: &Session, command: Freeze) -> Outcome {
    match command {
        Freeze::List => {
            let items = session.client.list("/api/v1/freezes", 1_000).await?;
            let columns = [
                col("ID", "id"),
                col("HOSTS", "selector"),
                col("FROM", "from"),
                col("UNTIL", "until"),
                col("REASON", "reason"),
            ];
            out::records(session.format, &items, &columns);
        }
        Freeze::Add { selector, length, reason } => {
            let until = super::keys::now() + length;
            let body = json!({"selector": selector, "until": until, "reason": reason});
            let freeze = session.client.call(Method::POST, "/api/v1/freezes", &body).await?;
            out::record(session.format, &freeze, || {
                format!("frozen until {}: {}", word(&freeze, "until"), word(&freeze, "id"))
            });
        }
        Freeze::Remove { id } => {
            session
                .client
                .call(Method::DELETE, &format!("/api/v1/freezes/{}", encode(&id)), &Value::Null)
                .await?;
        }
    }
    Ok(Exit::Ok)
}
