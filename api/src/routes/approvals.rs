//! Approvals: `/api/v1/approvals`.
//!
//! Owns their form on this door. Invariant: who decides is who showed the key; the body names no person.

use super::plans::{paged, wake};
use crate::auth::{Approve, Can, ReadPlans};
use crate::input::{self, Id, Json};
use crate::page::{Linked, List, Page, PageQuery};
use crate::problem::Problem;
use crate::{Api, shapes};
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use legator_core::digest::Digest;
use legator_core::ids::PlanId;
use legator_core::plan::PlanState;
use legator_gate::{BreakGlass, Decide, PlanView};
use legator_store::plans::Filter;
use legator_wire::approval::Vote;
use legator_wire::dsse::Envelope;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(decide, waiting)).routes(routes!(revoke))
}

/// A decision.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Decision {
    /// The plan.
    #[schema(value_type = String)]
    plan: PlanId,
    /// The digest of the plan's bytes, as the decider's program computed it.
    #[schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$")]
    digest: Digest,
    /// Yes or no.
    #[schema(value_type = shapes::VoteWord)]
    decision: Vote,
    /// Why.
    #[schema(max_length = 1000)]
    reason: Option<String>,
    /// The decider's own signature.
    #[schema(value_type = Option<shapes::EnvelopeShape>)]
    signature: Option<Envelope>,
    /// Decide alone, in an emergency: an admin, with a reason, marked for ever.
    #[serde(default)]
    break_glass: bool,
}

/// Approves or rejects a plan.
#[utoipa::path(
    post, path = "/api/v1/approvals", operation_id = "decide", tag = "plans",
    request_body = Decision, responses((status = 201, body = shapes::PlanShape))
)]
async fn decide(
    State(api): State<Api>,
    can: Can<Approve>,
    Json(decision): Json<Decision>,
) -> Result<(StatusCode, axum::Json<PlanView>), Problem> {
    let Decision { plan, digest, decision: vote, reason, signature, break_glass } = decision;
    let break_glass = if break_glass { BreakGlass::Yes } else { BreakGlass::No };
    let vote = Decide { plan, digest, vote, reason, signature, break_glass };
    let view = legator_gate::decide(&api.gate, &can.caller, vote).await?;
    wake(&api, plan).await;
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// Lists plans that wait for approvals, newest first.
#[utoipa::path(
    get, path = "/api/v1/approvals", operation_id = "list_approvals", tag = "plans",
    params(PageQuery), responses((status = 200, body = Page<shapes::PlanShape>))
)]
async fn waiting(
    State(api): State<Api>,
    can: Can<ReadPlans>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PageQuery>,
) -> Result<Linked<PlanView>, Problem> {
    let list = List { name: "approvals", tenant: can.caller.tenant };
    let (limit, before) = query.read(&api, list)?;
    let before = before.and_then(|place| place.parse::<PlanId>().ok());
    let filter = Filter { states: vec![PlanState::Pending], host: None, before, limit: 0 };
    Ok(Linked { page: paged(&api, list, filter, limit).await?, uri })
}

/// Takes the caller's own approval of a plan back, until it is dispatched.
#[utoipa::path(
    delete, path = "/api/v1/approvals/{plan}", operation_id = "revoke_approval", tag = "plans",
    params(("plan" = String, Path, description = "The plan's id")), responses((status = 200, body = shapes::PlanShape))
)]
async fn revoke(
    State(api): State<Api>,
    can: Can<Approve>,
    Id(plan): Id<PlanId>,
) -> Result<axum::Json<PlanView>, Problem> {
    let view = legator_gate::revoke_approval(&api.gate, &can.caller, plan).await?;
    wake(&api, plan).await;
    Ok(axum::Json(view))
}
