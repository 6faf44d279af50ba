//! `GET /api/v1/me`: who the server takes the caller for.

use crate::auth::Known;
use crate::problem::Problem;
use crate::{Api, shapes};
use axum::extract::State;
use legator_core::ids::{PersonId, TenantId};
use legator_core::rights::RoleOn;
use legator_gate::{Auth, Caller};
use legator_store::{persons, tenants};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(me))
}

/// Who is asking.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Me {
    /// The person's id.
    person: String,
    /// Their name.
    name: String,
    /// Their tenant's id.
    tenant: String,
    /// Their tenant's name.
    tenant_name: String,
    /// The roles that this key gives.
    #[schema(value_type = Vec<shapes::RoleShape>)]
    roles: Vec<RoleOn>,
    /// The key's id; null without authentication.
    key: Option<String>,
    /// The installation: the fingerprint that approvals are bound to.
    installation: String,
}

/// Who am I?
#[utoipa::path(get, path = "/api/v1/me", operation_id = "me", tag = "people", responses((status = 200, body = Me)))]
async fn me(State(api): State<Api>, Known(caller): Known) -> Result<axum::Json<Me>, Problem> {
    Ok(axum::Json(Me {
        person: caller.person.to_string(),
        name: name(&api, &caller).await?,
        tenant: caller.tenant.to_string(),
        tenant_name: tenant_name(&api, caller.tenant).await?,
        roles: caller.roles.clone(),
        key: caller.key.map(|key| key.to_string()),
        installation: api.gate.installation().to_owned(),
    }))
}

async fn name(api: &Api, caller: &Caller) -> Result<String, Problem> {
    if caller.auth == Auth::Off && caller.person == PersonId::LOCAL {
        return Ok("local".to_owned());
    }
    let person = persons::get(&api.store, caller.tenant, caller.person).await?;
    Ok(person.map_or_else(String::new, |person| person.name))
}

async fn tenant_name(api: &Api, tenant: TenantId) -> Result<String, Problem> {
    if tenant == TenantId::DEFAULT {
        return Ok("default".to_owned());
    }
    let all = tenants::list(&api.store).await?;
    Ok(all.into_iter().find(|(id, _)| *id == tenant).map_or_else(String::new, |(_, tenant)| tenant.name))
}
