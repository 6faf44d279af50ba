//! The server about itself: `/healthz`, `/readyz`, `/metrics`, `/version`.
//!
//! Owns what is told to those who watch over the server. Never tells anything about hosts or people.

use crate::Api;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use legator_store::sql;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .routes(routes!(version))
}

/// The process is alive.
#[derive(Serialize, utoipa::ToSchema)]
struct Alive {
    /// `ok`.
    status: &'static str,
}

/// Whether the server does its work.
#[derive(Serialize, utoipa::ToSchema)]
struct Ready {
    /// `ready` or `not ready`.
    status: &'static str,
    /// What it needs, by name: `ok`, or what is wrong.
    checks: BTreeMap<&'static str, String>,
}

/// Which server this is.
#[derive(Serialize, utoipa::ToSchema)]
struct Version {
    /// `legator`.
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// The fingerprint of the authority's key: what probes pin.
    fingerprint: String,
    /// The authority's public key, 64 hex digits.
    authority: String,
    /// The notary's public key, 64 hex digits: it signs checkpoints.
    notary: String,
    /// Whether people have to show a key.
    auth: bool,
}

/// Is the process alive?
#[utoipa::path(get, path = "/healthz", operation_id = "health", tag = "server", responses((status = 200, body = Alive)))]
async fn healthz() -> axum::Json<Alive> {
    axum::Json(Alive { status: "ok" })
}

/// Does the server do its work?
#[utoipa::path(
    get, path = "/readyz", operation_id = "ready", tag = "server",
    responses((status = 200, body = Ready), (status = 503, description = "Something it needs is away, or it is stopping", body = Ready))
)]
async fn readyz(State(api): State<Api>) -> Response {
    let mut checks: BTreeMap<&'static str, String> = BTreeMap::new();
    checks.insert("store", store(&api).await);
    for (name, check) in api.checks.iter() {
        checks.insert(name, check().err().unwrap_or_else(|| "ok".to_owned()));
    }
    if api.draining.is_cancelled() {
        checks.insert("server", "stopping".to_owned());
    }
    let ready = checks.values().all(|state| state == "ok");
    let (status, word) =
        if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    let mut response = (status, axum::Json(Ready { status: word, checks })).into_response();
    response.extensions_mut().insert(crate::problem::Finished);
    response
}

async fn store(api: &Api) -> String {
    let asked =
        tokio::time::timeout(Duration::from_secs(2), sql::one(api.store.reader(), "SELECT 1", vec![])).await;
    match asked {
        Ok(Ok(_)) => "ok".to_owned(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store does not answer");
            "does not answer".to_owned()
        }
        Err(_) => "does not answer in time".to_owned(),
    }
}

/// Figures for Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "server",
    responses((status = 200, description = "Prometheus text format", body = String, content_type = "text/plain"))
)]
async fn metrics(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (api.metrics)()).into_response()
}

/// Which server is this?
#[utoipa::path(get, path = "/version", operation_id = "version", tag = "server", responses((status = 200, body = Version)))]
async fn version(State(api): State<Api>) -> axum::Json<Version> {
    axum::Json(Version {
        name: "legator",
        version: env!("CARGO_PKG_VERSION"),
        fingerprint: api.settings.fingerprint.to_string(),
        authority: api.settings.authority.clone(),
        notary: api.settings.notary.clone(),
        auth: api.settings.auth == legator_gate::Auth::On,
    })
}
