//! `login` and `contexts`: which servers are known, with which keys.
//!
//! Login pins the authority's fingerprint; a server that shows another one later is not trusted for verification.

use crate::context::{self, Context, Contexts, Wish};
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, Format, col, wide, word};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::IsTerminal as _;

/// Store a server and a key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  legatorctl login --server https://legator.example.com prod
  legatorctl login --server https://legator.example.com --fingerprint sha256:… --key-file key prod

The API key is read from LEGATOR_KEY, --key-file or standard input, never from an argument, and stored in
~/.config/legator/contexts.toml (0600) with the authority's fingerprint.")]
pub struct Login {
    /// The name of the context
    #[arg(default_value = "default")]
    name: String,
    /// The authority's fingerprint that you were told; refuses a server with another one
    #[arg(long)]
    fingerprint: Option<String>,
}

/// What to do with contexts.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  legatorctl contexts list
  legatorctl contexts use prod
  legatorctl --context staging hosts list")]
pub enum ContextsCommand {
    /// List them
    List,
    /// Use this one from now on
    Use {
        /// Its name
        name: String,
    },
    /// Forget one
    Remove {
        /// Its name
        name: String,
    },
}

/// Runs `login`. The key comes from LEGATOR_KEY, --key-file or standard input, never from an argument.
pub async fn run(login: Login, wish: &Wish, format: Format) -> Outcome {
    let mut context = context::resolve(wish)?;
    if wish.key.is_none() && context.key.is_none() {
        context.key = read_key()?;
    }
    let client = context::client(&context)?;
    let version: Value = client.get("/version").await?;
    let found = word(&version, "fingerprint");
    let told = login.fingerprint.or(context.authority.clone());
    if let Some(told) = told.filter(|told| *told != found) {
        let text = format!("{} shows the authority {found}, but {told} was pinned", context.server);
        return Err(Fault::new(Exit::Refused, text).hint("ask an administrator which one is right"));
    }
    let me: Value = client.get("/api/v1/me").await?;
    context.authority = Some(found.clone());
    let mut all = Contexts::load()?;
    all.current = Some(login.name.clone());
    all.contexts.insert(login.name.clone(), context);
    all.save()?;
    let text = format!(
        "signed in as {} ({})\nauthority {found} pinned in context {}",
        word(&me, "name"),
        word(&me, "person"),
        login.name
    );
    let record = json!({"context": login.name, "person": word(&me, "person"), "name": word(&me, "name"), "authority": found});
    out::done(format, &record, &text);
    Ok(Exit::Ok)
}

fn read_key() -> Result<Option<String>, Fault> {
    if std::io::stdin().is_terminal() {
        out::ask("API key (empty for a server without authentication): ");
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(Some(line.trim().to_owned()).filter(|key| !key.is_empty()))
}

/// Runs `contexts`.
pub fn contexts(command: ContextsCommand, format: Format) -> Outcome {
    let mut all = Contexts::load()?;
    match command {
        ContextsCommand::List => {
            let current = all.current.clone().unwrap_or_default();
            let row = |(name, context): (&String, &Context)| json!({"name": name, "server": context.server, "authority": context.authority, "current": *name == current});
            let items: Vec<Value> = all.contexts.iter().map(row).collect();
            out::records(
                format,
                &items,
                &[
                    col("NAME", "name"),
                    col("SERVER", "server"),
                    col("CURRENT", "current"),
                    wide("AUTHORITY", "authority"),
                ],
            );
        }
        ContextsCommand::Use { name } => {
            all.pick(Some(&name))?;
            all.current = Some(name);
            all.save()?;
        }
        ContextsCommand::Remove { name } => {
            all.contexts
                .remove(&name)
                .ok_or_else(|| Fault::usage(format!("there is no context {name:?}")))?;
            all.current = all.current.filter(|current| *current != name);
            all.save()?;
        }
    }
    Ok(Exit::Ok)
}
