//! Persons and their own keys: `/api/v1/persons`.
//!
//! Owns their form on this door. Invariant: the last admin of all hosts keeps the role, so that nobody is locked out.

use crate::auth::{Can, Known, ManagePeople};
use crate::input::{self, Id, Json};
use crate::page::{Linked, List, Page, PageQuery, cut};
use crate::problem::Problem;
use crate::{Api, shapes};
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use legator_core::error::{ErrorKind, Failure};
use legator_core::event::{About, NewEvent};
use legator_core::ids::PersonId;
use legator_core::rights::{Permission, RoleOn};
use legator_core::selector::Selector;
use legator_core::time::Timestamp;
use legator_gate::Caller;
use legator_store::keys::ApproverKey;
use legator_store::persons::Person;
use legator_store::{Audited, Tx, keys, persons};
use legator_wire::keys::PublicKey;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const ROLES_MAX: usize = 32;
const APPROVER_KEYS_MAX: usize = 16;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(make, list))
        .routes(routes!(show, change, disable))
        .routes(routes!(register, approver_keys))
        .routes(routes!(withdraw))
}

/// A new person.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPerson {
    /// How others call them.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What they may do: words such as `viewer`, or a role with a selector.
    #[schema(min_items = 1, max_items = 32, value_type = Vec<shapes::RoleAskShape>)]
    roles: Vec<RoleAsk>,
}

/// What to change of a person; what is left out stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PersonChange {
    /// How others call them.
    name: Option<String>,
    /// What they may do.
    #[schema(min_items = 1, max_items = 32, value_type = Option<Vec<shapes::RoleAskShape>>)]
    roles: Option<Vec<RoleAsk>>,
}

/// A role as people write it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum RoleAsk {
    Word(String),
    On(RoleOn),
}

impl RoleAsk {
    fn read(self) -> Result<RoleOn, Failure> {
        let role = match self {
            Self::Word(word) => {
                let role = word.parse().map_err(|why: String| Failure::invalid("bad-role", why))?;
                RoleOn { role, selector: None }
            }
            Self::On(role) => role,
        };
        if let Some(selector) = &role.selector {
            selector.parse::<Selector>()?;
        }
        Ok(role)
    }
}

/// The roles that were asked for, each parsed.
pub(super) fn read_roles(asked: Vec<RoleAsk>) -> Result<Vec<RoleOn>, Failure> {
    if asked.is_empty() || asked.len() > ROLES_MAX {
        return Err(Failure::invalid("bad-roles", format!("a person has 1 to {ROLES_MAX} roles")));
    }
    asked.into_iter().map(RoleAsk::read).collect()
}

/// A person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PersonView {
    id: String,
    name: String,
    #[schema(value_type = Vec<shapes::RoleShape>)]
    roles: Vec<RoleOn>,
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    /// When they lost all access.
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<Timestamp>,
}

pub(super) fn view(id: PersonId, person: &Person) -> PersonView {
    let Person { name, roles, made_at, disabled_at } = person.clone();
    PersonView { id: id.to_string(), name, roles, made_at, disabled_at }
}

/// Makes a person.
#[utoipa::path(
    post, path = "/api/v1/persons", operation_id = "make_person", tag = "people",
    request_body = NewPerson, responses((status = 201, body = PersonView))
)]
async fn make(
    State(api): State<Api>,
    can: Can<ManagePeople>,
    Json(new): Json<NewPerson>,
) -> Result<(StatusCode, axum::Json<PersonView>), Problem> {
    input::check_name(&new.name)?;
    let roles = read_roles(new.roles)?;
    let id = PersonId::fresh(api.store.ids());
    let made: Result<Person, Failure> = api
        .store
        .write(&can.caller.op(), async |tx| {
            let person =
                Person { name: new.name.clone(), roles: roles.clone(), made_at: tx.now(), disabled_at: None };
            persons::put(tx, id, &person).await?;
            let data = json!({ "person": id, "name": person.name, "roles": person.roles });
            Ok(Audited::new(person, NewEvent::new("person.made", About::nothing(), data)))
        })
        .await;
    Ok((StatusCode::CREATED, axum::Json(view(id, &made?))))
}

/// Lists persons, oldest first.
#[utoipa::path(
    get, path = "/api/v1/persons", operation_id = "list_persons", tag = "people",
    params(PageQuery), responses((status = 200, body = Page<PersonView>))
)]
async fn list(
    State(api): State<Api>,
    can: Can<ManagePeople>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PageQuery>,
) -> Result<Linked<PersonView>, Problem> {
    let list = List { name: "persons", tenant: can.caller.tenant };
    let ask = query.read(&api, list)?;
    let all = persons::list(&api.store, can.caller.tenant).await?;
    let views = all.iter().map(|(id, person)| view(*id, person)).collect();
    Ok(Linked { page: cut(&api, list, ask, views, |view: &PersonView| view.id.clone()), uri })
}

