//! `POST /api/v1/enrol` and `/api/v1/renew`: how probes join and stay.
//!
//! Owns the door only: the envelope goes to a worker over the bus as it came, and its answer goes back. No key of a person is
//! needed, since both carry a proof of their own: a registration token resp. the host's signature.

use crate::Api;
use crate::input::Json;
use crate::problem::Problem;
use crate::shapes::{AdmissionShape, EnvelopeShape};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use legator_core::error::{ErrorKind, Failure};
use legator_core::ids::TraceId;
use legator_wire::corridor::{Joined, Joining, NotAdmitted, pack, unpack};
use legator_wire::credential::Admission;
use legator_wire::dsse::Envelope;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const PATIENCE: Duration = Duration::from_secs(10);
const ENVELOPE_BYTES_MAX: usize = 64 << 10;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(enrol)).routes(routes!(renew))
}

/// A new probe joins: an envelope that its key signed, with a registration token inside.
#[utoipa::path(
    post, path = "/api/v1/enrol", operation_id = "enrol", tag = "probes",
    request_body = EnvelopeShape, responses((status = 201, body = AdmissionShape))
)]
async fn enrol(
    State(api): State<Api>,
    Extension(trace): Extension<TraceId>,
    Json(envelope): Json<Envelope>,
) -> Result<(StatusCode, axum::Json<Admission>), Problem> {
    let admission = ask(&api, Joining::Enrol { envelope, trace }).await?;
    Ok((StatusCode::CREATED, axum::Json(admission)))
}

/// An enrolled probe gets a fresh credential: an envelope that its key signed.
#[utoipa::path(
    post, path = "/api/v1/renew", operation_id = "renew", tag = "probes",
    request_body = EnvelopeShape, responses((status = 200, body = AdmissionShape))
)]
async fn renew(
    State(api): State<Api>,
    Extension(trace): Extension<TraceId>,
    Json(envelope): Json<Envelope>,
) -> Result<axum::Json<Admission>, Problem> {
    ask(&api, Joining::Renew { envelope, trace }).await.map(axum::Json)
}

async fn ask(api: &Api, joining: Joining) -> Result<Admission, Problem> {
    let body = pack(&joining);
    if body.len() > ENVELOPE_BYTES_MAX {
        return Err(Failure::new(
            ErrorKind::TooLarge,
            "envelope-too-large",
            "an enrolment is smaller than this",
        )
        .into());
    }
    let answer = api.bus.request(&legator_bus::subject::enrol(), body, PATIENCE).await;
    let answer = answer.map_err(|error| {
        tracing::warn!(%error, "no worker answers enrolments");
        Problem::from(NotAdmitted::Away.failure())
    })?;
    let joined: Joined = unpack(&answer)
        .ok_or_else(|| Problem::internal(&"a worker's answer to an enrolment does not parse"))?;
    joined.map_err(|why| why.failure().into())
}
