//! Reading numbered events, page by page.
//!
//! Owns the query. Invariant: pages go by number, never by offset, and a page has at most 500 events.

use crate::{Store, StoreError, sql};
use legator_core::ids::{HostId, PlanId, TenantId};
use legator_core::time::Timestamp;
use sea_orm::Value;

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By rising number.
    #[default]
    Oldest,
    /// By falling number.
    Newest,
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Only with greater numbers than this; 0 for all.
    pub after: u64,
    /// Only with smaller numbers than this.
    pub before: Option<u64>,
    /// At most so many, 1 to 500.
    pub limit: usize,
    /// Only of this kind, such as `plan.made`, or of all kinds of a noun: `task.*`.
    pub kind: Option<String>,
    /// Only about this host.
    pub host: Option<HostId>,
    /// Only about this plan.
    pub plan: Option<PlanId>,
    /// Only from this moment on.
    pub since: Option<Timestamp>,
    /// In which order.
    pub order: Order,
}

/// A numbered event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Its number.
    pub number: u64,
    /// Exactly the text that was stored.
    pub event: String,
}

struct Text {
    sql: String,
    values: Vec<Value>,
}

impl Text {
    fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value.into());
    }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn text(tenant: TenantId, query: &Query) -> Text {
    // By an index on what the events are about where there is one, else along the chain; the order is the same.
    let about = query.host.is_some() || query.plan.is_some() || query.kind.is_some();
    let (from, of, by) = if about {
        ("events e CROSS JOIN chain c ON c.seq = e.seq", "e.tenant", "e.seq")
    } else {
        ("chain c CROSS JOIN events e ON e.seq = c.seq", "c.tenant", "c.number")
    };
    let mut text = Text {
        sql: format!("SELECT c.number, e.body FROM {from} WHERE {of} = ?"),
        values: vec![tenant.to_string().into()],
    };
    if query.after > 0 {
        text.and("c.number > ?", number(query.after));
    }
    if let Some(before) = query.before {
        text.and("c.number < ?", number(before));
    }
    if let Some(host) = query.host {
        text.and("e.host = ?", host.to_string());
    }
    if let Some(plan) = query.plan {
        text.and("e.plan = ?", plan.to_string());
    }
    if let Some(since) = query.since {
        text.and("e.at >= ?", since.millis());
    }
    match query.kind.as_deref().map(|kind| kind.strip_suffix(".*").map_or((kind, false), |noun| (noun, true)))
    {
        None => {}
        Some((kind, false)) => text.and("e.kind = ?", kind),
        Some((noun, true)) => {
            text.and("e.kind >= ?", format!("{noun}."));
            text.and("e.kind < ?", format!("{noun}/"));
        }
    }
    let direction = if query.order == Order::Newest { "DESC" } else { "ASC" };
    text.sql.push_str(&format!(" ORDER BY {by} {direction} LIMIT {}", query.limit.clamp(1, 500)));
    text
}

/// The numbered events of a tenant that a query asks for.
pub async fn read(store: &Store, tenant: TenantId, query: &Query) -> Result<Vec<Numbered>, StoreError> {
    let Text { sql, values } = text(tenant, query);
    let rows = crate::sql::all(store.reader(), &sql, values).await?;
    let events = rows.iter().map(|row| {
        let number: i64 = sql::column(row, 0)?;
        Ok(Numbered { number: u64::try_from(number).unwrap_or(0), event: sql::column(row, 1)? })
    });
    events.collect()
}

/// The number of the newest event; 0 when there is none.
pub async fn newest(store: &Store, tenant: TenantId) -> Result<u64, StoreError> {
    let text = "SELECT size FROM chain_heads WHERE tenant = ?";
    let row = sql::one(store.reader(), text, vec![tenant.to_string().into()]).await?;
    row.map_or(Ok(0), |row| Ok(u64::try_from(sql::column::<i64>(&row, 0)?).unwrap_or(0)))
}
