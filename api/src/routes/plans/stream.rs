//! A plan's stream: how it and its tasks stand, and output as it comes.
//!
//! Owns the merging of both. States come from the store and are never lost; live output is a convenience that may have gaps, which the
//! kept output fills after the receipt. Lives as long as the plan does.

use super::{find, listen, rests};
use crate::Api;
use crate::auth::{Can, ReadPlans};
use crate::follow::{self, Gone, SWEEP, Sink};
use crate::input::Id;
use crate::problem::Problem;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use legator_bus::{Message, Subscription, subject};
use legator_core::error::Failure;
use legator_core::ids::{PlanId, TaskId, TenantId};
use legator_core::plan::PlanState;
use legator_core::task::TaskState;
use legator_gate::PlanView;
use legator_wire::frame::Output;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::time::{Instant, sleep_until};

/// Follows a plan until it has ended. Events: `plan` and `task` when they change, `output` as it comes, `end` at last.
#[utoipa::path(
    get, path = "/api/v1/plans/{id}/stream", operation_id = "follow_plan", tag = "plans",
    params(("id" = String, Path, description = "The plan's id")),
    responses((status = 200, description = "Server-sent events; resumable by Last-Event-ID", body = String, content_type = "text/event-stream"))
)]
pub(in crate::routes) async fn follow(
    State(api): State<Api>,
    can: Can<ReadPlans>,
    Id(id): Id<PlanId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = can.caller.tenant;
    let seen = match follow::last_id(&headers)? {
        Some(text) => Seen::parse(&text)
            .ok_or_else(|| Failure::invalid("bad-last-event-id", "Last-Event-ID is none of this stream"))?,
        None => Seen::default(),
    };
    // Before the first look, so that nothing falls between it and the first wake.
    let wakes = listen(&api, id).await?;
    let output =
        api.bus.subscribe(subject::plan_outs(id)).await.map_err(|error| Problem::internal(&error))?;
    let plan = find(&api, tenant, id).await?;
    let teller = Teller { api: api.clone(), tenant, plan, seen, wakes, output };
    Ok(follow::stream(&api, &headers, &can.caller, move |sink| teller.tell(sink)))
}

/// What a reader has been told: how many changes so far. A reader who comes back is told the present state of everything that is not
/// final at once, and what it missed of it can be read from the plan itself.
#[derive(Debug, Default)]
struct Seen {
    changes: u64,
    plan: Option<PlanState>,
    tasks: BTreeMap<TaskId, TaskState>,
}

impl Seen {
    /// The id of an event is the number of changes that were told with it.
    fn parse(text: &str) -> Option<Self> {
        Some(Self { changes: text.parse().ok()?, ..Self::default() })
    }
}

struct Teller {
    api: Api,
    tenant: TenantId,
    plan: PlanView,
    seen: Seen,
    wakes: Subscription,
    output: Subscription,
}

impl Teller {
    async fn tell(mut self, sink: Sink) {
        loop {
            if self.changes(&sink).await.is_err() {
                return;
            }
            if self.plan.state.is_final() {
                let _ = sink.send(Some("end"), None, &self.plan_data()).await;
                return;
            }
            if self.wait(&sink).await.is_err() {
                return;
            }
            match find(&self.api, self.tenant, self.plan.id).await {
                Ok(plan) => self.plan = plan,
                Err(problem) => {
                    tracing::debug!(status = %problem.status(), "a plan's stream ended");
                    return;
                }
            }
        }
    }

    fn plan_data(&self) -> Value {
        json!({ "id": self.plan.id, "state": self.plan.state, "rests": rests(self.plan.state) })
    }

    /// Sends what is new of the plan and its tasks.
    async fn changes(&mut self, sink: &Sink) -> Result<(), Gone> {
        if self.seen.plan != Some(self.plan.state) {
            self.seen.plan = Some(self.plan.state);
            self.seen.changes += 1;
            sink.send(Some("plan"), Some(self.seen.changes.to_string()), &self.plan_data()).await?;
        }
        for task in &self.plan.tasks {
            if self.seen.tasks.insert(task.id, task.state) == Some(task.state) {
                continue;
            }
            self.seen.changes += 1;
            let data = json!({
                "id": task.id, "host": task.host, "name": task.name, "state": task.state, "exit_code": task.exit_code,
                "verified": task.verified, "reason": task.reason,
            });
            sink.send(Some("task"), Some(self.seen.changes.to_string()), &data).await?;
        }
        Ok(())
    }

    /// Passes output on until the plan may have changed.
    async fn wait(&mut self, sink: &Sink) -> Result<(), Gone> {
        let sweep = Instant::now() + SWEEP;
        loop {
            tokio::select! {
                _ = self.wakes.next() => return Ok(()),
                () = sleep_until(sweep) => return Ok(()),
                Some(message) = self.output.next() => {
                    if let Some(data) = piece(&self.plan, &message) {
                        sink.send(Some("output"), None, &data).await?;
                    }
                }
            }
        }
    }
}

/// A piece of output of a task of this plan. The bus is not believed: anything else is dropped.
fn piece(plan: &PlanView, message: &Message) -> Option<Value> {
    let output: Output = legator_wire::corridor::unpack(&message.body)?;
    let task = plan.tasks.iter().find(|task| task.id == output.task && output.plan == plan.id)?;
    Some(json!({
        "task": output.task, "host": task.host, "name": task.name, "stream": output.stream, "offset": output.offset,
        "b64": STANDARD.encode(&output.bytes),
    }))
}
