//! Plans: `/api/v1/plans`.
//!
//! Owns their form on this door and the waiting for them. Decides nothing: every change is the gate's.
//! Invariant: a wait is woken by who commits; the sweep beside it only finds what a lost wake left behind.

mod show;
mod stream;

pub(super) use show::paged;

use crate::auth::{Can, MakePlans, ReadPlans};
use crate::follow::SWEEP;
use crate::input::{self, Id, Json, MaybeJson};
use crate::problem::Problem;
use crate::{Api, shapes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use legator_bus::{Subscription, subject};
use legator_core::error::Failure;
use legator_core::ids::{HostId, PlanId, TaskId, TenantId};
use legator_core::level::Level;
use legator_core::plan::PlanState;
use legator_core::span::Span;
use legator_gate::{Ask, AskRollout, PlanView};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest wait for a plan in one request.
const WAIT_MAX: Span = Span::from_secs(60);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(make, show::list))
        .routes(routes!(show::show))
        .routes(routes!(show::bytes))
        .routes(routes!(show::why))
        .routes(routes!(stream::follow))
        .routes(routes!(cancel))
        .routes(routes!(undo))
}

/// What is asked for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPlan {
    /// The verb, such as `service.restart`.
    #[schema(max_length = 64)]
    verb: String,
    /// Its arguments.
    #[serde(default = "no_args")]
    #[schema(value_type = Object)]
    args: Value,
    /// Which hosts: `name=web-03`, `env=prod,role in (web,api)`, `*`.
    #[schema(min_length = 1, max_length = 8192)]
    selector: String,
    /// At which level, for verbs that exist at several; the lowest when absent.
    #[schema(value_type = Option<shapes::LevelWord>)]
    level: Option<Level>,
    /// How it goes through its hosts.
    #[schema(value_type = Option<shapes::RolloutShape>)]
    rollout: Option<AskRollout>,
    /// How long it may be decided about; 15m when absent.
    #[schema(value_type = Option<String>)]
    decide_in: Option<Span>,
    /// How long from now a task may start; at most 7d.
    #[schema(value_type = Option<String>)]
    expires_in: Option<Span>,
    /// How long the verb may run on a host.
    #[schema(value_type = Option<String>)]
    timeout: Option<Span>,
    /// Why.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

fn no_args() -> Value {
    json!({})
}

impl NewPlan {
    /// A plan of these, with everything else left out.
    pub(super) fn plain(verb: String, args: Value, selector: String, level: Option<Level>) -> Self {
        let (rollout, decide_in, expires_in, timeout, reason) = (None, None, None, None, None);
        Self { verb, args, selector, level, rollout, decide_in, expires_in, timeout, reason }
    }

    /// The same for the gate.
    pub(super) fn ask(self) -> Ask {
        let Self { verb, args, selector, level, rollout, decide_in, expires_in, timeout, reason } = self;
        Ask { verb, args, selector, level, rollout, decide_in, expires_in, timeout, reason, turn: None }
    }
}

/// How long to wait for the plan's end.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WaitQuery {
    /// Answer when the plan has ended or waits for people, at the latest after so long: `30s`, at most `60s`.
    #[param(value_type = Option<String>)]
    wait: Option<Span>,
}

impl WaitQuery {
    fn read(&self) -> Result<Option<Span>, Failure> {
        match self.wait {
            Some(wait) if wait > WAIT_MAX => Err(Failure::invalid("bad-wait", "wait is at most 60s")
                .hint("follow a longer run by GET /api/v1/plans/{id}/stream")),
            other => Ok(other),
        }
    }
}

/// Asks for a plan. What the policy allows runs at once; the rest waits for approvals.
#[utoipa::path(
    post, path = "/api/v1/plans", operation_id = "make_plan", tag = "plans",
    params(WaitQuery), request_body = NewPlan, responses((status = 201, body = shapes::PlanShape))
)]
async fn make(
    State(api): State<Api>,
    can: Can<MakePlans>,
    input::Query(query): input::Query<WaitQuery>,
    Json(new): Json<NewPlan>,
) -> Result<Response, Problem> {
    let wait = query.read()?;
    let plan = legator_gate::ask(&api.gate, &can.caller, new.ask()).await?;
    made(&api, can.caller.tenant, plan, wait).await
}

/// The answer to a plan that was just made: after the wait, if one was asked for.
async fn made(api: &Api, tenant: TenantId, plan: PlanView, wait: Option<Span>) -> Result<Response, Problem> {
    let id = plan.id;
    // Before the wake, so that its answer is heard.
    let wakes = match wait {
        Some(_) => Some(listen(api, id).await?),
        None => None,
    };
    wake(api, id).await;
    let plan = match (wait, wakes) {
        (Some(wait), Some(wakes)) => settled(api, (tenant, plan), wakes, wait).await?,
        _ => plan,
    };
    let mut response = (StatusCode::CREATED, axum::Json(plan)).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("/api/v1/plans/{id}")) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

