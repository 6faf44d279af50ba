//! `plans`, `verbs` and `why`.
//!
//! Shows plans and their tasks as the server tells them.

use crate::cli::Session;
use crate::client::encode;
use crate::exit::{Exit, Outcome};
use crate::follow::{self, Patience};
use crate::out::{self, col, wide, word};
use clap::Subcommand;
use legator_core::verbs;
use reqwest::Method;
use serde_json::{Value, json};

/// What to do with plans.
#[derive(Debug, Subcommand)]
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

async fn list(session: &Session, state: Option<String>, limit: usize) -> Outcome {
    let page = limit.clamp(1, 500);
    let state = state.map_or(String::new(), |state| format!("&state={}", encode(&state)));
    let plans = session.client.list(&format!("/api/v1/plans?limit={page}{state}"), limit).await?;
    let columns = [
        col("ID", "id"),
        col("STATE", "state"),
        col("VERB", "verb"),
        col("LEVEL", "level"),
        col("DOES", "text"),
        wide("ASKED BY", "requester"),
        col("MADE", "made_at"),
    ];
    out::records(session.format, &plans, &columns);
    Ok(Exit::Ok)
}

/// A plan for people.
pub fn text(plan: &Value) -> String {
    let names = [
        ("plan", "id"),
        ("state", "state"),
        ("does", "text"),
        ("verb", "verb"),
        ("arguments", "args"),
        ("level", "level"),
        ("digest", "digest"),
        ("decision", "decision.effect"),
        ("rule", "decision.rule"),
        ("because", "decision.reason"),
        ("approvals", "decision.approvals_needed"),
        ("asked by", "requester"),
        ("reason", "reason"),
        ("decide by", "decide_by"),
        ("expires", "expires_at"),
    ];
    let mut text = out::fields(plan, &names);
    for approval in out::at(plan, "approvals").as_array().into_iter().flatten() {
        let mark = word(approval, "mark");
        text.push_str(&format!("  {} by {} {mark}\n", word(approval, "decision"), word(approval, "person")));
    }
    for task in follow::tasks(plan) {
        text.push_str(&format!("  {}\n", follow::end_line(task)));
    }
    text
}

/// Runs `why`.
pub async fn why(session: &Session, plan: &str) -> Outcome {
    let why: Value = session.client.get(&path(plan, "/why")).await?;
    out::record(session.format, &why, || {
        let mut text = out::fields(
            &why,
            &[
                ("effect", "effect"),
                ("rule", "rule"),
                ("because", "reason"),
                ("approvals", "approvals_needed"),
            ],
        );
        for change in out::at(&why, "changes").as_array().into_iter().flatten() {
            let words = change.as_str().map_or_else(|| word(change, "text"), str::to_owned);
            text.push_str(&format!(
                "  it would be different if: {}\n",
                legator_core::text::shown_line(&words)
            ));
        }
        text
    });
    Ok(Exit::Ok)
}

/// Runs `verbs`: what this program knows is what it can render and check, so it lists its own.
pub async fn verbs(session: &Session) -> Outcome {
    let record = |spec: &verbs::Spec| {
        let levels: Vec<&str> = spec.levels.iter().map(|level| level.word()).collect();
        json!({"name": spec.name, "levels": levels, "summary": spec.summary, "effects": spec.effects_text, "undo": spec.undo})
    };
    let items: Vec<Value> = verbs::all().iter().map(record).collect();
    let columns =
        [col("VERB", "name"), col("LEVELS", "levels"), col("DOES", "summary"), wide("TOUCHES", "effects")];
    out::records(session.format, &items, &columns);
    Ok(Exit::Ok)
}
