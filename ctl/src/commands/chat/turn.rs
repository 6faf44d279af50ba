//! A turn that is followed in a terminal: words as they come, cards, the approval asked in between, the answer.
//!
//! Owns what was shown of the words that still come. Invariant: every word of the recorded answer is shown once at least, and the recorded
//! one is shown whole where it differs from what came live.

use super::{Talk, screen};
use crate::commands::approvals;
use crate::exit::{Exit, Fault};
use crate::out::{self, at, word};
use crate::sse;
use legator_core::text::shown;
use legator_wire::approval::Vote;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What was shown of a turn.
#[derive(Default)]
pub(super) struct Shown {
    /// Words that came live since the last recorded step.
    live: String,
    /// Plans that this person was asked about.
    asked: BTreeSet<String>,
    /// Whether this person decided about a plan of the turn.
    decided: bool,
}

impl Talk<'_> {
    /// Follows a turn to its end, or until others have to decide.
    pub(super) async fn follow(&mut self, turn: &str, seen: Shown) -> Result<Exit, Fault> {
        let mut seen = seen;
        let path = format!("{}/stream", self.path);
        let mut stream = sse::Stream::new(&self.session.client, &path, self.last.clone());
        loop {
            let event = stream.next().await?;
            let data: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
            if event.id.is_some() {
                self.last.clone_from(&event.id);
            }
            if word(&data, "turn") != turn {
                continue;
            }
            if !self.people {
                out::say(&json!({"event": event.kind, "data": data}).to_string());
            }
            if let Some(exit) = self.step(&event.kind, &data, &mut seen).await? {
                return Ok(exit);
            }
        }
    }

    /// Shows one event; answers the exit code when the turn needs no more following.
    async fn step(&self, kind: &str, data: &Value, seen: &mut Shown) -> Result<Option<Exit>, Fault> {
        match kind {
            "text" if at(data, "live").as_bool() == Some(true) => self.live(data, seen),
            "text" => self.words(at(data, "text").as_str().unwrap_or_default(), seen),
            "tool" => self.card(&screen::tool(data)),
            "evidence" => self.card(&screen::evidence(data)),
            "plan" => self.card(&screen::plan(data)),
            "outcome" => self.card(&screen::outcome(data)),
            "approval" => return self.approval(data, seen).await,
            "answer" => {
                self.words(at(data, "text").as_str().unwrap_or_default(), seen);
                self.card(&screen::below_answer(data));
                return Ok(Some(Exit::Ok));
            }
            "error" => {
                self.break_off(seen);
                return Err(Fault::failed(word(data, "text")));
            }
            _ => {}
        }
        Ok(None)
    }

    fn card(&self, text: &str) {
        if self.people && !text.is_empty() {
            out::note(text);
        }
    }

    /// Words as they come: for a person who looks.
    fn live(&self, data: &Value, seen: &mut Shown) {
        if self.people && self.screen {
            let piece = shown(at(data, "delta").as_str().unwrap_or_default());
            out::print(&piece);
            seen.live.push_str(&piece);
        }
    }

    /// The recorded words: what was not shown of them, or all of them where they are others.
    fn words(&self, text: &str, seen: &mut Shown) {
        if !self.people {
            return;
        }
        let text = shown(text);
        match text.strip_prefix(seen.live.as_str()) {
            Some(rest) => out::say(rest),
            None => {
                self.break_off(seen);
                out::say(&text);
            }
        }
        seen.live.clear();
    }

    /// Ends a line of words that nothing follows.
    fn break_off(&self, seen: &mut Shown) {
        if !std::mem::take(&mut seen.live).is_empty() {
            out::say("");
        }
    }

    /// Asks where a plan waits, and says where it stands otherwise.
    pub(super) async fn approval(&self, data: &Value, seen: &mut Shown) -> Result<Option<Exit>, Fault> {
        let plan = word(data, "plan");
        let pending = word(data, "state") == "pending";
        if !pending || !seen.asked.insert(plan.clone()) {
            self.card(&screen::approval(data).unwrap_or_default());
            // Others still have to decide: who has decided waits with them, as with --wait.
            return Ok((pending && !seen.decided && !self.wait).then_some(Exit::Waiting));
        }
        let (plan_shown, _) = approvals::fetch(self.session, &plan).await?;
        if self.people {
            out::note(&format!(
                "  waits for approval:\n{}",
                out::indented(plan_shown.text().trim_end()).trim_end()
            ));
        }
        let vote = if self.terminal { asked().await? } else { None };
        let Some(vote) = vote else {
            out::note(&format!("  left to others: legatorctl approvals approve {plan}"));
            return Ok((!self.wait).then_some(Exit::Waiting));
        };
        let ballot = approvals::Ballot { vote, reason: None, break_glass: false };
        match approvals::send(self.session, &plan_shown, ballot).await {
            Ok(_) => seen.decided = true,
            Err(fault) => {
                out::note(&format!("  ✗ {fault}"));
                return Ok((!self.wait).then_some(Exit::Waiting));
            }
        }
        Ok(None)
    }
}

/// What a person at a terminal says to a plan.
async fn asked() -> Result<Option<Vote>, Fault> {
    loop {
        out::ask("  approve exactly this? [y]es, [n]o, or Enter to leave it to others: ");
        let Some(line) = super::line().await? else {
            out::note("");
            return Ok(None);
        };
        match line.to_lowercase().as_str() {
            "y" | "yes" | "approve" => return Ok(Some(Vote::Approve)),
            "n" | "no" | "reject" => return Ok(Some(Vote::Reject)),
            "" => return Ok(None),
            _ => out::note("  say y, n, or nothing"),
        }
    }
}
