//! A turn on its way to a brain.
//!
//! Owns what is put into the message and its bounds. Invariant: it holds what the turn's person may see, and fits the bus.

use super::TurnError;
use super::{Turns, told};
use legator_bus::subject;
use legator_core::brain::{
    HOST_CARDS_MAX, HostCard, MESSAGE_BYTES_MAX, PAST_BYTES_MAX, PAST_TURNS_MAX, Past, Scope, Step, TurnSent,
    tools,
};
use legator_core::rights::{Permission, RoleOn};
use legator_core::selector::Selector;
use legator_core::text;
use legator_store::chats::{self, Asked, Turn};
use legator_store::hosts::{self, HostRow};

impl Turns {
    /// Sends a claimed turn. What is lost on the way is sent again when the lease ends.
    pub(super) async fn send(&self, turn: &Turn, asked: &Asked, roles: &[RoleOn]) -> Result<(), TurnError> {
        let steps: Vec<Step> = self.steps(turn).await?;
        let mut sent = TurnSent {
            chat: turn.chat,
            turn: turn.id,
            scope: turn.scope,
            fence: turn.fence,
            number: turn.steps,
            asker: text::shown_line(&asked.name),
            question: asked.question.clone(),
            hosts: self.cards(turn, roles).await?,
            past: self.past(turn).await?,
            rounds: told::rounds(&steps),
            tools: tools(turn.scope),
            used: turn.used,
        };
        let mut body = serde_json::to_vec(&sent).unwrap_or_default();
        if body.len() > MESSAGE_BYTES_MAX {
            sent.past.clear();
            sent.hosts.clear();
            body = serde_json::to_vec(&sent).unwrap_or_default();
        }
        self.bus.publish(&subject::turn(host_of(turn.scope)), body).await?;
        Ok(())
    }

    /// The hosts that the person may see, as the model is told about them.
    async fn cards(&self, turn: &Turn, roles: &[RoleOn]) -> Result<Vec<HostCard>, TurnError> {
        let rows = hosts::facts(&self.store, turn.tenant).await?;
        let about = rows.iter().filter(|row| match turn.scope {
            Scope::Host(host) => row.id == host,
            Scope::Fleet => true,
        });
        Ok(about.filter(|row| may_see(roles, row)).take(HOST_CARDS_MAX).map(card).collect())
    }

    async fn past(&self, turn: &Turn) -> Result<Vec<Past>, TurnError> {
        let limit = u32::try_from(PAST_TURNS_MAX).unwrap_or(12);
        let mut past = Vec::new();
        let mut bytes = 0;
        for earlier in chats::recent_turns(&self.store, turn.chat, Some(turn.id), limit).await? {
            let Some(asked) = earlier.asked else { continue };
            let steps: Vec<Step> = chats::steps_of_turn(&self.store, earlier.id)
                .await?
                .into_iter()
                .map(|row| row.step)
                .collect();
            let answer = steps.iter().find_map(|step| match step {
                Step::Answer { text, .. } => Some(text::brief(text, 2048)),
                _ => None,
            });
            let (asker, question) = (text::shown_line(&asked.name), text::brief(&asked.question, 2048));
            let answer = answer.unwrap_or_else(|| "(no answer)".to_owned());
            let one = Past { asker, question, answer, facts: told::facts(&steps) };
            bytes += one.question.len() + one.answer.len() + one.facts.len();
            if bytes > PAST_BYTES_MAX {
                break;
            }
            past.push(one);
        }
        past.reverse();
        Ok(past)
    }
}

pub(super) const fn host_of(scope: Scope) -> Option<legator_core::ids::HostId> {
    match scope {
        Scope::Host(host) => Some(host),
        Scope::Fleet => None,
    }
}

fn card(row: &HostRow) -> HostCard {
    let facts = &row.facts;
    let labels = facts.labels.iter().take(16).map(|(key, value)| format!("{key}={value}"));
    HostCard {
        name: facts.name.clone(),
        status: facts.status.clone(),
        level: facts.level.to_string(),
        labels: labels.collect(),
    }
}

/// Whether one of these roles lets its person see this host.
pub(super) fn may_see(roles: &[RoleOn], row: &HostRow) -> bool {
    roles.iter().any(|role| {
        let here = role
            .selector
            .as_deref()
            .is_none_or(|text| Selector::parse(text).is_ok_and(|selector| selector.matches(&row.facts)));
        here && role.role.allows(Permission::ReadHosts)
    })
}
