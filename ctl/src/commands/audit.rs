//! `audit`: list, follow, export, verify.
//!
//! Export writes what the server tells; only `verify` says whether it holds.

use crate::cli::Session;
use crate::client::encode;
use crate::exit::{Exit, Fault, Outcome};
use crate::follow::person;
use crate::out::{self, Format, col, wide, word};
use crate::sse;
use crate::verify::{self, manifest};
use clap::{Args, Subcommand};
use legator_core::text::{brief, shown_line};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The longest summary of an event, in bytes.
const SUMMARY_BYTES_MAX: usize = 300;
/// What to do with the audit log.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  legatorctl audit list --kind 'plan.*' --limit 20
  legatorctl audit follow
  legatorctl audit export ./log
  legatorctl audit verify ./log --key sha256:…
  legatorctl audit verify ./log --task TASK

verify needs no server. It trusts only the authority's fingerprint that --key names or that login pinned. Exit code 0:
intact, 1: not.")]
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
        Audit::Verify(verify) => verify::run(&verify, &session.wish, session.format),
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
    let rows: Vec<Value> = events.iter().map(with_summary).collect();
    let columns = [
        col("NUMBER", "number"),
        col("AT", "at"),
        col("KIND", "kind"),
        col("BY", "by"),
        wide("HOST", "host"),
        wide("PLAN", "plan"),
        col("WHAT", "summary"),
    ];
    match session.format.is_for_people() {
        true => out::records(session.format, &rows, &columns),
        false => out::records(session.format, &events, &columns),
    }
    Ok(Exit::Ok)
}

/// The event with two fields for people: who, and what in a line.
fn with_summary(event: &Value) -> Value {
    let mut row = event.clone();
    if let Value::Object(fields) = &mut row {
        fields.insert("by".into(), json!(by(event)));
        fields.insert("summary".into(), json!(summary(event)));
    }
    row
}

fn by(event: &Value) -> String {
    let actor = out::at(event, "actor");
    match word(actor, "kind").as_str() {
        "person" => person(&word(actor, "id")),
        "probe" => {
            let name = word(event, "data.name");
            if name.is_empty() { word(actor, "host") } else { name }
        }
        _ => word(actor, "part"),
    }
}

/// What an event says, without what only programs read: digests, keys, envelopes, ids that stand elsewhere.
fn summary(event: &Value) -> String {
    const FIRST: [&str; 7] = ["text", "name", "change", "state", "verified", "reason", "mark"];
    const NEVER: [&str; 21] = [
        "rights",
        "digest",
        "key",
        "envelope",
        "receipt",
        "grant",
        "named",
        "sent",
        "receipts",
        "before",
        "after",
        "decision",
        "effects",
        "approval",
        "person",
        "signed_by",
        "token",
        "same_name",
        "limits_version",
        "detail",
        "tasks",
    ];
    let Some(data) = out::at(event, "data").as_object() else { return word(event, "data") };
    let mut parts: Vec<String> = FIRST
        .iter()
        .filter_map(|field| data.get(*field).filter(|value| !value.is_null()).map(|value| (field, value)))
        // The text of a policy is no line.
        .filter(|(_, value)| value.as_str().is_none_or(|text| !text.contains('\n')))
        .map(|(field, value)| match *field {
            "verified" => if value == &json!(true) { "verified" } else { "NOT verified" }.to_owned(),
            "mark" => out::plain(value).replace('_', " "),
            _ => out::plain(value),
        })
        .collect();
    let rest = data.iter().filter(|(name, value)| {
        let empty =
            value.is_null() || value == &&json!({}) || value == &&json!([]) || value == &&json!(false);
        !empty && !FIRST.contains(&name.as_str()) && !NEVER.contains(&name.as_str())
    });
    parts.extend(rest.map(|(name, value)| format!("{}={}", shown_line(name), out::plain(value))));
    brief(&parts.join(", "), SUMMARY_BYTES_MAX)
}

/// One event on a line.
fn print_event(format: Format, event: &Value) {
    match format.is_for_people() {
        true => {
            let words = ["number", "at", "kind"].map(|field| word(event, field));
            let line = words.into_iter().chain([by(event), summary(event)]);
            out::say(&line.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("  "));
        }
        false => out::say(&out::line(event)),
    }
}

/// Prints events as they come, until the reader goes away.
pub async fn print_events(session: &Session, stream: &mut sse::Stream) -> Outcome {
    while !out::reader_is_gone() {
        let event = stream.next().await?;
        if let Ok(event) = serde_json::from_str::<Value>(&event.data) {
            print_event(session.format, &event);
        }
    }
    Ok(Exit::Ok)
}

async fn follow(session: &Session, after: Option<u64>) -> Outcome {
    let last = after.map(|number| number.to_string());
    let mut stream = sse::Stream::new(&session.client, "/api/v1/events/stream", last);
    print_events(session, &mut stream).await
}

async fn export(session: &Session, dir: &Path) -> Outcome {
    std::fs::create_dir_all(dir).map_err(|error| Fault::failed(format!("{}: {error}", dir.display())))?;
    let log = session.client.bytes("/api/v1/audit/export").await?;
    save(&dir.join(verify::LOG), &log)?;
    let mut plans = Vec::new();
    // Those that the log names, also the readings that no list shows.
    for plan in verify::plans_of(&log) {
        let path = format!("/api/v1/plans/{}/bytes", encode(&plan));
        // A plan without bytes was never made: its preparation is not over, or failed.
        if let Ok(evidence) = session.client.get::<Value>(&path).await {
            plans.extend(evidence.to_string().into_bytes());
            plans.push(b'\n');
        }
    }
    save(&dir.join(verify::PLANS), &plans)?;
    save(&dir.join(manifest::MANIFEST), manifest::of(&log, &plans).as_bytes())?;
    out::note(&format!("  legatorctl audit verify {}", dir.display()));
    Ok(Exit::Ok)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    crate::context::write_private(path, bytes)?;
    out::note(&format!("{}: {} bytes", path.display(), bytes.len()));
    Ok(())
}
