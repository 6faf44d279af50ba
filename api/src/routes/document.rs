//! `GET /openapi.json`.

use crate::Api;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

/// Nothing of its own in the document: the document does not describe itself.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
}

/// The route that gives the document.
pub(crate) fn route(document: &Value) -> Router {
    let text = document.to_string();
    Router::new().route(
        "/openapi.json",
        get(move || async move { ([(header::CONTENT_TYPE, "application/json")], text) }),
    )
}
