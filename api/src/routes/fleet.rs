//! `GET /api/v1/fleet`: the fleet in figures.

use super::hosts::{judged, selected};
use crate::Api;
use crate::auth::{Can, ReadHosts};
use crate::input;
use crate::problem::Problem;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Hosts of one query over health and risk.
const CHUNK: usize = 500;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(fleet))
}

/// Which hosts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FleetQuery {
    /// A selector; all hosts when absent.
    #[param(max_length = 8192)]
    filter: Option<String>,
}

/// The fleet in figures.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
struct Fleet {
    /// Hosts.
    hosts: u64,
    /// How many have each status.
    status: BTreeMap<String, u64>,
    /// How many have each level.
    level: BTreeMap<String, u64>,
    /// How many have each risk.
    risk: BTreeMap<String, u64>,
    /// How many can hold a command, and how well.
    cage: BTreeMap<String, u64>,
    /// How many are held back as clones.
    clones: u64,
    /// The mean of their health scores; null without hosts.
    health_mean: Option<f64>,
}

/// Sums up the fleet.
#[utoipa::path(
    get, path = "/api/v1/fleet", operation_id = "fleet", tag = "hosts",
    params(FleetQuery), responses((status = 200, body = Fleet))
)]
async fn fleet(
    State(api): State<Api>,
    can: Can<ReadHosts>,
    input::Query(query): input::Query<FleetQuery>,
) -> Result<axum::Json<Fleet>, Problem> {
    let rows = selected(&api, &can.caller, query.filter.as_deref()).await?;
    let mut fleet = Fleet { hosts: rows.len() as u64, ..Fleet::default() };
    let mut scores = 0.0;
    let count =
        |counts: &mut BTreeMap<String, u64>, word: &str| *counts.entry(word.to_owned()).or_default() += 1;
    for chunk in rows.chunks(CHUNK) {
        for (row, judged) in chunk.iter().zip(judged(&api, can.caller.tenant, chunk).await?) {
            count(&mut fleet.status, &row.facts.status);
            count(&mut fleet.level, row.facts.level.word());
            count(&mut fleet.cage, &row.facts.cage);
            count(&mut fleet.risk, judged.risk.level.word());
            fleet.clones +=
                u64::from(row.session.as_ref().is_some_and(|session| session.cloned_at.is_some()));
            scores += f64::from(judged.health.score);
        }
    }
    fleet.health_mean = (!rows.is_empty()).then(|| scores / rows.len() as f64);
    Ok(axum::Json(fleet))
}