/// Shows a person.
#[utoipa::path(
    get, path = "/api/v1/persons/{id}", operation_id = "show_person", tag = "people",
    params(("id" = String, Path, description = "The person's id")), responses((status = 200, body = PersonView))
)]
async fn show(
    State(api): State<Api>,
    can: Can<ManagePeople>,
    Id(id): Id<PersonId>,
) -> Result<axum::Json<PersonView>, Problem> {
    let found = persons::get(&api.store, can.caller.tenant, id).await?;
    let person = found.ok_or_else(|| Failure::not_found("person"))?;
    Ok(axum::Json(view(id, &person)))
}

/// Changes a person's name or roles.
#[utoipa::path(
    patch, path = "/api/v1/persons/{id}", operation_id = "change_person", tag = "people",
    params(("id" = String, Path, description = "The person's id")),
    request_body = PersonChange, responses((status = 200, body = PersonView))
)]
async fn change(
    State(api): State<Api>,
    can: Can<ManagePeople>,
    Id(id): Id<PersonId>,
    Json(change): Json<PersonChange>,
) -> Result<axum::Json<PersonView>, Problem> {
    if let Some(name) = &change.name {
        input::check_name(name)?;
    }
    let roles = change.roles.map(read_roles).transpose()?;
    let changed: Result<Person, Failure> = api
        .store
        .write(&can.caller.op(), async |tx| {
            let old = persons::of_act(tx, id).await?.ok_or_else(|| Failure::not_found("person"))?;
            let name = change.name.clone().unwrap_or(old.name);
            let person = Person { name, roles: roles.clone().unwrap_or(old.roles), ..old };
            persons::put(tx, id, &person).await?;
            keep_an_admin(tx).await?;
            let data = json!({ "person": id, "name": person.name, "roles": person.roles });
            Ok(Audited::new(person, NewEvent::new("person.changed", About::nothing(), data)))
        })
        .await;
    Ok(axum::Json(view(id, &changed?)))
}

/// Takes all access from a person, whose name stays in the audit log.
#[utoipa::path(
    delete, path = "/api/v1/persons/{id}", operation_id = "disable_person", tag = "people",
    params(("id" = String, Path, description = "The person's id")),
    responses((status = 204, description = "The person has no access any more"))
)]
async fn disable(
    State(api): State<Api>,
    can: Can<ManagePeople>,
    Id(id): Id<PersonId>,
) -> Result<StatusCode, Problem> {
    let done: Result<(), Failure> = api
        .store
        .write(&can.caller.op(), async |tx| {
            let old = persons::of_act(tx, id).await?.ok_or_else(|| Failure::not_found("person"))?;
            let disabled_at = old.disabled_at.or(Some(tx.now()));
            persons::put(tx, id, &Person { disabled_at, ..old }).await?;
            keep_an_admin(tx).await?;
            Ok(Audited::new((), NewEvent::new("person.disabled", About::nothing(), json!({ "person": id }))))
        })
        .await;
    done?;
    Ok(StatusCode::NO_CONTENT)
}

async fn keep_an_admin(tx: &Tx) -> Result<(), Failure> {
    let all = persons::list_of_act(tx).await?;
    match all.iter().any(|(_, person)| person.is_admin()) {
        true => Ok(()),
        false => Err(Failure::conflict("last-admin", "nobody would be admin of all hosts any more")
            .hint("make another person admin first")),
    }
}

/// An approver's own public key.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewApproverKey {
    /// The Ed25519 public key, 64 hex digits, as `legatorctl keys show` prints it.
    #[schema(value_type = String, min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    key: PublicKey,
    /// What it is called.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
}

/// An approver's own key.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ApproverKeyView {
    /// The fingerprint of the key.
    fingerprint: String,
    person: String,
    name: String,
    /// The public key, 64 hex digits.
    key: String,
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

fn key_view(fingerprint: String, key: &ApproverKey) -> ApproverKeyView {
    let ApproverKey { person, name, key, made_at, revoked_at } = key.clone();
    ApproverKeyView {
        fingerprint: format!("sha256:{fingerprint}"),
        person: person.to_string(),
        name,
        key,
        made_at,
        revoked_at,
    }
}

/// A person's keys are their own affair and an admin's.
fn own_or_admin(caller: &Caller, person: PersonId) -> Result<(), Failure> {
    if caller.person == person { Ok(()) } else { caller.need(Permission::ManagePeople) }
}

