//! `persons` and `rights`.
//!
//! An API key's secret is shown once, when the key is made.

use crate::cli::Session;
use crate::client::{body, encode};
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, col, word};
use clap::Subcommand;
use legator_core::rights::Role;
use legator_core::span::Span;
use reqwest::Method;
use serde_json::{Value, json};

/// What to do with persons and their API keys.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  legatorctl persons create alice --role operator --role approver=env=staging
  legatorctl persons key PERSON --expires-in 90d
  legatorctl persons list")]
pub enum Persons {
    /// List them
    List,
    /// Make one
    Create {
        /// A name
        name: String,
        /// viewer, operator, approver, admin or auditor; ROLE=SELECTOR for some hosts only
        #[arg(long = "role", required = true)]
        roles: Vec<String>,
    },
    /// Make an API key for a person
    Key {
        /// The person's id
        person: String,
        /// How long it is good, such as 90d
        #[arg(long)]
        expires_in: Option<Span>,
    },
    /// Withdraw an API key
    RevokeKey {
        /// The key's id
        key: String,
    },
}

/// Whether the rights are as they were sealed.
#[derive(Debug, Subcommand)]
pub enum Rights {
    /// What is broken
    Show,
    /// Accept the rights as they are now: admins only
    Accept {
        /// Why
        #[arg(long)]
        reason: String,
    },
}

fn role(text: &str) -> Result<Value, Fault> {
    let (role, selector) =
        text.split_once('=').map_or((text, None), |(role, selector)| (role, Some(selector)));
    let role: Role = role.parse().map_err(Fault::usage)?;
    Ok(selector.map_or(json!({"role": role}), |selector| json!({"role": role, "selector": selector})))
}

/// Runs `persons`.
pub async fn persons(session: &Session, command: Persons) -> Outcome {
    match command {
        Persons::List => {
            let items = session.client.list("/api/v1/persons", 10_000).await?;
            out::records(
                session.format,
                &items,
                &[col("ID", "id"), col("NAME", "name"), col("ROLES", "roles")],
            );
        }
        Persons::Create { name, roles } => {
            let roles = roles.iter().map(|text| role(text)).collect::<Result<Vec<_>, _>>()?;
            let person = session
                .client
                .call(Method::POST, "/api/v1/persons", &json!({"name": name, "roles": roles}))
                .await?;
            out::record(session.format, &person, || word(&person, "id"));
        }
        Persons::Key { person, expires_in } => {
            let body =
                body([("person", Some(json!(person))), ("expires_in", expires_in.map(|span| json!(span)))]);
            let key = session.client.call(Method::POST, "/api/v1/keys", &body).await?;
            out::record(session.format, &key, || word(&key, "key"));
        }
        Persons::RevokeKey { key } => {
            let path = format!("/api/v1/keys/{}", encode(&key));
            let answer = session.client.call(Method::DELETE, &path, &Value::Null).await?;
            out::done(session.format, &answer, &format!("{key} is withdrawn"));
        }
    }
    Ok(Exit::Ok)
}

/// Runs `rights`.
pub async fn rights(session: &Session, command: Rights) -> Outcome {
    let answer = match command {
        Rights::Show => session.client.get::<Value>("/api/v1/rights").await?,
        Rights::Accept { reason } => {
            session.client.call(Method::POST, "/api/v1/rights/accept", &json!({"reason": reason})).await?
        }
    };
    out::record(session.format, &answer, || {
        let whole =
            if out::at(&answer, "whole") == &json!(true) { "as sealed" } else { "CHANGED outside Legator" };
        let mut text = out::pairs_text(&[
            ("rights", whole.to_owned()),
            ("version", word(&answer, "version")),
            ("rows", word(&answer, "rows")),
        ]);
        for row in out::list(&answer, "broken") {
            text.push_str(&format!("  {}\n", out::plain(row)));
        }
        text
    });
    Ok(Exit::Ok)
}
