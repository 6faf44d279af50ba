//! `GET /api/v1/verbs`: what a plan can name.

use crate::Api;
use crate::auth::{Can, ReadHosts};
use crate::shapes;
use legator_core::level::Level;
use legator_core::verbs::{Spec, all};
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What a verb says about itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct VerbView {
    /// Its name, `noun.verb`.
    name: &'static str,
    /// The levels at which it exists, lowest first.
    #[schema(value_type = Vec<shapes::LevelWord>)]
    levels: &'static [Level],
    /// What it does, in one line.
    summary: &'static str,
    /// What it may touch on the host.
    effects: &'static str,
    /// Whether it shows a difference before it is approved.
    pre_image: bool,
    /// What must hold afterwards for it to count as verified.
    post_condition: Option<&'static str>,
    /// Whether `task.undo` can take it back.
    undo: bool,
    /// The JSON Schema of its arguments.
    #[schema(value_type = Object)]
    schema: Value,
}

/// All verbs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Verbs {
    items: Vec<VerbView>,
    /// Always null: there is one page.
    next: Option<String>,
}

fn view(spec: &Spec) -> VerbView {
    VerbView {
        name: spec.name,
        levels: spec.levels,
        summary: spec.summary,
        effects: spec.effects_text,
        pre_image: spec.pre_image,
        post_condition: spec.post_condition,
        undo: spec.undo,
        schema: (spec.schema)(),
    }
}

/// Lists all verbs with the schemas of their arguments.
#[utoipa::path(get, path = "/api/v1/verbs", operation_id = "list_verbs", tag = "plans", responses((status = 200, body = Verbs)))]
async fn list(_: Can<ReadHosts>) -> axum::Json<Verbs> {
    axum::Json(Verbs { items: all().iter().map(view).collect(), next: None })
}
