//! `chat`: a conversation about a host, or about the fleet, in a terminal or through a pipe.
//!
//! Owns the lines that people type and what was said before. Invariant: an approval goes out with the digest of the bytes that were shown
//! here, and only for what a person answered at a terminal.

mod screen;
mod turn;

use crate::cli::Session;
use crate::client::encode;
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, at, word};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::IsTerminal as _;

/// How many earlier turns are shown.
const EARLIER_MAX: usize = 10;

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
    let last = Some(word(&known, "last_event")).filter(|last| !last.is_empty());
    let mut talk = Talk {
        session,
        path,
        last,
        wait: chat.wait,
        people: session.format.is_for_people(),
        screen: out::is_terminal(),
        terminal: std::io::stdin().is_terminal(),
    };
    match chat.message {
        Some(message) => talk.turn(&message).await,
        None if talk.terminal => {
            out::note(&format!("chat about {} ({id}). Ctrl-D ends it.", word(&known, "title")));
            talk.earlier(&known).await?;
            talk.at_terminal().await
        }
        None => talk.through_pipe().await,
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

/// A line of standard input without its blanks around; nothing at its end.
async fn line() -> Result<Option<String>, Fault> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|bytes| (bytes > 0).then(|| line.trim().to_owned()))
    });
    Ok(read.await.map_err(|error| Fault::failed(error.to_string()))??)
}

/// A conversation.
struct Talk<'a> {
    session: &'a Session,
    path: String,
    last: Option<String>,
    wait: bool,
    /// Shown for people, not as JSON.
    people: bool,
    /// Somebody looks at standard output as it comes.
    screen: bool,
    /// Somebody types.
    terminal: bool,
}

impl Talk<'_> {
    /// Question after question, until the end of the input.
    async fn at_terminal(&mut self) -> Outcome {
        loop {
            out::ask("> ");
            match line().await? {
                None => {
                    // The prompt's line is ended for the shell's.
                    out::note("");
                    return Ok(Exit::Ok);
                }
                Some(line) if line.is_empty() => {}
                Some(line) => {
                    if let Err(fault) = self.turn(&line).await {
                        out::note(&format!("  ✗ {fault}"));
                        if matches!(fault.exit, Exit::SignIn | Exit::Unreachable) {
                            return Ok(fault.exit);
                        }
                    }
                }
            }
        }
    }

    /// Each line is a question; the first turn that does not end well ends it.
    async fn through_pipe(&mut self) -> Outcome {
        while let Some(line) = line().await? {
            if line.is_empty() {
                continue;
            }
            let exit = self.turn(&line).await?;
            if exit != Exit::Ok {
                return Ok(exit);
            }
        }
        Ok(Exit::Ok)
    }

    /// What was said before, and what of it still waits for an approval.
    async fn earlier(&mut self, known: &Value) -> Result<(), Fault> {
        if !self.people {
            return Ok(());
        }
        let turns = at(known, "turns").as_array().map(Vec::as_slice).unwrap_or_default();
        if turns.len() > EARLIER_MAX {
            out::note(&format!("  … {} earlier turns", turns.len() - EARLIER_MAX));
        }
        for turn in turns.iter().skip(turns.len().saturating_sub(EARLIER_MAX)) {
            out::say(&screen::earlier(turn));
            let steps = at(turn, "steps").as_array().map(Vec::as_slice).unwrap_or_default();
            let approval = steps.iter().rev().find(|step| word(step, "kind") == "approval");
            let open = matches!(word(turn, "state").as_str(), "asked" | "thinking" | "acting");
            if let Some(approval) = approval.filter(|step| open && word(step, "state") == "pending") {
                let mut seen = turn::Shown::default();
                if self.approval(approval, &mut seen).await?.is_none() {
                    self.follow(&word(turn, "id"), seen).await?;
                }
            }
        }
        Ok(())
    }

    /// Asks and follows the turn.
    async fn turn(&mut self, text: &str) -> Outcome {
        let path = format!("{}/turns", self.path);
        let turn = self.session.client.call(Method::POST, &path, &json!({"text": text})).await?;
        self.follow(&word(&turn, "id"), turn::Shown::default()).await
    }
}
