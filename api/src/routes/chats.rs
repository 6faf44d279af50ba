//! Chats: `POST` and `GET /api/v1/chats`, one chat, its turns and its stream.
//!
//! Owns their form on this door. Never talks to a model and never acts for one: a turn is a row that workers take up.
//! Invariant: nobody sees a chat about a host that their roles do not reach, and the fleet's chat needs a role on all hosts.

mod stream;
mod views;

use crate::auth::{Can, ReadChats};
use crate::input::{Id, Json, MaybeJson};
use crate::page::{Linked, List, Page, PageQuery, cursor};
use crate::problem::Problem;
use crate::{Api, input};
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use legator_bus::subject;
use legator_core::brain::{QUESTION_BYTES_MAX, Scope};
use legator_core::error::{ErrorKind, Failure};
use legator_core::ids::{ChatId, PersonId};
use legator_core::rights::{HostFacts, Permission};
use legator_core::selector::Selector;
use legator_core::text;
use legator_gate::{Auth, Caller};
use legator_store::chats::{self, Asked, Chat, TOO_MANY};
use legator_store::{StoreError, hosts, persons};
use serde::Deserialize;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use views::{ChatView, NewTurnView, WholeChat};

/// How many of its last turns a chat is shown with.
const TURNS_SHOWN: u32 = 50;
/// How long a brain may take to say that it is there.
const BRAIN_WAIT: Duration = Duration::from_secs(2);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(begin, list))
        .routes(routes!(show))
        .routes(routes!(ask))
        .routes(routes!(stream::follow))
}

/// What a chat is about.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
struct NewChat {
    /// The id of a host, or a name that only one host has; the fleet when absent.
    #[schema(max_length = 253)]
    host: Option<String>,
}

/// A question.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTurn {
    /// What to ask, at most 8 KiB.
    #[schema(min_length = 1, max_length = 8192)]
    text: String,
}

/// Begins the chat about a host or the fleet. There is one for each: a later call answers the same chat, with 200.
#[utoipa::path(
    post, path = "/api/v1/chats", operation_id = "begin_chat", tag = "chats",
    request_body(content = Option<NewChat>, content_type = "application/json"),
    responses((status = 200, body = ChatView), (status = 201, body = ChatView))
)]
async fn begin(
    State(api): State<Api>,
    can: Can<ReadChats>,
    MaybeJson(new): MaybeJson<NewChat>,
) -> Result<Response, Problem> {
    let caller = &can.caller;
    let (scope, title) = scope(&api, caller, new.host.as_deref()).await?;
    may(&api, caller, scope, Permission::ReadChats).await?;
    let (chat, fresh) = chats::begin(&api.store, &caller.op(), caller.person, (scope, &title)).await?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(ChatView::of(&chat))).into_response())
}

/// Lists chats, newest first.
#[utoipa::path(
    get, path = "/api/v1/chats", operation_id = "list_chats", tag = "chats",
    params(PageQuery), responses((status = 200, body = Page<ChatView>))
)]
async fn list(
    State(api): State<Api>,
    can: Can<ReadChats>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PageQuery>,
) -> Result<Linked<ChatView>, Problem> {
    let list = List { name: "chats", tenant: can.caller.tenant };
    let (limit, place) = query.read(&api, list)?;
    let before = place.and_then(|place| place.parse().ok());
    let most = u32::try_from(limit).unwrap_or(500);
    let mut found = chats::list(&api.store, can.caller.tenant, before, most + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| cursor(&api, list, &last.id.to_string()));
    let mut items = Vec::new();
    for chat in &found {
        if may(&api, &can.caller, chat.scope, Permission::ReadChats).await.is_ok() {
            items.push(ChatView::of(chat));
        }
    }
    Ok(Linked { page: Page { items, next }, uri })
}

/// Shows a chat with its last turns and their steps.
#[utoipa::path(
    get, path = "/api/v1/chats/{id}", operation_id = "show_chat", tag = "chats",
    params(("id" = String, Path, description = "The chat's id")),
    responses((status = 200, body = WholeChat))
)]
async fn show(
    State(api): State<Api>,
    can: Can<ReadChats>,
    Id(id): Id<ChatId>,
) -> Result<axum::Json<WholeChat>, Problem> {
    let chat = chat_for(&api, &can.caller, id, Permission::ReadChats).await?;
    let mut turns = chats::recent_turns(&api.store, chat.id, None, TURNS_SHOWN).await?;
    turns.reverse();
    let mut shown = Vec::new();
    for turn in &turns {
        let steps = chats::steps_of_turn(&api.store, turn.id).await?;
        shown.push(views::TurnView::of(turn, &steps));
    }
    Ok(axum::Json(WholeChat::of(&chat, shown)))
}

