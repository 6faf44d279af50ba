//! `tokens`: registration tokens for new probes.
//!
//! The secret is shown once, when the token is made.

use crate::cli::Session;
use crate::client::encode;
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, col, word};
use clap::{Args, Subcommand};
use legator_core::level::Level;
use legator_core::span::Span;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
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
            session
                .client
                .call(Method::DELETE, &format!("/api/v1/tokens/{}", encode(&id)), &Value::Null)
                .await?;
            Ok(Exit::Ok)
        }
    }
}

/// `key=value` words as an object.
pub fn pairs(words: &[String]) -> Result<Map<String, Value>, Fault> {
    let pair = |word: &String| {
        let (key, value) =
            word.split_once('=').ok_or_else(|| Fault::usage(format!("{word:?} is not key=value")))?;
        Ok((key.to_owned(), json!(value)))
    };
    words.iter().map(pair).collect()
}

async fn make(session: &Session, create: Create) -> Outcome {
    let mut body = Map::new();
    if let Some(uses) = create.uses {
        body.insert("uses".into(), json!(uses));
    }
    if let Some(span) = create.expires_in {
        body.insert("expires_in".into(), json!(span));
    }
    if let Some(level) = create.level {
        body.insert("level".into(), json!(level));
    }
    if !create.labels.is_empty() {
        body.insert("labels".into(), pairs(&create.labels)?.into());
    }
    let token = session.client.call(Method::POST, "/api/v1/tokens", &body.into()).await?;
    out::record(session.format, &token, || {
        let command =
            format!("legator-probe run --server {} --token {}", session.client.base(), word(&token, "token"));
        format!("{}\n\non the host:\n  {command}\n", word(&token, "token"))
    });
    Ok(Exit::Ok)
}
