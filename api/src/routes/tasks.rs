//! `GET /api/v1/tasks/{id}`: one host's share of a plan, with its receipt. Only a receipt ends a task: nothing here changes one.

use crate::auth::{Can, ReadPlans};
use crate::input::Id;
use crate::problem::Problem;
use crate::{Api, shapes};
use axum::extract::State;
use legator_core::error::Failure;
use legator_core::ids::TaskId;
use legator_gate::TaskView;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Shows a task.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", operation_id = "show_task", tag = "plans",
    params(("id" = String, Path, description = "The task's id")), responses((status = 200, body = shapes::TaskShape))
)]
async fn show(
    State(api): State<Api>,
    can: Can<ReadPlans>,
    Id(id): Id<TaskId>,
) -> Result<axum::Json<TaskView>, Problem> {
    let task = legator_gate::task_view(&api.gate, can.caller.tenant, id).await?;
    Ok(axum::Json(task.ok_or_else(|| Failure::not_found("task"))?))
}
