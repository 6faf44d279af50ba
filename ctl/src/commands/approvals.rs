//! `approvals`: see exactly what waits, and decide about it.
//!
//! Invariant: the digest that is sent, and signed, is computed here from the bytes that were rendered here.

use crate::cli::Session;
use crate::client::{body, encode};
use crate::commands::prompt;
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, col, wide, word};
use crate::plan::Shown;
use clap::{Args, Subcommand};
use legator_core::ids::PersonId;
use legator_core::span::Span;
use legator_wire::approval::{Approval, Vote};
use legator_wire::dsse::Envelope;
use legator_wire::keys::Signer as _;
use reqwest::Method;
use serde_json::{Value, json};

/// What to do with what waits.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  legatorctl approvals list
  legatorctl approvals show PLAN
  legatorctl approvals approve PLAN
  legatorctl approvals reject PLAN --reason \"not during the sale\"

What is shown is rendered from the plan's own bytes, and the digest that is sent is computed from them here.")]
pub enum Approvals {
    /// List plans that wait for approvals
    List,
    /// Show one as it would be signed
    Show {
        /// The plan
        plan: String,
    },
    /// Say yes
    Approve(Decide),
    /// Say no: it ends the plan
    Reject(Decide),
    /// Take your yes back, before it is dispatched
    Revoke {
        /// The plan
        plan: String,
    },
}

/// A decision.
#[derive(Debug, Args)]
pub struct Decide {
    /// The plan
    plan: String,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// Do not ask again
    #[arg(long, short)]
    yes: bool,
    /// Decide alone in an emergency: admins only, with a reason, marked for ever
    #[arg(long, requires = "reason")]
    break_glass: bool,
}

/// Runs it.
pub async fn run(session: &Session, command: Approvals) -> Outcome {
    match command {
        Approvals::List => list(session).await,
        Approvals::Show { plan } => {
            let (shown, _) = fetch(session, &plan).await?;
            out::record(session.format, &shown.record(), || shown.text());
            Ok(Exit::Ok)
        }
        Approvals::Approve(decide) => settle(session, decide, Vote::Approve).await,
        Approvals::Reject(decide) => settle(session, decide, Vote::Reject).await,
        Approvals::Revoke { plan } => {
            let path = format!("/api/v1/approvals/{}", encode(&plan));
            let plan = session.client.call(Method::DELETE, &path, &Value::Null).await?;
            out::record(session.format, &plan, || super::plans::text(&plan));
            Ok(Exit::Ok)
        }
    }
}

async fn list(session: &Session) -> Outcome {
    let plans = session.client.list("/api/v1/plans?state=pending", 1_000).await?;
    let columns = [
        col("PLAN", "id"),
        col("DOES", "text"),
        col("LEVEL", "level"),
        col("HOSTS", "hosts_total"),
        col("NEEDS", "decision.approvals_needed"),
        wide("ASKED BY", "requester"),
        col("DECIDE BY", "decide_by"),
        wide("REASON", "reason"),
    ];
    out::records(session.format, &plans, &columns);
    Ok(Exit::Ok)
}

/// The plan as its bytes say, checked here: what the server tells people is what its bytes are, and the difference is computed
/// from what the hosts signed.
pub async fn fetch(session: &Session, plan: &str) -> Result<(Shown, Value), Fault> {
    let path = format!("/api/v1/plans/{}", encode(plan));
    let answer: Value = session.client.get(&format!("{path}/bytes")).await?;
    let mut shown = Shown::parse(&answer)?;
    let view: Value = session.client.get(&path).await?;
    shown.is_what_is_told(plan, &view)?;
    if shown.shows_difference() {
        let reading = encode(&word(&view, "reading"));
        let reading: Value = session.client.get(&format!("/api/v1/plans/{reading}/bytes")).await?;
        shown.prove_difference(&reading)?;
    }
    Ok((shown, answer))
}

async fn settle(session: &Session, decide: Decide, vote: Vote) -> Outcome {
    let (shown, _) = fetch(session, &decide.plan).await?;
    if session.format.is_for_people() {
        out::note(shown.text().trim_end());
    }
    let word = vote_word(vote);
    // A no changes nothing on a host: a script need not say it twice.
    let asks = !decide.yes && (vote == Vote::Approve || prompt::somebody_is_there());
    if asks && !prompt::confirmed(&format!("\ntype {word} to {word} exactly this: "), word).await? {
        out::note("nothing was decided");
        return Ok(Exit::Failed);
    }
    let plan = send(session, &shown, Ballot { vote, reason: decide.reason, break_glass: decide.break_glass })
        .await?;
    out::record(session.format, &plan, || stands(&plan));
    Ok(Exit::Ok)
}

/// How a plan stands after a vote.
fn stands(plan: &Value) -> String {
    let (id, state) = (word(plan, "id"), word(plan, "state"));
    let needed = out::at(plan, "decision.approvals_needed").as_u64().unwrap_or(0);
    let votes = out::list(plan, "approvals");
    let yes = votes.iter().filter(|vote| word(vote, "decision") == "approve").count();
    let count = if state == "pending" { format!(": {yes} of {needed} approvals") } else { String::new() };
    let watch = if state == "approved" { format!("\n  legatorctl plans watch {id}") } else { String::new() };
    format!("plan {id} is {}{count}{watch}", out::tinted(&state))
}

fn vote_word(vote: Vote) -> &'static str {
    match vote {
        Vote::Approve => "approve",
        Vote::Reject => "reject",
    }
}

/// A vote on its way.
pub struct Ballot {
    /// Yes or no.
    pub vote: Vote,
    /// Why.
    pub reason: Option<String>,
    /// Alone, in an emergency.
    pub break_glass: bool,
}

/// Sends a vote on the plan that was shown, signed where this person has a key of their own.
pub async fn send(session: &Session, shown: &Shown, ballot: Ballot) -> Result<Value, Fault> {
    let digest = shown.plan.digest();
    let signature = sign(session, shown, ballot.vote).await?;
    let body = body([
        ("plan", Some(json!(shown.plan.body().plan))),
        ("digest", Some(json!(digest))),
        ("decision", Some(json!(ballot.vote))),
        ("signature", signature.map(|envelope| json!(envelope))),
        ("reason", ballot.reason.map(Value::from)),
        ("break_glass", ballot.break_glass.then_some(json!(true))),
    ]);
    session.client.call(Method::POST, "/api/v1/approvals", &body).await
}

async fn sign(session: &Session, shown: &Shown, decision: Vote) -> Result<Option<Envelope>, Fault> {
    let Some(key) = super::keys::load()? else { return Ok(None) };
    let me: Value = session.client.get("/api/v1/me").await?;
    let person: PersonId =
        word(&me, "person").parse().map_err(|_| Fault::failed("the server does not say who you are"))?;
    let now = super::keys::now();
    let approval = Approval {
        installation: shown.plan.body().installation.clone(),
        plan: shown.plan.digest(),
        decision,
        person,
        key: key.public().fingerprint(),
        made_at: now,
        expires_at: shown.plan.body().expires_at.max(now + Span::from_secs(60)),
    };
    Ok(Some(Envelope::seal(&approval, &key)))
}
