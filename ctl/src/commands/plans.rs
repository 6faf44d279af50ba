//! `plans` and `why`.
//!
//! Shows plans and their tasks as the server tells them; what an approver sees is rendered elsewhere, from the plan's own bytes.

use crate::cli::Session;
use crate::client::encode;
use crate::commands::verdict;
use crate::exit::{Exit, Outcome};
use crate::follow::{self, Patience};
use crate::out::{self, col, state, wide, word};
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

/// What to do with plans.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  legatorctl plans list --state pending
  legatorctl plans show PLAN
  legatorctl plans watch PLAN
  legatorctl plans undo PLAN --reason \"it made it worse\"")]
pub enum Plans {
    /// List them, newest first
    List {
        /// Only those in this state
        #[arg(long)]
        state: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// One plan with its tasks
    Show {
        /// Its id
        plan: String,
    },
    /// Follow one until it ends
    Watch {
        /// Its id
        plan: String,
    },
    /// Take one back
    Cancel {
        /// Its id
        plan: String,
    },
    /// Plan to undo what one did
    Undo {
        /// Its id
        plan: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
}

/// Runs it.
pub async fn run(session: &Session, command: Plans) -> Outcome {
    match command {
        Plans::List { state, limit } => list(session, state, limit).await,
        Plans::Show { plan } => {
            let plan: Value = session.client.get(&path(&plan, "")).await?;
            out::record(session.format, &plan, || text(&plan));
            Ok(Exit::Ok)
        }
        Plans::Watch { plan } => {
            let plan: Value = session.client.get(&path(&plan, "")).await?;
            follow::see_through(session, plan, Patience::ForApprovals).await
        }
        Plans::Cancel { plan } => {
            let plan = session.client.call(Method::POST, &path(&plan, "/cancel"), &Value::Null).await?;
            out::record(session.format, &plan, || text(&plan));
            Ok(Exit::Ok)
        }
        Plans::Undo { plan, reason } => {
            let body = reason.map_or(json!({}), |reason| json!({"reason": reason}));
            let plan = session.client.call(Method::POST, &path(&plan, "/undo"), &body).await?;
            follow::see_through(session, plan, Patience::ForHosts).await
        }
    }
}

fn path(plan: &str, tail: &str) -> String {
    format!("/api/v1/plans/{}{tail}", encode(plan))
}

async fn list(session: &Session, wanted: Option<String>, limit: usize) -> Outcome {
    let page = limit.clamp(1, 500);
    let filter = wanted.map_or(String::new(), |state| format!("&state={}", encode(&state)));
    let plans = session.client.list(&format!("/api/v1/plans?limit={page}{filter}"), limit).await?;
    let columns = [
        col("ID", "id"),
        state("STATE", "state"),
        col("LEVEL", "level"),
        col("HOSTS", "hosts_total"),
        col("MADE", "made_at"),
        wide("ASKED BY", "requester"),
        wide("VERB", "verb"),
        wide("TASKS", "counts"),
        col("DOES", "text"),
    ];
    out::records(session.format, &plans, &columns);
    Ok(Exit::Ok)
}

/// A plan for people.
pub fn text(plan: &Value) -> String {
    let part = |path: &str| word(plan, path);
    let hosts: Vec<String> = out::list(plan, "hosts").iter().map(|host| word(host, "name")).collect();
    let needed = out::at(plan, "decision.approvals_needed").as_u64().unwrap_or(0);
    let votes = out::list(plan, "approvals");
    let yes = votes.iter().filter(|vote| word(vote, "decision") == "approve").count();
    let mut text = out::pairs_text(&[
        ("plan", part("id")),
        ("state", part("state")),
        ("does", part("text")),
        ("verb", part("verb")),
        ("arguments", out::line(&crate::plan::veiled(out::at(plan, "args")))),
        ("level", part("level")),
        ("hosts", format!("{}: {}", part("hosts_total"), hosts.join(", "))),
        ("left out", part("left_out")),
        ("asked by", follow::person(&part("requester"))),
        ("reason", part("reason")),
        ("decision", format!("{} (rule {})", part("decision.reason"), part("decision.rule"))),
        ("approvals", if needed == 0 { String::new() } else { format!("{yes} of {needed}") }),
        ("frozen", part("frozen_until")),
        ("digest", part("digest")),
        ("made", part("made_at")),
        ("decide by", if part("state") == "pending" { part("decide_by") } else { String::new() }),
        ("expires", if part("ended_at").is_empty() { part("expires_at") } else { String::new() }),
        ("ended", part("ended_at")),
    ]);
    let section = |title: &str, lines: Vec<String>| match lines.is_empty() {
        true => String::new(),
        false => format!("{title}\n{}", lines.iter().map(|line| format!("  {line}\n")).collect::<String>()),
    };
    text.push_str(&section("votes", votes.iter().map(verdict::vote_line).collect()));
    text.push_str(&section("tasks", follow::tasks(plan).iter().flat_map(task_lines).collect()));
    text
}

/// A task: how it ended, its id, and what the verb says of the state before and after.
fn task_lines(task: &Value) -> Vec<String> {
    let mut lines = vec![follow::end_line(task), format!("  {}", word(task, "id"))];
    for (title, field) in [("before", "before"), ("after ", "after")] {
        let state = word(task, field);
        if !state.is_empty() {
            lines.push(format!("  {title} {}", legator_core::text::brief(&state, 400)));
        }
    }
    lines
}

/// Runs `why`.
pub async fn why(session: &Session, plan: &str) -> Outcome {
    let why: Value = session.client.get(&path(plan, "/why")).await?;
    out::record(session.format, &why, || verdict::of_plan(&why));
    Ok(Exit::Ok)
}
