//! Plans as they are: lists, one, its bytes, and why it was decided as it was.

use super::find;
use crate::auth::{Can, ReadPlans};
use crate::input::{self, Id};
use crate::page::{self, Linked, List, Page};
use crate::problem::Problem;
use crate::{Api, shapes};
use axum::extract::{OriginalUri, State};
use legator_core::error::Failure;
use legator_core::ids::{HostId, PlanId};
use legator_core::plan::PlanState;
use legator_gate::{PlanView, Why};
use legator_store::plans::Filter;
use serde::Deserialize;
use serde_json::Value;

/// Which page of which plans.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PlansQuery {
    /// Only plans in this state.
    #[param(value_type = Option<shapes::PlanStateWord>, inline)]
    state: Option<PlanState>,
    /// Only plans that this host is in.
    #[param(value_type = Option<String>)]
    host: Option<HostId>,
    /// Items, 1 to 500; 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// Lists plans, newest first, without their tasks.
#[utoipa::path(
    get, path = "/api/v1/plans", operation_id = "list_plans", tag = "plans",
    params(PlansQuery), responses((status = 200, body = Page<shapes::PlanShape>))
)]
pub(super) async fn list(
    State(api): State<Api>,
    can: Can<ReadPlans>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PlansQuery>,
) -> Result<Linked<PlanView>, Problem> {
    let list = List { name: "plans", tenant: can.caller.tenant };
    let limit = page::limit(query.limit)?;
    let before =
        page::place(&api, list, query.cursor.as_deref())?.and_then(|place| place.parse::<PlanId>().ok());
    let filter = Filter { states: query.state.into_iter().collect(), host: query.host, before, limit: 0 };
    Ok(Linked { page: paged(&api, list, filter, limit).await?, uri })
}

/// A page of plans, newest first.
pub(in crate::routes) async fn paged(
    api: &Api,
    list: List,
    filter: Filter,
    limit: usize,
) -> Result<Page<PlanView>, Problem> {
    // One more than a page, to know whether another follows; the store gives at most a full page, after which one is assumed.
    let asked = (limit + 1).min(usize::from(page::LIMIT_MAX));
    let filter = Filter { limit: u32::try_from(asked).unwrap_or(1), ..filter };
    let mut items = legator_gate::list_plans(&api.gate, list.tenant, &filter).await?;
    let more = items.len() == asked;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| page::cursor(api, list, &last.id.to_string()));
    Ok(Page { items, next })
}

/// Shows a plan with its tasks.
#[utoipa::path(
    get, path = "/api/v1/plans/{id}", operation_id = "show_plan", tag = "plans",
    params(("id" = String, Path, description = "The plan's id")), responses((status = 200, body = shapes::PlanShape))
)]
pub(super) async fn show(
    State(api): State<Api>,
    can: Can<ReadPlans>,
    Id(id): Id<PlanId>,
) -> Result<axum::Json<PlanView>, Problem> {
    find(&api, can.caller.tenant, id).await.map(axum::Json)
}

/// Gives a plan's own bytes with its leaves, grants and receipts: what an approver's program renders and hashes, and an auditor verifies.
#[utoipa::path(
    get, path = "/api/v1/plans/{id}/bytes", operation_id = "show_plan_bytes", tag = "plans",
    params(("id" = String, Path, description = "The plan's id")), responses((status = 200, body = shapes::PlanBytesShape))
)]
pub(super) async fn bytes(
    State(api): State<Api>,
    can: Can<ReadPlans>,
    Id(id): Id<PlanId>,
) -> Result<axum::Json<Value>, Problem> {
    let parts = legator_gate::plan_parts(&api.gate, can.caller.tenant, id).await?;
    let parts = parts.ok_or_else(|| Failure::not_found("plan with bytes"))?;
    Ok(axum::Json(serde_json::to_value(parts).map_err(|error| Problem::internal(&error))?))
}

/// Says which rule decided about a plan, and what would change the answer.
#[utoipa::path(
    get, path = "/api/v1/plans/{id}/why", operation_id = "why_plan", tag = "plans",
    params(("id" = String, Path, description = "The plan's id")), responses((status = 200, body = Object))
)]
pub(super) async fn why(
    State(api): State<Api>,
    can: Can<ReadPlans>,
    Id(id): Id<PlanId>,
) -> Result<axum::Json<Why>, Problem> {
    Ok(axum::Json(legator_gate::why(&api.gate, &can.caller, id).await?))
}
