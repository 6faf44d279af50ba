//! What people change about hosts: labels, level, name, revocation, removal.
//!
//! Owns those doors. Each is an act with its event; limits reach the probe by the worker.

use super::{HostView, one, reachable};
use crate::auth::{Can, ManageHosts};
use crate::input::{self, Id, Json, MaybeJson};
use crate::problem::Problem;
use crate::{Api, shapes};
use axum::extract::State;
use axum::http::StatusCode;
use legator_bus::subject;
use legator_core::error::Failure;
use legator_core::ids::HostId;
use legator_core::level::Level;
use legator_store::hosts::{self, HostRow};
use legator_store::{Audited, Tx};
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(change, remove)).routes(routes!(revoke)).routes(routes!(clear))
}

/// What to change of a host; what is left out stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct HostChange {
    /// Labels to set; null takes one away; those that are not named stay.
    labels: Option<BTreeMap<String, Option<String>>>,
    /// The ceiling of what may run there.
    #[schema(value_type = Option<shapes::LevelWord>)]
    level: Option<Level>,
    /// The name that people use.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
}

/// Why.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RevocationReason)]
struct Reason {
    /// In words.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Changes a host's labels, level or name.
#[utoipa::path(
    patch, path = "/api/v1/hosts/{id}", operation_id = "change_host", tag = "hosts",
    params(("id" = String, Path, description = "The host's id")),
    request_body = HostChange, responses((status = 200, body = HostView))
)]
async fn change(
    State(api): State<Api>,
    can: Can<ManageHosts>,
    Id(id): Id<HostId>,
    Json(change): Json<HostChange>,
) -> Result<axum::Json<HostView>, Problem> {
    let row = reachable(&api, &can, id).await?;
    if change.labels.is_none() && change.level.is_none() && change.name.is_none() {
        return Err(Failure::invalid("nothing-to-change", "none of labels, level and name is given").into());
    }
    change.name.as_deref().map(input::check_name).transpose()?;
    let labels = change.labels.map(|labels| merged(&row, labels)).transpose()?;
    let done: Result<(), Failure> = api
        .store
        .write(&can.caller.op(), async |tx| apply(tx, id, (&labels, change.level, &change.name)).await)
        .await;
    done?;
    wake(&api, id).await;
    let row = reachable(&api, &can, id).await?;
    one(&api, can.caller.tenant, &row).await.map(axum::Json)
}

fn merged(
    row: &HostRow,
    changes: BTreeMap<String, Option<String>>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut labels = row.facts.labels.clone();
    for (key, value) in changes {
        match value {
            Some(value) => labels.insert(key, value),
            None => labels.remove(&key),
        };
    }
    input::check_labels(&labels)?;
    Ok(labels)
}

type Changes<'a> = (&'a Option<BTreeMap<String, String>>, Option<Level>, &'a Option<String>);

async fn apply(tx: &Tx, id: HostId, (labels, level, name): Changes<'_>) -> Result<Audited<()>, Failure> {
    let gone = || Failure::not_found("host");
    let mut done: Option<Audited<()>> = None;
    let mut add = |next: Audited<()>| {
        done = Some(match done.take() {
            Some(before) => before.join(next),
            None => next,
        })
    };
    if let Some(labels) = labels {
        add(hosts::set_labels(tx, id, labels.clone()).await?.ok_or_else(gone)?.map(|_| ()));
    }
    if let Some(level) = level {
        add(hosts::set_level(tx, id, level).await?.ok_or_else(gone)?.map(|_| ()));
    }
    if let Some(name) = name {
        add(hosts::rename(tx, id, name.clone()).await?.ok_or_else(gone)?.map(|_| ()));
    }
    done.ok_or_else(gone)
}

/// Whoever serves this host reads it again. A lost wake is found by a sweep.
async fn wake(api: &Api, id: HostId) {
    let _ = api.bus.publish(&subject::wake("host", id), Vec::new()).await;
}

/// Revokes a host: it is turned away everywhere within 10 seconds, and stays in lists.
#[utoipa::path(
    post, path = "/api/v1/hosts/{id}/revoke", operation_id = "revoke_host", tag = "hosts",
    params(("id" = String, Path, description = "The host's id")),
    request_body(content = Option<Reason>, content_type = "application/json"), responses((status = 200, body = HostView))
)]
async fn revoke(
    State(api): State<Api>,
    can: Can<ManageHosts>,
    Id(id): Id<HostId>,
    MaybeJson(why): MaybeJson<Reason>,
) -> Result<axum::Json<HostView>, Problem> {
    reachable(&api, &can, id).await?;
    input::check_note(why.reason.as_deref())?;
    let done: Result<(), Failure> = api
        .store
        .write(&can.caller.op(), async |tx| {
            hosts::revoke(tx, id, why.reason.clone()).await?.ok_or_else(|| Failure::not_found("host"))
        })
        .await;
    done?;
    wake(&api, id).await;
    let row = reachable(&api, &can, id).await?;
    one(&api, can.caller.tenant, &row).await.map(axum::Json)
}

/// Revokes a host and takes it from all lists. Its history stays.
#[utoipa::path(
    delete, path = "/api/v1/hosts/{id}", operation_id = "remove_host", tag = "hosts",
    params(("id" = String, Path, description = "The host's id")),
    responses((status = 204, description = "It is in no list any more"))
)]
async fn remove(
    State(api): State<Api>,
    can: Can<ManageHosts>,
    Id(id): Id<HostId>,
) -> Result<StatusCode, Problem> {
    reachable(&api, &can, id).await?;
    let done: Result<(), Failure> = api
        .store
        .write(&can.caller.op(), async |tx| {
            hosts::remove(tx, id, None).await?.ok_or_else(|| Failure::not_found("host"))
        })
        .await;
    done?;
    wake(&api, id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Says that a host is no clone any more: commands go to it again.
#[utoipa::path(
    post, path = "/api/v1/hosts/{id}/clear-clone", operation_id = "clear_clone", tag = "hosts",
    params(("id" = String, Path, description = "The host's id")), responses((status = 200, body = HostView))
)]
async fn clear(
    State(api): State<Api>,
    can: Can<ManageHosts>,
    Id(id): Id<HostId>,
) -> Result<axum::Json<HostView>, Problem> {
    reachable(&api, &can, id).await?;
    let done: Result<(), Failure> = api
        .store
        .write(&can.caller.op(), async |tx| {
            let nothing = || Failure::conflict("no-clone", "this host is not held back as a clone");
            hosts::clear_clone(tx, id).await?.ok_or_else(nothing)
        })
        .await;
    done?;
    wake(&api, id).await;
    let row = reachable(&api, &can, id).await?;
    one(&api, can.caller.tenant, &row).await.map(axum::Json)
}
