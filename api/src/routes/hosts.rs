//! Hosts: `/api/v1/hosts`.
//!
//! Owns their form on this door. Invariant: a caller whose role has a selector sees and touches only the hosts that it selects;
//! any other host is one that there is not.

mod change;
mod parts;
mod view;

pub(super) use view::{HostView, judged};

use crate::Api;
use crate::auth::{Can, Need, ReadHosts};
use crate::input::{self, Id};
use crate::page::{self, Linked, List, Page};
use crate::problem::Problem;
use axum::extract::{OriginalUri, State};
use legator_core::error::Failure;
use legator_core::ids::{HostId, TenantId};
use legator_core::rights::{HostFacts, Permission};
use legator_core::selector::Selector;
use legator_gate::Caller;
use legator_store::hosts::{self, HostRow};
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .merge(change::routes())
        .merge(parts::routes())
}

/// Which hosts of the tenant a caller may reach with a permission.
pub(super) struct Reach(Vec<Option<Selector>>);

impl Reach {
    /// The reach of a caller: the union of the selectors of the roles that give the permission.
    pub(super) fn of(caller: &Caller, permission: Permission) -> Self {
        let roles = caller.roles.iter().filter(|role| role.role.allows(permission));
        // A selector that does not parse selects nothing.
        Self(
            roles
                .map(|role| role.selector.as_ref().map(|text| Selector::parse(text).unwrap_or_default()))
                .collect(),
        )
    }

    /// Whether it has this host.
    pub(super) fn has(&self, host: &HostFacts) -> bool {
        self.0.iter().any(|selector| selector.as_ref().is_none_or(|selector| selector.matches(host)))
    }
}

/// A host that the caller may reach with the permission that it has shown.
pub(super) async fn reachable<P: Need>(api: &Api, can: &Can<P>, id: HostId) -> Result<HostRow, Problem> {
    let row = hosts::find(&api.store, can.caller.tenant, id).await?;
    let reach = Reach::of(&can.caller, P::PERMISSION);
    row.filter(|row| reach.has(&row.facts)).ok_or_else(|| Failure::not_found("host").into())
}

/// All hosts that the caller may reach and that the filter selects, by id.
pub(super) async fn selected(
    api: &Api,
    caller: &Caller,
    filter: Option<&str>,
) -> Result<Vec<HostRow>, Problem> {
    let reach = Reach::of(caller, Permission::ReadHosts);
    let filter = filter.map(Selector::parse).transpose().map_err(Failure::from)?;
    let rows: Arc<Vec<HostRow>> = hosts::facts(&api.store, caller.tenant).await?;
    let wanted = |row: &&HostRow| {
        reach.has(&row.facts) && filter.as_ref().is_none_or(|filter| filter.matches(&row.facts))
    };
    Ok(rows.iter().filter(wanted).cloned().collect())
}

/// Which page of which hosts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HostsQuery {
    /// A selector, such as `env=prod,role in (web,api)`; all hosts when absent.
    #[param(max_length = 8192)]
    filter: Option<String>,
    /// Items, 1 to 500; 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// Lists hosts, oldest first.
#[utoipa::path(
    get, path = "/api/v1/hosts", operation_id = "list_hosts", tag = "hosts",
    params(HostsQuery), responses((status = 200, body = Page<HostView>))
)]
async fn list(
    State(api): State<Api>,
    can: Can<ReadHosts>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<HostsQuery>,
) -> Result<Linked<HostView>, Problem> {
    let list = List { name: "hosts", tenant: can.caller.tenant };
    let limit = page::limit(query.limit)?;
    let after = page::place(&api, list, query.cursor.as_deref())?;
    let rows = selected(&api, &can.caller, query.filter.as_deref()).await?;
    let Page { items, next } = page::cut(&api, list, (limit, after), rows, |row| row.id.to_string());
    let items = views(&api, can.caller.tenant, &items).await?;
    Ok(Linked { page: Page { items, next }, uri })
}

async fn views(api: &Api, tenant: TenantId, rows: &[HostRow]) -> Result<Vec<HostView>, Problem> {
    let judged = judged(api, tenant, rows).await?;
    let now = api.store.clock().now();
    Ok(rows.iter().zip(judged).map(|(row, judged)| HostView::new(row, judged, now)).collect())
}

/// Shows a host with everything that is known of it.
#[utoipa::path(
    get, path = "/api/v1/hosts/{id}", operation_id = "show_host", tag = "hosts",
    params(("id" = String, Path, description = "The host's id")), responses((status = 200, body = HostView))
)]
async fn show(
    State(api): State<Api>,
    can: Can<ReadHosts>,
    Id(id): Id<HostId>,
) -> Result<axum::Json<HostView>, Problem> {
    let row = reachable(&api, &can, id).await?;
    one(&api, can.caller.tenant, &row).await.map(axum::Json)
}

/// One host as it is shown.
async fn one(api: &Api, tenant: TenantId, row: &HostRow) -> Result<HostView, Problem> {
    let views = views(api, tenant, std::slice::from_ref(row)).await?;
    views.into_iter().next().ok_or_else(|| Problem::internal(&"a host without a view"))
}