/// Registers a person's own key for signing approvals: by that person, or by an admin.
#[utoipa::path(
    post, path = "/api/v1/persons/{id}/approver-keys", operation_id = "register_approver_key", tag = "people",
    params(("id" = String, Path, description = "The person's id")),
    request_body = NewApproverKey, responses((status = 201, body = ApproverKeyView))
)]
async fn register(
    State(api): State<Api>,
    Known(caller): Known,
    Id(person): Id<PersonId>,
    Json(new): Json<NewApproverKey>,
) -> Result<(StatusCode, axum::Json<ApproverKeyView>), Problem> {
    own_or_admin(&caller, person)?;
    let name = new.name.unwrap_or_else(|| "approver key".to_owned());
    input::check_name(&name)?;
    let fingerprint = new.key.fingerprint();
    let others = keys::approvers(&api.store, caller.tenant).await?;
    if others.iter().filter(|(_, key)| key.person == person).count() >= APPROVER_KEYS_MAX {
        return Err(Failure::new(
            ErrorKind::TooLarge,
            "too-many-keys",
            format!("a person has at most {APPROVER_KEYS_MAX} keys"),
        )
        .into());
    }
    let made: Result<ApproverKey, Failure> = api
        .store
        .write(&caller.op(), async |tx| {
            must_exist(tx, &caller, person).await?;
            if keys::approver_of_act(tx, &fingerprint).await?.is_some() {
                return Err(Failure::conflict("key-known", "this key is registered already"));
            }
            let key = ApproverKey {
                person,
                name: name.clone(),
                key: new.key.hex(),
                made_at: tx.now(),
                revoked_at: None,
            };
            keys::put_approver(tx, &fingerprint, &key).await?;
            let data = json!({ "person": person, "fingerprint": fingerprint, "name": key.name });
            Ok(Audited::new(key, NewEvent::new("approver-key.registered", About::nothing(), data)))
        })
        .await;
    Ok((StatusCode::CREATED, axum::Json(key_view(fingerprint.hex(), &made?))))
}

/// The person `local` of an installation without authentication has no row.
async fn must_exist(tx: &Tx, caller: &Caller, person: PersonId) -> Result<(), Failure> {
    if caller.auth == legator_gate::Auth::Off && person == PersonId::LOCAL {
        return Ok(());
    }
    persons::of_act(tx, person).await?.map(|_| ()).ok_or_else(|| Failure::not_found("person"))
}

/// Lists a person's own keys.
#[utoipa::path(
    get, path = "/api/v1/persons/{id}/approver-keys", operation_id = "list_approver_keys", tag = "people",
    params(("id" = String, Path, description = "The person's id"), PageQuery),
    responses((status = 200, body = Page<ApproverKeyView>))
)]
async fn approver_keys(
    State(api): State<Api>,
    Known(caller): Known,
    Id(person): Id<PersonId>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PageQuery>,
) -> Result<Linked<ApproverKeyView>, Problem> {
    own_or_admin(&caller, person)?;
    let list = List { name: "approver-keys", tenant: caller.tenant };
    let ask = query.read(&api, list)?;
    let all = keys::approvers(&api.store, caller.tenant).await?;
    let views = all
        .iter()
        .filter(|(_, key)| key.person == person)
        .map(|(id, key)| key_view(id.clone(), key))
        .collect();
    Ok(Linked { page: cut(&api, list, ask, views, |view: &ApproverKeyView| view.fingerprint.clone()), uri })
}

/// Withdraws a person's own key.
#[utoipa::path(
    delete, path = "/api/v1/approver-keys/{fingerprint}", operation_id = "withdraw_approver_key", tag = "people",
    params(("fingerprint" = String, Path, description = "`sha256:` and 64 hex digits")),
    responses((status = 204, description = "It signs nothing any more"))
)]
async fn withdraw(
    State(api): State<Api>,
    Known(caller): Known,
    Id(fingerprint): Id<legator_core::digest::Digest>,
) -> Result<StatusCode, Problem> {
    let done: Result<(), Failure> = api
        .store
        .write(&caller.op(), async |tx| {
            let key = keys::approver_of_act(tx, &fingerprint).await?;
            let key = key
                .filter(|key| own_or_admin(&caller, key.person).is_ok())
                .ok_or_else(|| Failure::not_found("key"))?;
            let revoked_at = key.revoked_at.or(Some(tx.now()));
            keys::put_approver(tx, &fingerprint, &ApproverKey { revoked_at, ..key }).await?;
            let data = json!({ "fingerprint": fingerprint });
            Ok(Audited::new((), NewEvent::new("approver-key.withdrawn", About::nothing(), data)))
        })
        .await;
    done?;
    Ok(StatusCode::NO_CONTENT)
}
