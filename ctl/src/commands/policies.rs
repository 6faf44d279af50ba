//! `policies` and `freeze`.
//!
//! A policy is a file of rules; it counts once an admin activated it.

use crate::cli::Session;
use crate::client::{body, encode};
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, col, word};
use clap::Subcommand;
use legator_core::level::Level;
use legator_core::span::Span;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What to do with policies.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  legatorctl policies show 0 > rules.cedar
  legatorctl policies simulate service.restart 'env=prod' name=nginx --file rules.cedar
  legatorctl policies create rules.cedar --note \"two persons for payments\"
  legatorctl policies activate 1")]
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
        /// The verb's arguments, as in `legatorctl do`
        #[arg(value_name = "KEY=VALUE")]
        args: Vec<String>,
        /// observe, diagnose or remediate [default: the lowest that the verb has]
        #[arg(long)]
        level: Option<Level>,
        /// A file of rules to try instead of those in force
        #[arg(long)]
        file: Option<PathBuf>,
    },
}

/// Windows in which nothing but reads runs.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  legatorctl freeze add --for 2h --reason \"Black Friday\"
  legatorctl freeze add 'role=db' --for 30m --reason \"a migration runs\"
  legatorctl freeze list
  legatorctl freeze remove FREEZE")]
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
            let body = body([("text", Some(json!(read(&file)?))), ("note", note.map(Value::from))]);
            let policy = session.client.call(Method::POST, "/api/v1/policies", &body).await?;
            let version = word(&policy, "version");
            out::record(session.format, &policy, || {
                format!("version {version}, not in force\n  legatorctl policies activate {version}")
            });
        }
        Policies::Activate { version } => {
            let path = format!("/api/v1/policies/{version}/activate");
            let policy = session.client.call(Method::POST, &path, &Value::Null).await?;
            out::done(session.format, &policy, &format!("policy {version} is in force"));
        }
        Policies::Simulate { verb, selector, args, level, file } => {
            let args = super::exec::arguments(&verb, &args)?;
            let body = body([
                ("verb", Some(json!(verb))),
                ("selector", Some(json!(selector))),
                ("args", Some(args.into())),
                ("level", level.map(|level| json!(level))),
                ("policy", file.map(|file| read(&file)).transpose()?.map(Value::from)),
            ]);
            super::verdict::simulate(session, &body).await?;
        }
    }
    Ok(Exit::Ok)
}

fn read(file: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(file).map_err(|error| Fault::usage(format!("{}: {error}", file.display())))
}

/// Runs `freeze`.
pub async fn freeze(session: &Session, command: Freeze) -> Outcome {
    match command {
        Freeze::List => {
            let items = session.client.list("/api/v1/freezes", 1_000).await?;
            let columns = [
                col("ID", "id"),
                col("HOSTS", "selector"),
                col("OPEN", "open"),
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
                let (hosts, until, id) =
                    (word(&freeze, "selector"), word(&freeze, "until"), word(&freeze, "id"));
                format!("{hosts} is frozen until {until}\n  legatorctl freeze remove {id}")
            });
        }
        Freeze::Remove { id } => {
            let path = format!("/api/v1/freezes/{}", encode(&id));
            let freeze = session.client.call(Method::DELETE, &path, &Value::Null).await?;
            out::done(session.format, &freeze, &format!("{id} is closed"));
        }
    }
    Ok(Exit::Ok)
}
