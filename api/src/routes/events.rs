//! Events: `/api/v1/events` and its stream.
//!
//! Owns their form on this door. Events are told once they have their number, in its order, without gaps.

use super::hosts::Reach;
use crate::Api;
use crate::auth::Known;
use crate::follow::{self, Gone, SWEEP, Sink};
use crate::input;
use crate::page::{self, Linked, List, Page};
use crate::problem::Problem;
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::Response;
use legator_bus::subject;
use legator_core::error::Failure;
use legator_core::ids::{HostId, PlanId, TenantId};
use legator_core::rights::Permission;
use legator_core::time::Timestamp;
use legator_gate::Caller;
use legator_store::chain::{self, Numbered, Order};
use legator_store::hosts;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const STREAM_PAGE: usize = 200;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(stream))
}

/// An event with its number.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Event)]
pub(super) struct EventView {
    /// Its number in the tenant's log, from 1, without gaps.
    pub number: u64,
    /// `id tenant at kind actor trace host plan task data`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub event: Map<String, Value>,
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub kind: Option<String>,
    pub host: Option<HostId>,
    pub plan: Option<PlanId>,
    pub since: Option<Timestamp>,
}

impl Wanted {
    fn query(&self) -> chain::Query {
        chain::Query {
            kind: self.kind.clone(),
            host: self.host,
            plan: self.plan,
            since: self.since,
            ..chain::Query::default()
        }
    }
}

fn view(numbered: Numbered) -> Result<EventView, Problem> {
    let event = serde_json::from_str(&numbered.event).map_err(|error| Problem::internal(&error))?;
    Ok(EventView { number: numbered.number, event })
}

/// The newest events before a number.
pub(super) async fn newest(
    api: &Api,
    tenant: TenantId,
    wanted: &Wanted,
    (before, limit): (Option<u64>, usize),
) -> Result<Vec<EventView>, Problem> {
    let query = chain::Query { before, limit, order: Order::Newest, ..wanted.query() };
    chain::read(&api.store, tenant, &query).await?.into_iter().map(view).collect()
}

async fn after(
    api: &Api,
    tenant: TenantId,
    wanted: &Wanted,
    (after, limit): (u64, usize),
) -> Result<Vec<EventView>, Problem> {
    let query = chain::Query { after, limit, order: Order::Oldest, ..wanted.query() };
    chain::read(&api.store, tenant, &query).await?.into_iter().map(view).collect()
}

/// Which page of which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Only with greater numbers than this.
    after: Option<u64>,
    /// Items, 1 to 500; 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// Only of this kind, such as `plan.made`; `plan.*` for all of a noun.
    #[param(max_length = 64, pattern = r"^[a-z_-]+\.([a-z_-]+|\*)$")]
    kind: Option<String>,
    /// Only about this host.
    #[param(value_type = Option<String>)]
    host: Option<HostId>,
    /// Only about this plan.
    #[param(value_type = Option<String>)]
    plan: Option<PlanId>,
    /// Only since this moment, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
}

/// Which events to follow.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FollowQuery {
    /// Begin after this number; with the next event when absent. `Last-Event-ID` wins over it.
    after: Option<u64>,
    /// Only of this kind, such as `plan.made`; `plan.*` for all of a noun.
    #[param(max_length = 64, pattern = r"^[a-z_-]+\.([a-z_-]+|\*)$")]
    kind: Option<String>,
    /// Only about this host.
    #[param(value_type = Option<String>)]
    host: Option<HostId>,
    /// Only about this plan.
    #[param(value_type = Option<String>)]
    plan: Option<PlanId>,
}

/// The filter that a query is, as text; nothing when it is none.
pub(crate) fn filter(query: &str) -> Option<String> {
    let uri = format!("/?{query}").parse().ok()?;
    let axum::extract::Query(query) = axum::extract::Query::<EventsQuery>::try_from_uri(&uri).ok()?;
    check_kind(query.kind.as_deref()).ok()?;
    page::limit(query.limit).ok()?;
    Some(format!("{query:?}"))
}

fn check_kind(kind: Option<&str>) -> Result<(), Failure> {
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'_')
    };
    let fits = |kind: &str| {
        kind.len() <= 64
            && kind.split_once('.').is_some_and(|(noun, verb)| plain(noun) && (verb == "*" || plain(verb)))
    };
    match kind.is_none_or(fits) {
        true => Ok(()),
        false => Err(Failure::invalid("bad-kind", "a kind is noun.verb, or noun.* for all of a noun")),
    }
}

/// What of the log a caller may see: all of it, or events about hosts that they may reach.
enum Sight {
    All,
    Hosts(Reach),
}