/// Listens for changes of a plan.
async fn listen(api: &Api, plan: PlanId) -> Result<Subscription, Problem> {
    let wakes = api.bus.subscribe(subject::wake("plan", plan)).await;
    wakes.map_err(|error| {
        tracing::warn!(%error, "nobody can wait for a plan");
        Failure::new(
            legator_core::error::ErrorKind::Unavailable,
            "busy",
            "too many wait already; ask again without waiting",
        )
        .into()
    })
}

/// Tells whoever waits for a plan, and the dispatcher, that it has changed.
pub(super) async fn wake(api: &Api, plan: PlanId) {
    let _ = api.bus.publish(&subject::wake("plan", plan), Vec::new()).await;
}

/// Whether nothing more happens without people.
fn rests(state: PlanState) -> bool {
    state.is_final() || state == PlanState::Pending
}

/// The plan once it rests, or as it is after the wait.
async fn settled(
    api: &Api,
    (tenant, mut plan): (TenantId, PlanView),
    mut wakes: Subscription,
    wait: Span,
) -> Result<PlanView, Problem> {
    let (end, id) = (Instant::now() + wait.duration(), plan.id);
    while !rests(plan.state) && Instant::now() < end && !api.draining.is_cancelled() {
        let next = end.min(Instant::now() + SWEEP);
        tokio::select! {
            _ = wakes.next() => {}
            () = tokio::time::sleep_until(next) => {}
            () = api.draining.cancelled() => {}
        }
        plan = find(api, tenant, id).await?;
    }
    Ok(plan)
}

/// A plan of the tenant.
pub(super) async fn find(api: &Api, tenant: TenantId, plan: PlanId) -> Result<PlanView, Problem> {
    let found = legator_gate::plan_view(&api.gate, tenant, plan).await?;
    found.ok_or_else(|| Failure::not_found("plan").into())
}

/// Takes a plan back: what has not started does not start, what runs is stopped.
#[utoipa::path(
    post, path = "/api/v1/plans/{id}/cancel", operation_id = "cancel_plan", tag = "plans",
    params(("id" = String, Path, description = "The plan's id")), responses((status = 200, body = shapes::PlanShape))
)]
async fn cancel(
    State(api): State<Api>,
    can: Can<ReadPlans>,
    Id(id): Id<PlanId>,
) -> Result<axum::Json<PlanView>, Problem> {
    let (plan, running): (PlanView, Vec<(HostId, TaskId)>) =
        legator_gate::cancel(&api.gate, &can.caller, id).await?;
    wake(&api, id).await;
    for (_, task) in running {
        // The worker holds the authority's key: it signs the order and sends it.
        let _ = api.bus.publish(&subject::wake("cancel", task), Vec::new()).await;
    }
    Ok(axum::Json(plan))
}

/// What to take back.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Undo {
    /// The task to take back; may be left out where the plan has one.
    #[schema(value_type = Option<String>)]
    task: Option<TaskId>,
    /// Why.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// Asks for a plan that takes a task of this one back. It passes the same gate.
#[utoipa::path(
    post, path = "/api/v1/plans/{id}/undo", operation_id = "undo_plan", tag = "plans",
    params(("id" = String, Path, description = "The plan's id"), WaitQuery),
    request_body(content = Option<Undo>, content_type = "application/json"),
    responses((status = 201, body = shapes::PlanShape))
)]
async fn undo(
    State(api): State<Api>,
    can: Can<MakePlans>,
    Id(id): Id<PlanId>,
    input::Query(query): input::Query<WaitQuery>,
    MaybeJson(undo): MaybeJson<Undo>,
) -> Result<Response, Problem> {
    let wait = query.read()?;
    let plan = find(&api, can.caller.tenant, id).await?;
    let task = match (undo.task, plan.tasks.as_slice()) {
        (Some(task), tasks) if tasks.iter().any(|one| one.id == task) => task,
        (Some(_), _) => return Err(Failure::not_found("task of this plan").into()),
        (None, [one]) => one.id,
        (None, _) => {
            return Err(Failure::invalid("which-task", "this plan has several tasks: name one").into());
        }
    };
    let plain = NewPlan::plain("task.undo".to_owned(), json!({ "task": task }), String::new(), None);
    let ask = NewPlan { reason: undo.reason, ..plain }.ask();
    let plan = legator_gate::ask(&api.gate, &can.caller, ask).await?;
    made(&api, can.caller.tenant, plan, wait).await
}
