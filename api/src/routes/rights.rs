//! Whether rights are as Legator wrote them: `/api/v1/rights`.
//!
//! Owns those doors. Invariant: what was changed outside Legator gives nothing until an admin, whose own rows are whole, accepted what is there.

use crate::Api;
use crate::auth::{Can, ManagePeople};
use crate::input::{self, Json};
use crate::problem::Problem;
use axum::extract::State;
use legator_core::error::Failure;
use legator_core::event::{About, NewEvent};
use legator_store::rights::{self, Status};
use legator_store::{Audited, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(accept))
}

/// How the tenant's rights stand.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RightsView {
    /// Whether everything is as Legator wrote it; grants are made only then.
    whole: bool,
    /// How often the rights were changed.
    version: u64,
    /// How many sealed rows there are.
    rows: u64,
    /// What is wrong, at most 100 findings: kind, id, how.
    #[schema(value_type = Vec<Object>)]
    broken: Value,
}

fn view(status: &Status) -> RightsView {
    RightsView {
        whole: status.whole,
        version: status.version,
        rows: status.rows,
        broken: json!(status.broken),
    }
}

/// Shows whether rights were changed outside Legator.
#[utoipa::path(get, path = "/api/v1/rights", operation_id = "show_rights", tag = "people", responses((status = 200, body = RightsView)))]
async fn show(State(api): State<Api>, can: Can<ManagePeople>) -> Result<axum::Json<RightsView>, Problem> {
    Ok(axum::Json(view(&rights::status(&api.store, can.caller.tenant).await?)))
}

/// Why what is there is right.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    /// In words.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Takes what is there for right, after a person looked at it: rows whose seal does not hold are removed.
#[utoipa::path(
    post, path = "/api/v1/rights/accept", operation_id = "accept_rights", tag = "people",
    request_body = Acceptance, responses((status = 200, body = RightsView))
)]
async fn accept(
    State(api): State<Api>,
    can: Can<ManagePeople>,
    Json(why): Json<Acceptance>,
) -> Result<axum::Json<RightsView>, Problem> {
    input::check_note(Some(&why.reason))?;
    if why.reason.trim().is_empty() {
        return Err(Failure::invalid("no-reason", "say why what is there is right").into());
    }
    let op = can.caller.op();
    let status = rights::accept(&api.store, &op).await?;
    let told = NewEvent::new("rights.accept-reason", About::nothing(), json!({ "reason": why.reason }));
    api.store.write::<_, StoreError, _>(&op, async |_| Ok(Audited::new((), told))).await?;
    Ok(axum::Json(view(&status)))
}
