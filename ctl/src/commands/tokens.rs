//! `tokens`: registration tokens for new probes.
//!
//! The secret is shown once, when the token is made.

use crate::cli::Session;
use crate::client::{body, encode};
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, col, word};
use clap::{Args, Subcommand};
use legator_core::level::Level;
use legator_core::span::Span;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  legatorctl tokens create
  legatorctl tokens create --uses 20 --expires-in 1h --label env=prod --level diagnose
  legatorctl tokens list")]
pub enum Tokens {
    /// Make one
    Create(Create),
    /// List them
    List,
    /// Withdraw one
    Revoke {
        /// Its id
        id: String,
    },
}

/// A new token.
#[derive(Debug, Args)]
pub struct Create {
    /// How often it may be used [default: once]
    #[arg(long)]
    uses: Option<u32>,
    /// How long it is good, such as 1h
    #[arg(long)]
    expires_in: Option<Span>,
    /// Labels for the hosts that it enrols
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// The highest level of these hosts
    #[arg(long)]
    level: Option<Level>,
}

/// Runs it.
pub async fn run(session: &Session, command: Tokens) -> Outcome {
    match command {
        Tokens::Create(create) => make(session, create).await,
        Tokens::List => {
            let tokens = session.client.list("/api/v1/tokens", 1_000).await?;
            let columns = [
                col("ID", "id"),
                col("USED", "used"),
                col("OF", "uses"),
                col("LEVEL", "level"),
                col("EXPIRES", "expires_at"),
                col("LABELS", "labels"),
            ];
            out::records(session.format, &tokens, &columns);
            Ok(Exit::Ok)
        }
        Tokens::Revoke { id } => {
            let path = format!("/api/v1/tokens/{}", encode(&id));
            let token = session.client.call(Method::DELETE, &path, &Value::Null).await?;
            out::done(session.format, &token, &format!("{id} is withdrawn"));
            Ok(Exit::Ok)
        }
    }
}

/// Labels from `key=value` words.
fn labels(words: &[String]) -> Result<Map<String, Value>, Fault> {
    let pair = |word: &String| {
        let (key, value) =
            word.split_once('=').ok_or_else(|| Fault::usage(format!("{word:?} is not key=value")))?;
        Ok((key.to_owned(), json!(value)))
    };
    words.iter().map(pair).collect()
}

async fn make(session: &Session, create: Create) -> Outcome {
    let labels = if create.labels.is_empty() { None } else { Some(labels(&create.labels)?.into()) };
    let body = body([
        ("uses", create.uses.map(|uses| json!(uses))),
        ("expires_in", create.expires_in.map(|span| json!(span))),
        ("level", create.level.map(|level| json!(level))),
        ("labels", labels),
    ]);
    let token = session.client.call(Method::POST, "/api/v1/tokens", &body).await?;
    out::record(session.format, &token, || word(&token, "token"));
    if session.format.is_for_people() {
        let (server, text) = (session.client.base(), word(&token, "token"));
        out::note(&format!("on the host:\n  legator-probe run --server {server} --token {text}"));
    }
    Ok(Exit::Ok)
}
