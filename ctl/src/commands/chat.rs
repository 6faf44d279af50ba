//! `chat`: a conversation about a host, or about the fleet, in a terminal.
//!
//! Owns how a turn is shown: text as it comes, a card for each look, a plan with the approval asked beside it, the answer.

use crate::cli::Session;
use crate::client::encode;
use crate::commands::approvals;
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, Format, word};
use crate::sse;
use clap::Args;
use legator_core::text::shown;
use legator_wire::approval::Vote;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};

/// Talk about a host, or about the fleet.
#[derive(Debug, Args)]
pub struct Chat {
    /// The host's name or id [default: the fleet]
    host: Option<String>,
    /// Ask this and end after the answer
    #[arg(long, short)]
    message: Option<String>,
    /// Go on with this chat
    #[arg(long)]
    chat: Option<String>,
    /// Wait while an approval by someone else is missing, instead of ending with 5
    #[arg(long)]
    wait: bool,
}

/// Runs it.
pub async fn run(session: &Session, chat: Chat) -> Outcome {
    let id = match &chat.chat {
        Some(id) => id.clone(),
        None => open(session, chat.host.as_deref()).await?,
    };
    let path = format!("/api/v1/chats/{}", encode(&id));
    let known: Value = session.client.get(&path).await?;
    let mut talk = Talk { session, path, last: history(session, &known), wait: chat.wait };
    if let Some(message) = chat.message {
        return talk.turn(&message).await;
    }
    out::note(&format!("chat {id}; an empty line ends it"));
    loop {
        anstream::eprint!("> ");
        std::io::stderr().flush()?;
        let line = line().await?;
        if line.is_empty() {
            return Ok(Exit::Ok);
        }
        if let Err(fault) = talk.turn(&line).await {
            out::note(&fault.to_string());
        }
    }
}

async fn open(session: &Session, host: Option<&str>) -> Result<String, Fault> {
    let body = match host {
        Some(host) => json!({"host": super::hosts::find(session, host).await?}),
        None => json!({}),
    };
    let chat = session.client.call(Method::POST, "/api/v1/chats", &body).await?;
    Ok(word(&chat, "id"))
}

/// Prints what was said before; answers the id of the last event.
fn history(session: &Session, chat: &Value) -> Option<String> {
    for turn in out::at(chat, "turns").as_array().into_iter().flatten() {
        if matches!(session.format, Format::Table | Format::Wide) {
            out::say(&format!("> {}", word(turn, "text")));
            let answer = out::at(turn, "answer").as_str().unwrap_or("");
            out::say(&shown(answer));
        }
    }
    let last = word(chat, "last_event");
    (!last.is_empty()).then_some(last)
}

async fn line() -> Result<String, Fault> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line.trim().to_owned())
    });
    Ok(read.await.map_err(|error| Fault::failed(error.to_string()))??)
}

struct Talk<'a> {
    session: &'a Session,
    path: String,
    last: Option<String>,
    wait: bool,
}

impl Talk<'_> {
    async fn turn(&mut self, text: &str) -> Outcome {
        let turn = self
            .session
            .client
            .call(Method::POST, &format!("{}/turns", self.path), &json!({"text": text}))
            .await?;
        let turn = word(&turn, "id");
        let mut stream =
            sse::Stream::new(&self.session.client, &format!("{}/stream", self.path), self.last.clone());
        loop {
            let event = stream.next().await?;
            let data: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
            if event.id.is_some() {
                self.last.clone_from(&event.id);
            }
            if word(&data, "turn") != turn {
                continue;
            }
            if let Some(exit) = self.show(&event.kind, &data).await? {
                return Ok(exit);
            }
        }
    }

    /// Shows one event; answers the exit code when it ends the turn.
    async fn show(&self, kind: &str, data: &Value) -> Result<Option<Exit>, Fault> {
        if !matches!(self.session.format, Format::Table | Format::Wide) {
            out::say(&json!({"event": kind, "data": data}).to_string());
        }
        let live = matches!(self.session.format, Format::Table | Format::Wide);
        match kind {
            "tool" if live => out::note(&format!("  · {}", word(data, "text"))),
            "plan" if live => out::note(&format!(
                "  plan {}: {} ({})",
                word(data, "plan"),
                word(data, "text"),
                word(data, "state")
            )),
            "approval" => return self.approval(data).await,
            "answer" => {
                if live {
                    out::say(&shown(out::at(data, "text").as_str().unwrap_or("")));
                }
                return Ok(Some(Exit::Ok));
            }
            "error" => return Err(Fault::failed(word(data, "text"))),
            _ => {}
        }
        Ok(None)
    }

    async fn approval(&self, data: &Value) -> Result<Option<Exit>, Fault> {
        let plan = word(data, "plan");
        if word(data, "state") != "pending" {
            return Ok(None);
        }
        let (shown, _) = approvals::fetch(self.session, &plan).await?;
        out::note(shown.text().trim_end());
        if std::io::stdin().is_terminal() {
            anstream::eprint!("approve, reject, or leave it to others (empty): ");
            std::io::stderr().flush()?;
            let vote = match line().await?.as_str() {
                "approve" => Vote::Approve,
                "reject" => Vote::Reject,
                _ => return Ok((!self.wait).then_some(Exit::Waiting)),
            };
            let ballot = approvals::Ballot { vote, reason: None, break_glass: false };
            if let Err(fault) = approvals::send(self.session, &shown, ballot).await {
                out::note(&fault.to_string());
            }
            return Ok(None);
        }
        out::note(&format!("  legatorctl approvals approve {plan}"));
        Ok((!self.wait).then_some(Exit::Waiting))
    }
}
