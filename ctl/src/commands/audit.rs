//! `audit`: list, follow, export, verify.
//!
//! Export writes what the server tells; only `verify` says whether it holds.

use crate::cli::Session;
use crate::client::encode;
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, Format, col, wide, word};
use crate::sse;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Plans of one export, at most.
const PLANS_MAX: usize = 1_000_000;

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List events
    List(List),
    /// Follow events as they are numbered
    Follow {
        /// After this number
        #[arg(long)]
        after: Option<u64>,
    },
    /// Write the whole log into a folder
    Export {
        /// The folder; made if it is not there
        dir: PathBuf,
    },
    /// Check an exported log, without the server
    Verify(Verify),
}

/// Which events.
#[derive(Debug, Args)]
pub struct List {
    /// After this number
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Only of this kind, such as plan.made or task.*
    #[arg(long)]
    kind: Option<String>,
    /// Only about this host (id)
    #[arg(long)]
    host: Option<String>,
    /// Only about this plan
    #[arg(long)]
    plan: Option<String>,
}

/// Check an exported log.
#[derive(Debug, Args)]
pub struct Verify {
    /// The folder
    pub dir: PathBuf,
    /// The authority's fingerprint [default: the one that login pinned]
    #[arg(long)]
    pub key: Option<String>,
    /// A file with a checkpoint seen earlier [default: the one that this program remembers]
    #[arg(long)]
    pub since: Option<PathBuf>,
    /// Show grant, approvals and receipt of this task
    #[arg(long)]
    pub task: Option<String>,
}

/// Runs it.
pub async fn run(session: &Session, command: Audit) -> Outcome {
    match command {
        Audit::List(list) => show(session, list).await,
        Audit::Follow { after } => follow(session, after).await,
        Audit::Export { dir } => export(session, &dir).await,
        Audit::Verify(verify) => crate::verify::run(&verify, &session.wish, session.format),
    }
}

async fn show(session: &Session, list: List) -> Outcome {
    let page = list.limit.clamp(1, 500);
    let mut path = format!("/api/v1/events?after={}&limit={page}", list.after);
    for (name, value) in [("kind", list.kind), ("host", list.host), ("plan", list.plan)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encode(&value)));
        }
    }
    let events = session.client.list(&path, list.limit).await?;
    let columns = [
        col("NUMBER", "number"),
        col("AT", "at"),
        col("KIND", "kind"),
        col("ACTOR", "actor"),
        wide("HOST", "host"),
        wide("PLAN", "plan"),
        col("DATA", "data"),
    ];
    out::records(session.format, &events, &columns);
    Ok(Exit::Ok)
}

/// One event on a line.
pub fn print_event(format: Format, event: &Value) {
    match format {
        Format::Table | Format::Wide => {
            let words = ["number", "at", "kind", "host", "plan", "data"].map(|field| word(event, field));
            out::say(&words.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("  "));
        }
        _ => out::say(&event.to_string()),
    }
}

async fn follow(session: &Session, after: Option<u64>) -> Outcome {
    let mut stream =
        sse::Stream::new(&session.client, "/api/v1/events/stream", after.map(|number| number.to_string()));
    loop {
        let event = stream.next().await?;
        if let Ok(event) = serde_json::from_str::<Value>(&event.data) {
            print_event(session.format, &event);
        }
    }
}

async fn export(session: &Session, dir: &Path) -> Outcome {
    std::fs::create_dir_all(dir).map_err(|error| Fault::failed(format!("{}: {error}", dir.display())))?;
    let log = session.client.bytes("/api/v1/audit/export").await?;
    save(&dir.join(crate::verify::LOG), &log)?;
    let mut plans = Vec::new();
    for plan in session.client.list("/api/v1/plans?limit=500", PLANS_MAX).await? {
        let path = format!("/api/v1/plans/{}/bytes", encode(&word(&plan, "id")));
        // A plan without bytes was never made: its preparation is not over, or failed.
        if let Ok(evidence) = session.client.get::<Value>(&path).await {
            plans.extend(evidence.to_string().into_bytes());
            plans.push(b'\n');
        }
    }
    save(&dir.join(crate::verify::PLANS), &plans)?;
    Ok(Exit::Ok)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    crate::context::write_private(path, bytes)?;
    out::note(&format!("{}: {} bytes", path.display(), bytes.len()));
    Ok(())
}
