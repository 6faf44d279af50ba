//! Freeze windows, and the limits that hosts are told.
//!
//! Owns the opening and closing of a window and the payload of limits. Invariant: each change raises the version of the tenant's
//! limits in its transaction, so that no grant goes out under older ones.

use std::collections::HashMap;

use legator_core::error::Failure;
use legator_core::event::{About as Subject, NewEvent};
use legator_core::ids::{FreezeId, HostId, PersonId, TenantId};
use legator_core::rights::{HostFacts, Permission};
use legator_core::selector::Selector;
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_store::freezes::{self as rows, FreezeRow};
use legator_store::hosts::HostRow;
use legator_store::{Audited, limits};
use legator_wire::dsse::Envelope;
use legator_wire::keys::AuthorityKey;
use legator_wire::order::{FreezeWindow, Limits};
use serde::Serialize;
use serde_json::json;

use crate::Gate;
use crate::ask::reason;
use crate::caller::Caller;
use crate::error::GateError;
use crate::hosts::Fleet;

/// The longest window: 90 days.
const WINDOW_MAX: Span = Span::from_secs(90 * 86_400);
/// Windows of one tenant that are not over, at most.
const WINDOWS_MAX: usize = 100;

/// A window to open.
#[derive(Debug, Clone)]
pub struct NewFreeze {
    /// The hosts.
    pub selector: String,
    /// From when; at once when absent.
    pub from: Option<Timestamp>,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// A window as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FreezeView {
    /// Its id.
    pub id: FreezeId,
    /// The hosts; all for a broken one.
    pub selector: String,
    /// From when.
    pub from: Timestamp,
    /// Until when; not included.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who opened it.
    pub by: Option<PersonId>,
    /// Whether it is open now.
    pub open: bool,
    /// Its row was changed outside Legator: it holds everything.
    pub broken: bool,
}

fn view(id: FreezeId, row: Option<FreezeRow>, now: Timestamp) -> FreezeView {
    match row {
        Some(row) => FreezeView {
            id,
            open: row.from <= now && now < row.until,
            selector: row.selector,
            from: row.from,
            until: row.until,
            reason: row.reason,
            by: Some(row.by),
            broken: false,
        },
        None => FreezeView {
            id,
            selector: "*".into(),
            from: Timestamp::EPOCH,
            until: Timestamp::MAX,
            reason: "its row was changed outside Legator".into(),
            by: None,
            open: true,
            broken: true,
        },
    }
}

/// Opens a window.
///
/// # Errors
/// A selector that does not parse or is empty, times that are over or too long, an absent reason, too many windows.
pub async fn open_freeze(gate: &Gate, caller: &Caller, new: NewFreeze) -> Result<FreezeView, Failure> {
    caller.need(Permission::ManageFreezes)?;
    let selector = Selector::parse(&new.selector)?;
    if selector.is_empty() {
        return Err(Failure::invalid("empty-selector", "an empty selector freezes nothing")
            .hint("* freezes every host"));
    }
    let now = gate.store.clock().now();
    let from = new.from.unwrap_or(now);
    if new.until <= from || new.until <= now || new.until.since(from) > WINDOW_MAX {
        let detail = format!("a window ends after it begins, in the future, and lasts at most {WINDOW_MAX}");
        return Err(Failure::invalid("bad-times", detail));
    }
    let reason = reason(Some(new.reason))?
        .ok_or_else(|| Failure::invalid("reason-needed", "a freeze needs a reason"))?;
    let row = FreezeRow {
        selector: selector.to_string(),
        from,
        until: new.until,
        reason,
        by: caller.person,
        made_at: now,
    };
    let id = FreezeId::fresh(gate.store.ids());
    let op = caller.op();
    let written = gate.store.write(&op, async |tx| {
        let known = rows::of_act(tx).await?;
        if known.iter().filter(|(_, row)| row.as_ref().is_none_or(|row| row.until > now)).count() >= WINDOWS_MAX {
            return Err(GateError::from(Failure::conflict("too-many-freezes", format!("{WINDOWS_MAX} windows are open or coming"))));
        }
        let version = rows::put(tx, id, &row).await?;
        let data = json!({"freeze": id, "selector": row.selector, "from": row.from, "until": row.until, "reason": row.reason,
            "limits_version": version});
        Ok(Audited::new((), NewEvent::new("freeze.opened", Subject::nothing(), data)))
    });
    written.await?;
    Ok(view(id, Some(row), now))
}

