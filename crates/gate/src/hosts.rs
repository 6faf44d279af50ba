//! Which hosts a plan is for.
//!
//! Owns the resolution of a selector, narrowed to what the caller's roles reach. Invariant: what is returned is not empty, and
//! every host in it may come, is within reach and was selected.

use std::collections::HashMap;
use std::sync::Arc;

use legator_core::error::{ErrorKind, Failure};
use legator_core::ids::HostId;
use legator_core::level::Level;
use legator_core::plan::PLAN_HOSTS_MAX;
use legator_core::rights::{HostFacts, Permission};
use legator_core::selector::Selector;
use legator_store::hosts::HostRow;

use crate::caller::{Caller, Reach};

/// Hosts named in one sentence, at most.
const NAMES_MAX: usize = 10;

/// All hosts of a tenant at a moment.
#[derive(Clone)]
pub(crate) struct Fleet(pub(crate) Arc<Vec<HostRow>>);

impl Fleet {
    pub(crate) async fn of(
        gate: &crate::Gate,
        tenant: legator_core::ids::TenantId,
    ) -> Result<Self, legator_store::StoreError> {
        legator_store::hosts::facts(&gate.store, tenant).await.map(Self)
    }

    /// A host, unless it was removed.
    pub(crate) fn find(&self, id: HostId) -> Option<&HostRow> {
        let place = self.0.binary_search_by_key(&id, |row| row.id).ok()?;
        self.0.get(place)
    }

    /// A host that may come.
    pub(crate) fn living(&self, id: HostId) -> Option<&HostRow> {
        self.find(id).filter(|row| !row.revoked)
    }

    /// How many hosts may come.
    pub(crate) fn size(&self) -> u32 {
        u32::try_from(self.0.iter().filter(|row| !row.revoked).count()).unwrap_or(u32::MAX)
    }

    /// The facts of these hosts, as far as they may come.
    pub(crate) fn facts(&self, hosts: impl Iterator<Item = HostId>) -> Vec<&HostFacts> {
        hosts.filter_map(|id| self.living(id)).map(|row| &row.facts).collect()
    }
}

/// The hosts that `selector` selects, whoever asks.
pub(crate) fn select<'a>(fleet: &'a Fleet, selector: &str) -> Result<Vec<&'a HostRow>, Failure> {
    let selector = Selector::parse(selector)?;
    if selector.is_empty() {
        let failure = Failure::invalid("empty-selector", "an empty selector selects nothing");
        return Err(failure.hint("name the hosts, such as name=web-03, or * for every host"));
    }
    let selected: Vec<&HostRow> =
        fleet.0.iter().filter(|row| !row.revoked && selector.matches(&row.facts)).collect();
    if selected.is_empty() { Err(nothing(fleet, &selector)) } else { Ok(selected) }
}

/// The hosts that `selector` selects and the caller may plan for.
pub(crate) fn resolve<'a>(
    fleet: &'a Fleet,
    caller: &Caller,
    selector: &str,
) -> Result<Vec<&'a HostRow>, Failure> {
    let selected = select(fleet, selector)?;
    let reach = Reach::of(&caller.roles, Permission::MakePlans);
    let within: Vec<&HostRow> = selected.into_iter().filter(|row| reach.covers(&row.facts)).collect();
    if within.is_empty() {
        let detail =
            format!("the selector {} selects hosts, but none that your roles reach", selector.trim());
        return Err(Failure::forbidden("outside-your-hosts", detail)
            .hint(format!("your roles reach {}", reach.text())));
    }
    if within.len() > PLAN_HOSTS_MAX {
        let detail = format!("{} hosts are more than one plan takes ({PLAN_HOSTS_MAX})", within.len());
        return Err(Failure::new(ErrorKind::TooLarge, "too-many-hosts", detail));
    }
    Ok(within)
}

fn nothing(fleet: &Fleet, selector: &Selector) -> Failure {
    let failure =
        Failure::new(ErrorKind::Invalid, "no-hosts", format!("the selector {selector} selects no host"));
    let text = selector.to_string();
    let wanted = text.strip_prefix("name=").unwrap_or_default();
    let start: String = wanted.chars().take(3).collect();
    let near =
        fleet.0.iter().filter(|row| !row.revoked && !start.is_empty() && row.facts.name.starts_with(&start));
    let near: Vec<&str> = near.take(5).map(|row| row.facts.name.as_str()).collect();
    match near.is_empty() {
        true => failure.hint("GET /api/v1/hosts lists the hosts"),
        false => failure.hint(format!("did you mean {}?", near.join(", "))),
    }
}

/// Refuses a plan above the ceiling of one of its hosts.
pub(crate) fn within_ceiling(hosts: &[&HostRow], level: Level) -> Result<(), Failure> {
    let low: Vec<&str> =
        hosts.iter().filter(|row| row.facts.level < level).map(|row| row.facts.name.as_str()).collect();
    if low.is_empty() {
        return Ok(());
    }
    let detail = format!("a plan at {level} is above the level of {}", names(&low));
    let hint = format!("an admin may raise their level to {level}; or select hosts with level={level}");
    Err(Failure::new(ErrorKind::Refused, "level-above-ceiling", detail).rule("host-level").hint(hint))
}

/// Some names, and how many more there are.
pub(crate) fn names(all: &[&str]) -> String {
    let more = all.len().saturating_sub(NAMES_MAX);
    let named = all.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

/// The rows by id, for a step over many tasks.
pub(crate) fn by_id(fleet: &Fleet) -> HashMap<HostId, &HostRow> {
    fleet.0.iter().map(|row| (row.id, row)).collect()
}
