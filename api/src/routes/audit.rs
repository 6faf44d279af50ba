//! The audit log as proof: checkpoints, proofs, export, keys.
//!
//! Owns those doors. Whoever reads them needs no trust in this server: everything is checked offline against a pinned fingerprint.

use crate::Api;
use crate::auth::{Can, ReadAudit};
use crate::input;
use crate::problem::Problem;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use legator_core::audit::Line;
use legator_core::error::Failure;
use legator_core::ids::TenantId;
use legator_core::time::Timestamp;
use legator_store::chain;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(checkpoint))
        .routes(routes!(inclusion))
        .routes(routes!(consistency))
        .routes(routes!(export))
        .routes(routes!(keys))
}

/// Which checkpoint.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CheckpointQuery {
    /// The newest over at most so many events; the newest of all when absent.
    size: Option<u64>,
}

/// A signed checkpoint.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CheckpointView {
    /// Over how many events.
    size: u64,
    /// When it was signed.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The note, as C2SP tlog-checkpoint has it.
    note: String,
}

/// Shows a signed checkpoint.
#[utoipa::path(
    get, path = "/api/v1/audit/checkpoint", operation_id = "show_checkpoint", tag = "audit",
    params(CheckpointQuery), responses((status = 200, body = CheckpointView))
)]
async fn checkpoint(
    State(api): State<Api>,
    can: Can<ReadAudit>,
    input::Query(query): input::Query<CheckpointQuery>,
) -> Result<axum::Json<CheckpointView>, Problem> {
    let found = chain::checkpoint(&api.store, can.caller.tenant, query.size).await?;
    let signed = found.ok_or_else(|| Failure::not_found("checkpoint"))?;
    Ok(axum::Json(CheckpointView { size: signed.size, at: signed.at, note: signed.note }))
}

/// Of which event, in which log.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct InclusionQuery {
    /// The event's number, from 1.
    number: u64,
    /// The log's size.
    size: u64,
}

/// Between which logs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ConsistencyQuery {
    /// The older size.
    older: u64,
    /// The newer size.
    newer: u64,
}

/// A proof after RFC 6962.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Proof {
    /// The hashes, in order.
    hashes: Vec<String>,
    /// The root of the newer log.
    root: String,
}

async fn proof(
    api: &Api,
    tenant: TenantId,
    size: u64,
    hashes: Option<Vec<legator_core::digest::Digest>>,
) -> Result<axum::Json<Proof>, Problem> {
    let nothing = || Failure::not_found("proof");
    let hashes = hashes.ok_or_else(nothing)?;
    let root = chain::root(&api.store, tenant, size).await?.ok_or_else(nothing)?;
    Ok(axum::Json(Proof { hashes: hashes.iter().map(ToString::to_string).collect(), root: root.to_string() }))
}

/// Proves that an event is in the log.
#[utoipa::path(
    get, path = "/api/v1/audit/proof/inclusion", operation_id = "prove_inclusion", tag = "audit",
    params(InclusionQuery), responses((status = 200, body = Proof))
)]
async fn inclusion(
    State(api): State<Api>,
    can: Can<ReadAudit>,
    input::Query(query): input::Query<InclusionQuery>,
) -> Result<axum::Json<Proof>, Problem> {
    let tenant = can.caller.tenant;
    let hashes = chain::inclusion(&api.store, tenant, query.number, query.size).await?;
    proof(&api, tenant, query.size, hashes).await
}

/// Proves that an older log is the beginning of a newer one.
#[utoipa::path(
    get, path = "/api/v1/audit/proof/consistency", operation_id = "prove_consistency", tag = "audit",
    params(ConsistencyQuery), responses((status = 200, body = Proof))
)]
async fn consistency(
    State(api): State<Api>,
    can: Can<ReadAudit>,
    input::Query(query): input::Query<ConsistencyQuery>,
) -> Result<axum::Json<Proof>, Problem> {
    let tenant = can.caller.tenant;
    let hashes = chain::consistency(&api.store, tenant, query.older, query.newer).await?;
    proof(&api, tenant, query.newer, hashes).await
}

/// Exports the whole log, JSON Lines: the log's name, keys, then events with the checkpoints that cover them.
#[utoipa::path(
    get, path = "/api/v1/audit/export", operation_id = "export_audit", tag = "audit",
    responses((status = 200, description = "JSON Lines, for `legatorctl audit verify`", body = String, content_type = "application/jsonl"))
)]
async fn export(State(api): State<Api>, can: Can<ReadAudit>) -> Result<Response, Problem> {
    let tenant = can.caller.tenant;
    let head = chain::export_head(&api.store, api.gate.installation(), tenant).await?;
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    tokio::spawn(async move {
        let mut page = Some((head, 0));
        while let Some((lines, last)) = page {
            if sender.send(Ok(jsonl(&lines))).await.is_err() {
                return;
            }
            page = match chain::export_page(&api.store, tenant, last).await {
                Ok(page) => page,
                Err(error) => {
                    // Cut, so that nobody takes a part for the whole.
                    tracing::error!(%error, "an export of the log was cut");
                    let _ = sender.send(Err(std::io::Error::other("the store failed"))).await;
                    return;
                }
            };
        }
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], body).into_response())
}

fn jsonl(lines: &[Line]) -> Bytes {
    lines.iter().flat_map(|line| [line.to_json(), "\n".to_owned()]).collect::<String>().into()
}

/// A key that signs checkpoints.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct NotaryKey {
    /// Its fingerprint.
    fingerprint: String,
    /// The authority's public key, 64 hex digits.
    authority: String,
    /// The authority's envelope over it, as JSON.
    envelope: String,
}

/// Keys that sign checkpoints.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct NotaryKeys {
    items: Vec<NotaryKey>,
    /// Always null: there is one page.
    next: Option<String>,
}

/// Lists the keys that sign checkpoints, each with the authority's word for it.
#[utoipa::path(get, path = "/api/v1/audit/keys", operation_id = "list_notary_keys", tag = "audit", responses((status = 200, body = NotaryKeys)))]
async fn keys(State(api): State<Api>, _: Can<ReadAudit>) -> Result<axum::Json<NotaryKeys>, Problem> {
    let keys = chain::keys(&api.store).await?;
    let view = |key: chain::CheckpointKeyRow| NotaryKey {
        fingerprint: key.fingerprint.to_string(),
        authority: key.authority,
        envelope: key.envelope,
    };
    Ok(axum::Json(NotaryKeys { items: keys.into_iter().map(view).collect(), next: None }))
}
