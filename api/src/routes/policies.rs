//! Policies: `/api/v1/policies`.
//!
//! Owns their form on this door. Invariant: a version that does not parse is never kept, and none is in force before it was activated.

use super::plans::NewPlan;
use crate::Api;
use crate::auth::{Can, ManagePolicy, ReadPolicy};
use crate::input::{self, Id, Json};
use crate::page::{Linked, List, Page, PageQuery, cut};
use crate::problem::Problem;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use legator_core::error::Failure;
use legator_core::time::Timestamp;
use legator_gate::PolicyView;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(propose, list))
        .routes(routes!(simulate))
        .routes(routes!(show))
        .routes(routes!(activate))
}

/// A version to keep.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPolicy {
    /// The rules, in Cedar.
    #[schema(min_length = 1, max_length = 200_000)]
    text: String,
    /// What it is for.
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// A version of the policy.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PolicyVersion {
    /// Its number; zero is the built-in one.
    version: u64,
    /// The rules, in Cedar.
    text: String,
    note: Option<String>,
    /// Who wrote it.
    by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    made_at: Option<Timestamp>,
    /// Whether it is in force.
    active: bool,
}

fn told(view: PolicyView) -> PolicyVersion {
    let PolicyView { version, text, note, by, made_at, active } = view;
    PolicyVersion { version, text, note, by: by.map(|by| by.to_string()), made_at, active }
}

/// Keeps a version, not in force yet.
#[utoipa::path(
    post, path = "/api/v1/policies", operation_id = "propose_policy", tag = "policy",
    request_body = NewPolicy, responses((status = 201, body = PolicyVersion))
)]
async fn propose(
    State(api): State<Api>,
    can: Can<ManagePolicy>,
    Json(new): Json<NewPolicy>,
) -> Result<(StatusCode, axum::Json<PolicyVersion>), Problem> {
    let view = legator_gate::propose_policy(&api.gate, &can.caller, new.text, new.note).await?;
    Ok((StatusCode::CREATED, axum::Json(told(view))))
}

/// Lists all versions, the built-in one first.
#[utoipa::path(
    get, path = "/api/v1/policies", operation_id = "list_policies", tag = "policy",
    params(PageQuery), responses((status = 200, body = Page<PolicyVersion>))
)]
async fn list(
    State(api): State<Api>,
    can: Can<ReadPolicy>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PageQuery>,
) -> Result<Linked<PolicyVersion>, Problem> {
    let list = List { name: "policies", tenant: can.caller.tenant };
    let ask = query.read(&api, list)?;
    let all = legator_gate::policies(&api.gate, can.caller.tenant).await?;
    let views = all.into_iter().map(told).collect();
    // Sorted by number: the text of the place has leading zeros.
    Ok(Linked {
        page: cut(&api, list, ask, views, |view: &PolicyVersion| format!("{:020}", view.version)),
        uri,
    })
}

/// Shows a version.
#[utoipa::path(
    get, path = "/api/v1/policies/{version}", operation_id = "show_policy", tag = "policy",
    params(("version" = u64, Path, description = "The version; zero is the built-in one")),
    responses((status = 200, body = PolicyVersion))
)]
async fn show(
    State(api): State<Api>,
    can: Can<ReadPolicy>,
    Id(version): Id<u64>,
) -> Result<axum::Json<PolicyVersion>, Problem> {
    let all = legator_gate::policies(&api.gate, can.caller.tenant).await?;
    let found = all.into_iter().find(|view| view.version == version);
    Ok(axum::Json(told(found.ok_or_else(|| Failure::not_found("version of the policy"))?)))
}

/// Puts a version in force, at once.
#[utoipa::path(
    post, path = "/api/v1/policies/{version}/activate", operation_id = "activate_policy", tag = "policy",
    params(("version" = u64, Path, description = "The version; zero is the built-in one")),
    responses((status = 200, body = PolicyVersion))
)]
async fn activate(
    State(api): State<Api>,
    can: Can<ManagePolicy>,
    Id(version): Id<u64>,
) -> Result<axum::Json<PolicyVersion>, Problem> {
    Ok(axum::Json(told(legator_gate::activate_policy(&api.gate, &can.caller, version).await?)))
}

/// A plan that might be asked for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Simulation {
    /// Rules to try; those in force when absent.
    #[schema(max_length = 200_000)]
    policy: Option<String>,
    /// The verb.
    #[schema(max_length = 64)]
    verb: String,
    /// Its arguments.
    #[serde(default = "no_args")]
    #[schema(value_type = Object)]
    args: Value,
    /// Which hosts.
    #[schema(min_length = 1, max_length = 8192)]
    selector: String,
    /// At which level; the lowest when absent.
    #[schema(value_type = Option<crate::shapes::LevelWord>)]
    level: Option<legator_core::level::Level>,
}

fn no_args() -> Value {
    json!({})
}

/// Says what the policy would answer, by which rule, and what would change it. Nothing is kept.
#[utoipa::path(
    post, path = "/api/v1/policies/simulate", operation_id = "simulate_policy", tag = "policy",
    request_body = Simulation, responses((status = 200, body = Object))
)]
async fn simulate(
    State(api): State<Api>,
    can: Can<ReadPolicy>,
    Json(simulation): Json<Simulation>,
) -> Result<axum::Json<Value>, Problem> {
    let Simulation { policy, verb, args, selector, level } = simulation;
    let ask = NewPlan::plain(verb, args, selector, level).ask();
    let why = legator_gate::simulate(&api.gate, &can.caller, policy.as_deref(), &ask).await?;
    Ok(axum::Json(serde_json::to_value(why).map_err(|error| Problem::internal(&error))?))
}
