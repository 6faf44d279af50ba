//! `GET /api/v1/chats/{id}/stream`: a chat as server-sent events.
//!
//! Owns the following of a chat: steps from the store with their number as the event's id, live words of models in between without one.
//! Invariant: no step is left out or told twice on one stream, wherever it begins; words that were lost are in the step that ends them.

use super::{chat_for, views};
use crate::Api;
use crate::auth::{Can, ReadChats, identify, trace_of};
use crate::follow::last_id;
use crate::input::Id;
use crate::problem::Problem;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream};
use legator_bus::{Message, Subscription, subject};
use legator_core::brain::{Said, Scope, Step};
use legator_core::error::Failure;
use legator_core::ids::{ChatId, TraceId, TurnId};
use legator_core::rights::Permission;
use legator_store::chats::{self, Chat, StepRow};
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

const SWEEP: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often the caller's right is looked at again.
const RIGHTS_EVERY: Duration = Duration::from_secs(5);
const PAGE: u32 = 200;
/// How many turns a stream remembers, to tell whose words are this chat's.
const TURNS_MAX: usize = 1024;

/// Follows a chat: events `question`, `text`, `tool`, `evidence`, `plan`, `approval`, `outcome`, `answer`, `error`, each with the number of
/// its step as id; and `text` events without id for a model's words as they come. `Last-Event-ID` goes on after that step.
#[utoipa::path(
    get, path = "/api/v1/chats/{id}/stream", operation_id = "follow_chat", tag = "chats",
    params(
        ("id" = String, Path, description = "The chat's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The number of the last step that was seen; from the first when absent")
    ),
    responses((status = 200, description = "Server-sent events, until the client goes", content_type = "text/event-stream", body = String))
)]
pub(super) async fn follow(
    State(api): State<Api>,
    can: Can<ReadChats>,
    Id(id): Id<ChatId>,
    parts: Parts,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let chat = chat_for(&api, &can.caller, id, Permission::ReadChats).await?;
    let last = last_seen(&parts.headers)?;
    let host = match chat.scope {
        Scope::Host(host) => Some(host),
        Scope::Fleet => None,
    };
    let busy = |why: legator_bus::BusError| Problem::internal(&why);
    let wakes = api.bus.subscribe(subject::wake("chat", chat.id)).await.map_err(busy)?;
    let says = api.bus.subscribe(subject::says(host)).await.map_err(busy)?;
    let trace = trace_of(&parts);
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let follow = Follow {
        api,
        chat,
        last,
        wakes,
        says,
        sweep,
        turns: HashMap::new(),
        ready: VecDeque::new(),
        who: (parts.headers, trace),
        checked: Instant::now(),
    };
    let events =
        stream::unfold(
            follow,
            |mut follow| async move { follow.next().await.map(|event| (Ok(event), follow)) },
        );
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn last_seen(headers: &HeaderMap) -> Result<u64, Problem> {
    let number = last_id(headers)?.map(|text| text.parse()).transpose();
    let bad = |_| Failure::invalid("bad-last-event-id", "Last-Event-ID is the number of a step");
    Ok(number.map_err(bad)?.unwrap_or(0))
}

struct Follow {
    api: Api,
    chat: Chat,
    last: u64,
    wakes: Subscription,
    says: Subscription,
    sweep: Interval,
    /// Open turns of this chat with the fence whose words are shown.
    turns: HashMap<TurnId, u64>,
    ready: VecDeque<Event>,
    who: (HeaderMap, TraceId),
    checked: Instant,
}

impl Follow {
    /// The next event; nothing when the stream is to end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if !self.read().await {
                return None;
            }
            if !self.ready.is_empty() {
                continue;
            }
            let draining = self.api.draining.clone();
            tokio::select! {
                () = draining.cancelled() => return None,
                _ = self.wakes.next() => {}
                Some(message) = self.says.next() => self.said(&message),
                _ = self.sweep.tick() => {}
            }
            if self.checked.elapsed() > RIGHTS_EVERY && !self.still_may().await {
                return None;
            }
        }
    }

    /// Reads steps that are new; false when the store cannot be read.
    async fn read(&mut self) -> bool {
        let rows = match chats::steps(&self.api.store, self.chat.id, self.last, PAGE).await {
            Ok(rows) => rows,
            Err(why) => {
                tracing::warn!(%why, "a chat's stream ends");
                return false;
            }
        };
        for row in &rows {
            self.last = row.seq;
            self.remember(row);
            self.ready.extend(event(row));
        }
        true
    }

    fn remember(&mut self, row: &StepRow) {
        if row.step.ends() {
            self.turns.remove(&row.turn);
        } else if matches!(row.step, Step::Question { .. }) && self.turns.len() < TURNS_MAX {
            self.turns.insert(row.turn, 0);
        } else if self.turns.len() < TURNS_MAX {
            self.turns.entry(row.turn).or_default();
        }
    }

    /// A model's words, when they are of a turn of this chat and not of an earlier try.
    fn said(&mut self, message: &Message) {
        let Ok(said) = serde_json::from_slice::<Said>(&message.body) else { return };
        let Some(fence) = self.turns.get_mut(&said.turn) else { return };
        if said.fence < *fence {
            return;
        }
        *fence = said.fence;
        let data = json!({"turn": said.turn, "delta": legator_core::text::shown(&said.text), "live": true});
        self.ready.extend(Event::default().event("text").json_data(data).ok());
    }

    async fn still_may(&mut self) -> bool {
        self.checked = Instant::now();
        let Ok(caller) = identify(&self.api, &self.who.0, self.who.1).await else { return false };
        caller.need(Permission::ReadChats).is_ok()
            && chat_for(&self.api, &caller, self.chat.id, Permission::ReadChats).await.is_ok()
    }
}

fn event(row: &StepRow) -> Option<Event> {
    let event = Event::default().event(row.step.event()).id(row.seq.to_string());
    event.json_data(views::step(row)).ok()
}
