//! Freeze windows: `/api/v1/freezes`. Nothing is dispatched in them but reads, also of approved plans; probes check them again.

use crate::Api;
use crate::auth::{Can, ManageFreezes, ReadPolicy};
use crate::input::{self, Id, Json};
use crate::page::{Linked, List, Page, PageQuery, cut};
use crate::problem::Problem;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use legator_bus::subject;
use legator_core::ids::FreezeId;
use legator_core::time::Timestamp;
use legator_gate::{FreezeView, NewFreeze};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(open, list)).routes(routes!(close))
}

/// A window to open.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Window {
    /// The hosts; `*` for all.
    #[schema(min_length = 1, max_length = 8192)]
    selector: String,
    /// From when; at once when absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Until when; not included.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    /// Why.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// A window.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Freeze {
    id: String,
    selector: String,
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    reason: String,
    /// Who opened it.
    by: Option<String>,
    /// Whether it is open now.
    open: bool,
    /// Its row was changed outside Legator: it holds everything.
    broken: bool,
}

fn told(view: FreezeView) -> Freeze {
    let FreezeView { id, selector, from, until, reason, by, open, broken } = view;
    Freeze {
        id: id.to_string(),
        selector,
        from,
        until,
        reason,
        by: by.map(|by| by.to_string()),
        open,
        broken,
    }
}

/// Opens a freeze window.
#[utoipa::path(
    post, path = "/api/v1/freezes", operation_id = "open_freeze", tag = "policy",
    request_body = Window, responses((status = 201, body = Freeze))
)]
async fn open(
    State(api): State<Api>,
    can: Can<ManageFreezes>,
    Json(window): Json<Window>,
) -> Result<(StatusCode, axum::Json<Freeze>), Problem> {
    let Window { selector, from, until, reason } = window;
    let view = legator_gate::open_freeze(&api.gate, &can.caller, NewFreeze { selector, from, until, reason })
        .await?;
    wake(&api, view.id).await;
    Ok((StatusCode::CREATED, axum::Json(told(view))))
}

/// Probes are told their new limits by the worker. A lost wake is found by a sweep.
async fn wake(api: &Api, id: FreezeId) {
    let _ = api.bus.publish(&subject::wake("freeze", id), Vec::new()).await;
}

/// Lists windows that are open or coming.
#[utoipa::path(
    get, path = "/api/v1/freezes", operation_id = "list_freezes", tag = "policy",
    params(PageQuery), responses((status = 200, body = Page<Freeze>))
)]
async fn list(
    State(api): State<Api>,
    can: Can<ReadPolicy>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PageQuery>,
) -> Result<Linked<Freeze>, Problem> {
    let list = List { name: "freezes", tenant: can.caller.tenant };
    let ask = query.read(&api, list)?;
    let all = legator_gate::freezes(&api.gate, can.caller.tenant).await?;
    let views = all.into_iter().map(told).collect();
    Ok(Linked { page: cut(&api, list, ask, views, |view: &Freeze| view.id.clone()), uri })
}

/// Closes a freeze window.
#[utoipa::path(
    delete, path = "/api/v1/freezes/{id}", operation_id = "close_freeze", tag = "policy",
    params(("id" = String, Path, description = "The window's id")),
    responses((status = 204, description = "It holds nothing any more"))
)]
async fn close(
    State(api): State<Api>,
    can: Can<ManageFreezes>,
    Id(id): Id<FreezeId>,
) -> Result<StatusCode, Problem> {
    legator_gate::close_freeze(&api.gate, &can.caller, id).await?;
    wake(&api, id).await;
    Ok(StatusCode::NO_CONTENT)
}
