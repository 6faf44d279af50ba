//! What is known of one host: inventory, activity, figures.
//!
//! Owns those doors. What a host said is data: bounded where it came in, never interpreted here.

use super::reachable;
use crate::Api;
use crate::auth::{Can, ReadHosts};
use crate::input::{self, Id};
use crate::page::{self, Linked, List, Page, PageQuery};
use crate::problem::Problem;
use crate::routes::events::{EventView, Wanted};
use axum::extract::{OriginalUri, State};
use legator_core::error::Failure;
use legator_core::health::Metrics;
use legator_core::ids::HostId;
use legator_core::inventory::PARTS;
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_store::inventory::{self, Part};
use legator_store::metrics;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(all_parts))
        .routes(routes!(one_part))
        .routes(routes!(activity))
        .routes(routes!(figures))
}

/// One part of an inventory.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PartView {
    /// What the probe reported.
    #[schema(value_type = Object)]
    value: Value,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
}

impl From<Part> for PartView {
    fn from(part: Part) -> Self {
        Self { value: part.value, changed_at: part.changed_at }
    }
}

/// The whole inventory, by part.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct InventoryView {
    parts: BTreeMap<String, PartView>,
}

/// Shows a host's inventory.
#[utoipa::path(
    get, path = "/api/v1/hosts/{id}/inventory", operation_id = "show_inventory", tag = "hosts",
    params(("id" = String, Path, description = "The host's id")), responses((status = 200, body = InventoryView))
)]
async fn all_parts(
    State(api): State<Api>,
    can: Can<ReadHosts>,
    Id(id): Id<HostId>,
) -> Result<axum::Json<InventoryView>, Problem> {
    reachable(&api, &can, id).await?;
    let parts = inventory::parts(&api.store, id).await?;
    Ok(axum::Json(InventoryView {
        parts: parts.into_iter().map(|(name, part)| (name, part.into())).collect(),
    }))
}

/// Shows one part of a host's inventory.
#[utoipa::path(
    get, path = "/api/v1/hosts/{id}/inventory/{part}", operation_id = "show_inventory_part", tag = "hosts",
    params(("id" = String, Path, description = "The host's id"), ("part" = String, Path, description = "os, cpu, memory, disks, interfaces, sockets, services, packages, users, …")),
    responses((status = 200, body = PartView))
)]
async fn one_part(
    State(api): State<Api>,
    can: Can<ReadHosts>,
    path: Result<axum::extract::Path<(String, String)>, axum::extract::rejection::PathRejection>,
) -> Result<axum::Json<PartView>, Problem> {
    let nothing = || Problem::from(Failure::not_found("part"));
    let axum::extract::Path((id, part)) = path.map_err(|_| nothing())?;
    let id: HostId = id.parse().map_err(|_| nothing())?;
    reachable(&api, &can, id).await?;
    let name = PARTS.into_iter().find(|name| *name == part).ok_or_else(nothing)?;
    let part = inventory::part(&api.store, id, name).await?.ok_or_else(nothing)?;
    Ok(axum::Json(part.into()))
}

/// Lists what happened to a host, newest first.
#[utoipa::path(
    get, path = "/api/v1/hosts/{id}/activity", operation_id = "list_activity", tag = "hosts",
    params(("id" = String, Path, description = "The host's id"), PageQuery),
    responses((status = 200, body = Page<EventView>))
)]
async fn activity(
    State(api): State<Api>,
    can: Can<ReadHosts>,
    Id(id): Id<HostId>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PageQuery>,
) -> Result<Linked<EventView>, Problem> {
    reachable(&api, &can, id).await?;
    let list = List { name: "activity", tenant: can.caller.tenant };
    let (limit, before) = query.read(&api, list)?;
    let before = before.and_then(|text| text.parse::<u64>().ok());
    let wanted = Wanted { host: Some(id), ..Wanted::default() };
    let mut items =
        crate::routes::events::newest(&api, can.caller.tenant, &wanted, (before, limit + 1)).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| page::cursor(&api, list, &last.number.to_string()));
    Ok(Linked { page: Page { items, next }, uri })
}

/// Which figures.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FiguresQuery {
    /// Since when, RFC 3339; a day ago when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
}

/// The figures of one minute.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Figure {
    /// The minute.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Load, memory, swap, disks, processes, and the probe itself.
    #[schema(value_type = Object)]
    metrics: Metrics,
}

/// Figures, oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Figures {
    items: Vec<Figure>,
    /// Always null: there is one page.
    next: Option<String>,
}

/// Lists a host's figures of the last day, a minute each.
#[utoipa::path(
    get, path = "/api/v1/hosts/{id}/metrics", operation_id = "list_figures", tag = "hosts",
    params(("id" = String, Path, description = "The host's id"), FiguresQuery),
    responses((status = 200, body = Figures))
)]
async fn figures(
    State(api): State<Api>,
    can: Can<ReadHosts>,
    Id(id): Id<HostId>,
    input::Query(query): input::Query<FiguresQuery>,
) -> Result<axum::Json<Figures>, Problem> {
    reachable(&api, &can, id).await?;
    let since = query.since.unwrap_or(api.store.clock().now() - Span::from_secs(86_400));
    let figures = metrics::of_host(&api.store, id, since).await?;
    let items = figures.into_iter().map(|(at, metrics)| Figure { at, metrics }).collect();
    Ok(axum::Json(Figures { items, next: None }))
}