/// The audit log is for who has that right. What happens to hosts is for who sees the hosts.
fn sight(caller: &Caller, kind: Option<&str>) -> Result<Sight, Failure> {
    match caller.need(Permission::ReadAudit) {
        Ok(()) => Ok(Sight::All),
        Err(_) if kind.is_some_and(|kind| kind.starts_with("host.")) && caller.has(Permission::ReadHosts) => {
            Ok(Sight::Hosts(Reach::of(caller, Permission::ReadHosts)))
        }
        Err(failure) => Err(failure),
    }
}

impl Sight {
    async fn keep(
        &self,
        api: &Api,
        tenant: TenantId,
        events: Vec<EventView>,
    ) -> Result<Vec<EventView>, Problem> {
        let Self::Hosts(reach) = self else { return Ok(events) };
        let rows = hosts::facts(&api.store, tenant).await?;
        let seen = |event: &EventView| {
            let host = event.event.get("host").and_then(Value::as_str).unwrap_or_default();
            rows.iter().any(|row| row.facts.id == host && reach.has(&row.facts))
        };
        Ok(events.into_iter().filter(seen).collect())
    }
}

/// Lists events by their numbers.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "list_events", tag = "audit",
    params(EventsQuery), responses((status = 200, body = Page<EventView>))
)]
async fn list(
    State(api): State<Api>,
    Known(caller): Known,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<EventsQuery>,
) -> Result<Linked<EventView>, Problem> {
    let sight = sight(&caller, query.kind.as_deref())?;
    check_kind(query.kind.as_deref())?;
    let list = List { name: "events", tenant: caller.tenant };
    let limit = page::limit(query.limit)?;
    let place = page::place(&api, list, query.cursor.as_deref())?.and_then(|text| text.parse().ok());
    let wanted = Wanted { kind: query.kind, host: query.host, plan: query.plan, since: query.since };
    let begin = place.or(query.after).unwrap_or(0);
    let mut items = after(&api, caller.tenant, &wanted, (begin, (limit + 1).min(500))).await?;
    let more = items.len() > limit || items.len() == 500;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| page::cursor(&api, list, &last.number.to_string()));
    let items = sight.keep(&api, caller.tenant, items).await?;
    Ok(Linked { page: Page { items, next }, uri })
}

/// Follows events as they get their numbers. Resumes after `Last-Event-ID`.
#[utoipa::path(
    get, path = "/api/v1/events/stream", operation_id = "follow_events", tag = "audit",
    params(FollowQuery),
    responses((status = 200, description = "Server-sent events; each has its number as id", body = String, content_type = "text/event-stream"))
)]
async fn stream(
    State(api): State<Api>,
    Known(caller): Known,
    headers: HeaderMap,
    input::Query(query): input::Query<FollowQuery>,
) -> Result<Response, Problem> {
    let sight = sight(&caller, query.kind.as_deref())?;
    check_kind(query.kind.as_deref())?;
    let tenant = caller.tenant;
    let resumed = follow::last_id(&headers)?.map(|id| id.parse::<u64>()).transpose();
    let resumed =
        resumed.map_err(|_| Failure::invalid("bad-last-event-id", "Last-Event-ID is none of this stream"))?;
    let begin = match resumed.or(query.after) {
        Some(number) => number,
        None => chain::newest(&api.store, tenant).await?,
    };
    let wanted = Wanted { kind: query.kind, host: query.host, plan: query.plan, since: None };
    let inner = api.clone();
    Ok(follow::stream(&api, &headers, &caller, move |sink| async move {
        let told = tell(&inner, (tenant, &wanted, &sight), begin, &sink).await;
        if let Err(problem) = told {
            tracing::debug!(status = %problem.status(), "a stream of events ended");
        }
    }))
}

async fn tell(
    api: &Api,
    (tenant, wanted, sight): (TenantId, &Wanted, &Sight),
    mut number: u64,
    sink: &Sink,
) -> Result<(), Problem> {
    // Before the first look, so that nothing falls between it and the first wake.
    let mut wakes =
        api.bus.subscribe(subject::events(tenant)).await.map_err(|error| Problem::internal(&error))?;
    loop {
        let newest = chain::newest(&api.store, tenant).await?;
        let found = after(api, tenant, wanted, (number, STREAM_PAGE)).await?;
        let whole = found.len() < STREAM_PAGE;
        let last = found.last().map(|event| event.number);
        for event in sight.keep(api, tenant, found).await? {
            let sent = sink.send(None, Some(event.number.to_string()), &event).await;
            if let Err(Gone) = sent {
                return Ok(());
            }
        }
        // What the filter left out is passed over too, up to what was there before the look.
        number = if whole { last.unwrap_or(number).max(newest.max(number)) } else { last.unwrap_or(number) };
        if whole {
            let _ = tokio::time::timeout(SWEEP, wakes.next()).await;
        }
    }
}