/// Takes a window away.
pub async fn close_freeze(gate: &Gate, caller: &Caller, id: FreezeId) -> Result<(), Failure> {
    caller.need(Permission::ManageFreezes)?;
    let op = caller.op();
    let written = gate.store.write(&op, async |tx| {
        let version =
            rows::remove(tx, id).await?.ok_or_else(|| GateError::from(Failure::not_found("freeze")))?;
        let data = json!({"freeze": id, "limits_version": version});
        Ok::<_, GateError>(Audited::new((), NewEvent::new("freeze.closed", Subject::nothing(), data)))
    });
    Ok(written.await?)
}

/// The windows of a tenant that are open or coming.
pub async fn freezes(gate: &Gate, tenant: TenantId) -> Result<Vec<FreezeView>, Failure> {
    let now = gate.store.clock().now();
    let all = rows::list(&gate.store, tenant).await?;
    Ok(all.into_iter().map(|(id, row)| view(id, row, now)).filter(|view| view.until > now).collect())
}

/// The windows with their selectors, parsed. One that does not parse is over every host.
pub(crate) fn parsed(all: Vec<(FreezeId, Option<FreezeRow>)>, now: Timestamp) -> Vec<(FreezeView, Selector)> {
    let views = all.into_iter().map(|(id, row)| view(id, row, now)).filter(|view| view.until > now);
    views
        .map(|view| (Selector::parse(&view.selector).unwrap_or_else(|_| Selector::all()), view))
        .map(|(s, v)| (v, s))
        .collect()
}

/// Of these hosts, those under an open window, with the latest end.
pub(crate) fn frozen<'a>(
    windows: &[(FreezeView, Selector)],
    hosts: impl Iterator<Item = &'a HostRow>,
) -> HashMap<HostId, Timestamp> {
    let until = |facts: &HostFacts| {
        windows
            .iter()
            .filter(|(view, selector)| view.open && selector.matches(facts))
            .map(|(view, _)| view.until)
            .max()
    };
    hosts.filter_map(|host| Some((host.id, until(&host.facts)?))).collect()
}

/// The limits of a host as the authority signs them.
pub(crate) fn signed(
    gate: &Gate,
    key: &AuthorityKey,
    host: &HostRow,
    on: (&[(FreezeView, Selector)], u64, Timestamp),
) -> Envelope {
    let (windows, version, now) = on;
    let holding = windows.iter().filter(|(_, selector)| selector.matches(&host.facts));
    let limits = Limits {
        installation: gate.installation().to_owned(),
        host: host.id,
        version,
        ceiling: host.facts.level,
        freezes: holding
            .map(|(view, _)| FreezeWindow { id: view.id, from: view.from, until: view.until })
            .collect(),
        made_at: now,
    };
    Envelope::seal(&limits, key)
}

/// The limits of a host, to tell it after a freeze or a level changed; nothing before any was ever set, or without such a host.
///
/// # Errors
/// When the store fails.
pub async fn limits_for(
    gate: &Gate,
    key: &AuthorityKey,
    on: (TenantId, HostId),
) -> Result<Option<Envelope>, GateError> {
    let (tenant, host) = on;
    let version = limits::version(&gate.store, tenant).await?;
    let fleet = Fleet::of(gate, tenant).await?;
    let Some(row) = fleet.living(host).filter(|_| version > 0) else { return Ok(None) };
    let now = gate.store.clock().now();
    let windows = parsed(rows::list(&gate.store, tenant).await?, now);
    Ok(Some(signed(gate, key, row, (&windows, version, now))))
}