/// Asks. The answer comes over the stream; 503 without a language model.
#[utoipa::path(
    post, path = "/api/v1/chats/{id}/turns", operation_id = "ask_in_chat", tag = "chats",
    params(("id" = String, Path, description = "The chat's id")),
    request_body = NewTurn,
    responses((status = 201, body = NewTurnView))
)]
async fn ask(
    State(api): State<Api>,
    can: Can<ReadChats>,
    Id(id): Id<ChatId>,
    Json(new): Json<NewTurn>,
) -> Result<(StatusCode, axum::Json<NewTurnView>), Problem> {
    // Everybody who reads a chat may ask. What a model then looks at or proposes needs the asking person's own rights: a viewer gets words,
    // and a refusal where a host would be asked.
    let question = question(new.text)?;
    let chat = chat_for(&api, &can.caller, id, Permission::ReadChats).await?;
    a_brain(&api).await?;
    let asked = asked(&api, &can.caller, question).await?;
    let turn = chats::ask(&api.store, &can.caller.op(), &chat, &asked).await.map_err(|why| match why {
        StoreError::TooLarge { what, max } if what == TOO_MANY => Problem::from(
            Failure::conflict("too-many-turns", format!("this chat has {max} turns that wait for an answer"))
                .hint("wait for one to end, or cancel its plan"),
        ),
        other => other.into(),
    })?;
    for wake in [subject::wake("turn", turn), subject::wake("chat", chat.id)] {
        drop(api.bus.publish(&wake, vec![]).await);
    }
    Ok((StatusCode::CREATED, axum::Json(NewTurnView::new(turn, &chat))))
}

fn question(text: String) -> Result<String, Failure> {
    let bad = |detail: &str| Failure::invalid("bad-question", detail);
    if text.len() > QUESTION_BYTES_MAX {
        return Err(Failure::new(
            ErrorKind::TooLarge,
            "question-too-large",
            format!("a question has at most {QUESTION_BYTES_MAX} bytes"),
        ));
    }
    let text = text.trim().to_owned();
    let hidden = text.chars().any(|c| text::is_hidden(c) && !matches!(c, '\n' | '\t' | '\r' | '\u{200d}'));
    match (text.is_empty(), hidden) {
        (true, _) => Err(bad("a question is not empty")),
        (_, true) => Err(bad("a question holds no control or invisible characters")),
        _ => Ok(text),
    }
}

/// Refuses with what to set when no brain is there.
async fn a_brain(api: &Api) -> Result<(), Failure> {
    match api.bus.request(&subject::brain(), vec![], BRAIN_WAIT).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::new(ErrorKind::Unavailable, "no-model", "no language model is set, or its role is not running").hint(
            "set LEGATOR_LLM_PROVIDER (openai, ollama or anthropic) and LEGATOR_LLM_MODEL, and where needed LEGATOR_LLM_URL and \
             LEGATOR_LLM_KEY or LEGATOR_LLM_KEY_FILE; everything else works without",
        )),
    }
}

async fn asked(api: &Api, caller: &Caller, question: String) -> Result<Asked, Problem> {
    let local = caller.auth == Auth::Off && caller.person == PersonId::LOCAL;
    let name = match local {
        true => "local".to_owned(),
        false => persons::get(&api.store, caller.tenant, caller.person)
            .await?
            .map_or_else(String::new, |person| person.name),
    };
    Ok(Asked { person: caller.person, name, key: caller.key, local, trace: caller.trace, question })
}

/// What a chat of this host is about, and its title.
async fn scope(api: &Api, caller: &Caller, host: Option<&str>) -> Result<(Scope, String), Problem> {
    let Some(wanted) = host else { return Ok((Scope::Fleet, "the fleet".to_owned())) };
    let rows = hosts::facts(&api.store, caller.tenant).await?;
    let mut found = rows.iter().filter(|row| row.id.to_string() == wanted || row.facts.name == wanted);
    match (found.next(), found.next()) {
        (Some(row), None) => Ok((Scope::Host(row.id), text::shown_line(&row.facts.name))),
        (None, _) => Err(Failure::not_found("host").into()),
        (Some(_), Some(_)) => {
            let failure = Failure::conflict("ambiguous-name", "more than one host has this name");
            Err(failure.hint("give the host's id").into())
        }
    }
}

/// A chat, when the caller's roles reach what it is about.
async fn chat_for(api: &Api, caller: &Caller, id: ChatId, permission: Permission) -> Result<Chat, Problem> {
    let chat = chats::get(&api.store, caller.tenant, id).await?.ok_or_else(|| Failure::not_found("chat"))?;
    may(api, caller, chat.scope, permission).await?;
    Ok(chat)
}

/// Whether a role that gives the permission reaches what the chat is about.
async fn may(api: &Api, caller: &Caller, scope: Scope, permission: Permission) -> Result<(), Problem> {
    let host: Option<HostFacts> = match scope {
        Scope::Fleet => None,
        Scope::Host(host) => hosts::find(&api.store, caller.tenant, host).await?.map(|row| row.facts),
    };
    let reaches = |text: &str| match (&host, Selector::parse(text)) {
        (Some(facts), Ok(selector)) => selector.matches(facts),
        _ => false,
    };
    let giving = caller.roles.iter().filter(|role| role.role.allows(permission));
    match giving.into_iter().any(|role| role.selector.as_deref().is_none_or(reaches)) {
        true => Ok(()),
        false if host.is_some() => Err(Failure::not_found("chat").into()),
        false => Err(Failure::forbidden(
            "not-the-fleet",
            "your roles are for some hosts only; this chat is about more",
        )
        .hint("begin a chat about one host")
        .into()),
    }
}
