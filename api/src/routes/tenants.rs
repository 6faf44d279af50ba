//! Tenants: `/api/v1/tenants`.
//!
//! Owns their form on this door. Invariant: only an admin of the default tenant makes or sees tenants, and a new one comes with its first admin.

use crate::auth::{Can, ManagePeople};
use crate::idempotency::ShownOnce;
use crate::input::{self, Json};
use crate::page::{Linked, List, Page, PageQuery, cut};
use crate::problem::Problem;
use crate::{Api, secrets};
use axum::Extension;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use legator_core::digest::Digest;
use legator_core::error::Failure;
use legator_core::event::{About, NewEvent};
use legator_core::ids::{KeyId, PersonId, TenantId};
use legator_core::rights::{Role, RoleOn};
use legator_core::time::Timestamp;
use legator_gate::Caller;
use legator_store::keys::ApiKey;
use legator_store::persons::Person;
use legator_store::tenants::{self, Tenant};
use legator_store::{Audited, Op, StoreError, Tx, keys, persons};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const TENANTS_MAX: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(make, list))
}

/// A new tenant.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    /// Its name.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

/// A tenant.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TenantView {
    id: String,
    name: String,
    /// When it was made; null for the default one, which always was.
    #[schema(value_type = Option<String>, format = DateTime)]
    made_at: Option<Timestamp>,
}

/// A tenant that was just made, with the key of its first admin, which is shown once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MadeTenant {
    /// The first admin's API key.
    key: String,
    /// The first admin.
    person: String,
    #[serde(flatten)]
    view: TenantView,
}

/// Only the default tenant knows of others: for anybody else there is no such address.
fn only_default(caller: &Caller) -> Result<(), Failure> {
    match caller.tenant == TenantId::DEFAULT {
        true => Ok(()),
        false => {
            Err(Failure::forbidden("other-tenant", "only an admin of the default tenant manages tenants"))
        }
    }
}

struct First {
    tenant: TenantId,
    person: PersonId,
    key: KeyId,
    secret: [u8; 32],
}

/// Makes a tenant with its first admin.
#[utoipa::path(
    post, path = "/api/v1/tenants", operation_id = "make_tenant", tag = "people",
    request_body = NewTenant, responses((status = 201, body = MadeTenant))
)]
async fn make(
    State(api): State<Api>,
    can: Can<ManagePeople>,
    Json(new): Json<NewTenant>,
) -> Result<Response, Problem> {
    only_default(&can.caller)?;
    input::check_name(&new.name)?;
    let all = tenants::list(&api.store).await?;
    if all.len() >= TENANTS_MAX
        || all.iter().any(|(_, tenant)| tenant.name == new.name)
        || new.name == "default"
    {
        return Err(Failure::conflict(
            "tenant-exists",
            "there is a tenant of this name, or there are too many",
        )
        .into());
    }
    let ids = api.store.ids();
    let first = First {
        tenant: TenantId::fresh(ids),
        person: PersonId::fresh(ids),
        key: KeyId::fresh(ids),
        secret: secrets::fresh()?,
    };
    let op = can.caller.op();
    let made = api
        .store
        .write::<_, StoreError, _>(&op, async |tx| {
            let tenant = Tenant { name: new.name.clone(), made_at: tx.now() };
            tenants::put(tx, first.tenant, &tenant).await?;
            put_admin(tx, &first).await?;
            let data = json!({ "tenant": first.tenant, "name": tenant.name });
            let theirs = NewEvent::new(
                "person.made",
                About::nothing(),
                json!({ "person": first.person, "roles": ["admin"] }),
            );
            let event = NewEvent::new("tenant.made", About::nothing(), data);
            Ok(Audited::new(tenant, event).and_by(Op { tenant: first.tenant, ..op.clone() }, theirs))
        })
        .await?;
    let view = TenantView { id: first.tenant.to_string(), name: made.name, made_at: Some(made.made_at) };
    let key = secrets::key_text(first.key, &first.secret);
    let made = MadeTenant { key, person: first.person.to_string(), view };
    Ok((StatusCode::CREATED, Extension(ShownOnce), axum::Json(made)).into_response())
}

async fn put_admin(tx: &Tx, first: &First) -> Result<(), StoreError> {
    let roles = vec![RoleOn { role: Role::Admin, selector: None }];
    let person = Person { name: "admin".to_owned(), roles, made_at: tx.now(), disabled_at: None };
    persons::put_in(tx, first.tenant, first.person, &person).await?;
    let key = ApiKey {
        person: first.person,
        name: "first key".to_owned(),
        hash: Digest::of(&first.secret),
        scope: None,
        made_at: tx.now(),
        expires_at: None,
        revoked_at: None,
    };
    keys::put_in(tx, first.tenant, first.key, &key).await
}

/// Lists tenants, oldest first.
#[utoipa::path(
    get, path = "/api/v1/tenants", operation_id = "list_tenants", tag = "people",
    params(PageQuery), responses((status = 200, body = Page<TenantView>))
)]
async fn list(
    State(api): State<Api>,
    can: Can<ManagePeople>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PageQuery>,
) -> Result<Linked<TenantView>, Problem> {
    only_default(&can.caller)?;
    let list = List { name: "tenants", tenant: can.caller.tenant };
    let ask = query.read(&api, list)?;
    let default = TenantView { id: TenantId::DEFAULT.to_string(), name: "default".to_owned(), made_at: None };
    let made = tenants::list(&api.store).await?;
    let made = made.into_iter().map(|(id, tenant)| TenantView {
        id: id.to_string(),
        name: tenant.name,
        made_at: Some(tenant.made_at),
    });
    let views = std::iter::once(default).chain(made).collect();
    Ok(Linked { page: cut(&api, list, ask, views, |view: &TenantView| view.id.clone()), uri })
}
