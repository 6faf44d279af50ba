//! The HTTP API: routes and their document from one source, the guards before them and the streams behind them.
//!
//! Owns extractors, problem bodies, pages and streams. Decides nothing about plans: that is the gate's. Never publishes to a host and
//! never sees the authority's secret. Invariant: each route but the public ones names the permission that it needs in its signature.

pub mod auth;
mod doc;
mod follow;
pub mod foreign;
mod guard;
mod hints;
mod idempotency;
mod input;
mod page;
mod problem;
mod routes;
pub mod secrets;
mod shapes;
mod state;
mod strict;
mod telemetry;

pub use guard::Names;
pub use state::{Api, Check, Settings};
pub use telemetry::exporter;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use legator_bus::subject;
use legator_core::ids::TraceId;

/// The server's routes, with `more` (the edge's) behind the same guards.
pub fn router(api: Api, more: Router) -> Router {
    let (routes, document) = doc::parts();
    let known = doc::Parameters::of(&document);
    let routes: Router = routes
        .route_layer(from_fn_with_state(api.clone(), idempotency::once))
        .route_layer(from_fn_with_state(api.clone(), tell_notary))
        .route_layer(from_fn_with_state((api.clone(), known), doc::only_known_parameters))
        .with_state(api.clone());
    let routes =
        routes.merge(routes::document::route(&doc::written(&document, api.settings.auth))).merge(more);
    routes
        .fallback(routes::nothing)
        .layer(from_fn(telemetry::observe))
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .layer(from_fn_with_state(api.clone(), guard::check_request))
        .layer(from_fn(problem::shape))
        .layer(from_fn_with_state(api, guard::stand))
}

/// After an act: its event can get its number. Lost wakes are found by the notary's sweep.
async fn tell_notary(State(api): State<Api>, request: Request, next: Next) -> Response {
    let is_act = !matches!(*request.method(), Method::GET | Method::HEAD);
    let trace = request.extensions().get::<TraceId>().copied().unwrap_or(TraceId::new(0));
    let response = next.run(request).await;
    if is_act && response.status().is_success() {
        let _ = api.bus.publish(&subject::wake("event", trace), Vec::new()).await;
    }
    response
}

/// The document of the API (OpenAPI 3.1), as a server that asks for keys gives it out.
pub fn openapi() -> serde_json::Value {
    doc::written(&doc::parts().1, legator_gate::Auth::On)
}
