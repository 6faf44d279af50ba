//! All routes, one file a noun.
//!
//! Owns the list. Invariant: what is not in `PUBLIC` takes a caller.

mod approvals;
mod audit;
mod chats;
pub(crate) mod document;
mod enrol;
pub(crate) mod events;
mod fleet;
mod freezes;
mod hosts;
mod keys;
mod me;
mod persons;
mod plans;
mod policies;
mod rights;
mod server;
mod tasks;
mod tenants;
mod tokens;
mod verbs;

use crate::Api;
use crate::problem::Problem;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;

/// Addresses that need no key: they say nothing about hosts and people, or carry a proof of their own.
const PUBLIC: [&str; 6] = ["/healthz", "/readyz", "/metrics", "/version", "/api/v1/enrol", "/api/v1/renew"];

/// Whether an address needs no key.
pub fn is_public(path: &str) -> bool {
    PUBLIC.contains(&path)
}

/// All routes.
pub fn all() -> OpenApiRouter<Api> {
    [
        server::routes(),
        document::routes(),
        enrol::routes(),
        me::routes(),
        tokens::routes(),
        persons::routes(),
        keys::routes(),
        tenants::routes(),
        hosts::routes(),
        fleet::routes(),
        verbs::routes(),
        plans::routes(),
        tasks::routes(),
        approvals::routes(),
        policies::routes(),
        freezes::routes(),
        events::routes(),
        audit::routes(),
        rights::routes(),
        chats::routes(),
    ]
    .into_iter()
    .fold(OpenApiRouter::new(), OpenApiRouter::merge)
}

/// Where there is nothing.
pub async fn nothing() -> Problem {
    Problem::http(StatusCode::NOT_FOUND, "no-route", "there is nothing at this address")
        .hint("GET /openapi.json lists all addresses")
}
