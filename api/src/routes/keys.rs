//! API keys: `/api/v1/keys`.
//!
//! Owns their form on this door. The secret is shown once, by the answer that makes it. Invariant: a key never reaches further than its
//! person; a person without `ManagePeople` makes and withdraws only their own, within their own roles.

use crate::auth::Known;
use crate::idempotency::ShownOnce;
use crate::input::{self, Id, Json};
use crate::page::{Linked, List, Page, PageQuery, cut};
use crate::problem::Problem;
use crate::{Api, secrets, shapes};
use axum::Extension;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use legator_core::digest::Digest;
use legator_core::error::Failure;
use legator_core::event::{About, NewEvent};
use legator_core::ids::{KeyId, PersonId};
use legator_core::rights::{Permission, Role};
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_gate::Caller;
use legator_store::keys::{self, ApiKey};
use legator_store::{Audited, persons};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const KEYS_OF_PERSON_MAX: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(make, list)).routes(routes!(withdraw))
}

/// A new API key.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// Whose; the caller's own when absent.
    #[schema(value_type = Option<String>)]
    person: Option<PersonId>,
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// The roles that it uses of its person; all when absent.
    #[schema(min_items = 1, max_items = 5, value_type = Option<Vec<shapes::RoleWord>>)]
    scope: Option<Vec<Role>>,
    /// How long it counts, such as `30d`; for ever when absent.
    #[schema(value_type = Option<String>)]
    expires_in: Option<Span>,
}

/// An API key.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct KeyView {
    id: String,
    person: String,
    name: String,
    /// The roles that it uses of its person; all when null.
    #[schema(value_type = Option<Vec<shapes::RoleWord>>)]
    scope: Option<Vec<Role>>,
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

/// An API key that was just made, with its text, which is shown once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MadeKey {
    /// The text for `Authorization: Bearer …`.
    key: String,
    #[serde(flatten)]
    view: KeyView,
}

fn view((id, key): &(KeyId, ApiKey)) -> KeyView {
    let ApiKey { person, name, scope, made_at, expires_at, revoked_at, .. } = key.clone();
    KeyView { id: id.to_string(), person: person.to_string(), name, scope, made_at, expires_at, revoked_at }
}

/// Whose key it is to be, if the caller may make one for them.
fn whose(caller: &Caller, new: &NewKey) -> Result<PersonId, Failure> {
    let person = new.person.unwrap_or(caller.person);
    if person != caller.person {
        caller.need(Permission::ManagePeople)?;
    }
    if new.scope.as_ref().is_some_and(|scope| scope.is_empty() || scope.len() > Role::ALL.len()) {
        return Err(Failure::invalid("bad-scope", "a scope names at least one role, each once"));
    }
    if new.expires_in.is_some_and(|span| span < Span::from_secs(1)) {
        return Err(Failure::invalid("bad-expires-in", "expires_in is at least 1s"));
    }
    Ok(person)
}

/// The scope of a new key: one that a narrowed key makes for its own person is no wider than itself.
fn scope(caller: &Caller, person: PersonId, asked: Option<Vec<Role>>) -> Result<Option<Vec<Role>>, Failure> {
    if person != caller.person || caller.need(Permission::ManagePeople).is_ok() {
        return Ok(asked);
    }
    let own: Vec<Role> = caller.roles.iter().map(|role| role.role).collect();
    match asked {
        Some(asked) if asked.iter().all(|role| own.contains(role)) => Ok(Some(asked)),
        Some(_) => {
            Err(Failure::forbidden("wider-scope", "a key makes no key that reaches further than itself"))
        }
        None => Ok(Some(own)),
    }
}

/// Makes an API key; its secret is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/api/v1/keys", operation_id = "make_key", tag = "people",
    request_body = NewKey, responses((status = 201, body = MadeKey))
)]
async fn make(
    State(api): State<Api>,
    Known(caller): Known,
    Json(new): Json<NewKey>,
) -> Result<Response, Problem> {
    let person = whose(&caller, &new)?;
    let scope = scope(&caller, person, new.scope.clone())?;
    let name = new.name.clone().unwrap_or_else(|| "key".to_owned());
    input::check_name(&name)?;
    let own =
        keys::list(&api.store, caller.tenant).await?.iter().filter(|(_, key)| key.person == person).count();
    if own >= KEYS_OF_PERSON_MAX {
        return Err(Failure::conflict(
            "too-many-keys",
            format!("a person has at most {KEYS_OF_PERSON_MAX} keys"),
        )
        .into());
    }
    let secret = secrets::fresh()?;
    let id = KeyId::fresh(api.store.ids());
    let made: Result<ApiKey, Failure> = api
        .store
        .write(&caller.op(), async |tx| {
            if persons::of_act(tx, person).await?.is_none_or(|person| person.disabled_at.is_some()) {
                return Err(Failure::not_found("person"));
            }
            let key = ApiKey {
                person,
                name: name.clone(),
                hash: Digest::of(&secret),
                scope: scope.clone(),
                made_at: tx.now(),
                expires_at: new.expires_in.map(|span| tx.now() + span),
                revoked_at: None,
            };
            keys::put(tx, id, &key).await?;
            let data = json!({ "key": id, "person": person, "name": key.name, "scope": key.scope, "expires_at": key.expires_at });
            Ok(Audited::new(key, NewEvent::new("key.made", About::nothing(), data)))
        })
        .await;
    let made = MadeKey { key: secrets::key_text(id, &secret), view: view(&(id, made?)) };
    Ok((StatusCode::CREATED, Extension(ShownOnce), axum::Json(made)).into_response())
}

/// Lists API keys without their secrets: all for an admin, else the caller's own.
#[utoipa::path(
    get, path = "/api/v1/keys", operation_id = "list_keys", tag = "people",
    params(PageQuery), responses((status = 200, body = Page<KeyView>))
)]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PageQuery>,
) -> Result<Linked<KeyView>, Problem> {
    let list = List { name: "keys", tenant: caller.tenant };
    let ask = query.read(&api, list)?;
    let all = keys::list(&api.store, caller.tenant).await?;
    let everyone = caller.need(Permission::ManagePeople).is_ok();
    let seen = all.iter().filter(|(_, key)| everyone || key.person == caller.person);
    Ok(Linked { page: cut(&api, list, ask, seen.map(view).collect(), |view: &KeyView| view.id.clone()), uri })
}

/// Withdraws an API key, at once.
#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", operation_id = "withdraw_key", tag = "people",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 204, description = "It opens nothing any more"))
)]
async fn withdraw(
    State(api): State<Api>,
    Known(caller): Known,
    Id(id): Id<KeyId>,
) -> Result<StatusCode, Problem> {
    let done: Result<(), Failure> = api
        .store
        .write(&caller.op(), async |tx| {
            let may =
                |key: &ApiKey| key.person == caller.person || caller.need(Permission::ManagePeople).is_ok();
            let key = keys::of_act(tx, id).await?.filter(may).ok_or_else(|| Failure::not_found("key"))?;
            let revoked_at = key.revoked_at.or(Some(tx.now()));
            keys::put(tx, id, &ApiKey { revoked_at, ..key }).await?;
            Ok(Audited::new((), NewEvent::new("key.withdrawn", About::nothing(), json!({ "key": id }))))
        })
        .await;
    done?;
    Ok(StatusCode::NO_CONTENT)
}
