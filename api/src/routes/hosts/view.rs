//! A host as it is answered.
//!
//! Owns the form. Health and risk are computed when asked, from what is recorded.

use crate::problem::Problem;
use crate::{Api, shapes};
use legator_core::health::{Health, score};
use legator_core::ids::{HostId, TenantId};
use legator_core::inventory::{self, Os};
use legator_core::level::Level;
use legator_core::risk::{Risk, assess};
use legator_core::time::Timestamp;
use legator_store::hosts::HostRow;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// A host.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Host)]
pub(in crate::routes) struct HostView {
    /// Its id.
    pub id: String,
    /// The name that people use; need not be unique.
    pub name: String,
    /// What the machine calls itself.
    pub hostname: String,
    /// online, stale, offline or revoked.
    pub status: String,
    /// The ceiling of what may run there.
    #[schema(value_type = shapes::LevelWord)]
    pub level: Level,
    /// Labels that operators gave.
    pub labels: BTreeMap<String, String>,
    /// The system, as it calls itself.
    pub os: String,
    /// How well it is.
    #[schema(value_type = shapes::HealthShape)]
    pub health: Health,
    /// How much could go wrong.
    #[schema(value_type = shapes::RiskShape)]
    pub risk: Risk,
    /// What its kernel can do to hold a command: full, partial or none.
    pub cage: String,
    /// The layers of the cage that are missing, with reasons.
    pub cage_missing: Vec<String>,
    /// The probe.
    pub probe: ProbeView,
    /// When it was last heard.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Timestamp>,
    /// Whether a command can be handed to it now.
    pub connected: bool,
    /// Since when it is held back from commands, because two machines use its key.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub cloned_at: Option<Timestamp>,
    /// When it joined.
    #[schema(value_type = String, format = DateTime)]
    pub enrolled_at: Timestamp,
    /// Its public key, 64 hex digits.
    pub key: String,
}

/// The probe of a host.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ProbeOfHost)]
pub(in crate::routes) struct ProbeView {
    /// Its version.
    pub version: Option<String>,
    /// The highest level of the host's own file.
    #[schema(value_type = Option<shapes::LevelWord>)]
    pub max_level: Option<Level>,
}

/// What is computed of a host.
pub(in crate::routes) struct Judged {
    pub health: Health,
    pub risk: Risk,
    pub os: Option<Os>,
}

impl HostView {
    pub(in crate::routes) fn new(row: &HostRow, judged: Judged, now: Timestamp) -> Self {
        let session = row.session.as_ref();
        let os = judged.os.map(|os| os.name).filter(|name| !name.is_empty());
        Self {
            id: row.id.to_string(),
            name: row.facts.name.clone(),
            hostname: row.hostname.clone(),
            status: row.status(now).word().to_owned(),
            level: row.facts.level,
            labels: row.facts.labels.clone(),
            os: os.unwrap_or_else(|| row.facts.os.clone()),
            health: judged.health,
            risk: judged.risk,
            cage: row.facts.cage.clone(),
            cage_missing: session.map(|session| session.said.cage.missing.clone()).unwrap_or_default(),
            probe: ProbeView {
                version: session.map(|session| session.said.version.clone()),
                max_level: session.map(|session| session.said.max_level),
            },
            last_seen: session.map(|session| session.seen_at),
            connected: row.connected,
            cloned_at: session.and_then(|session| session.cloned_at),
            enrolled_at: row.enrolled_at,
            key: row.key.clone(),
        }
    }
}

/// Health, risk and system of these hosts, in their order. Two statements, however many they are.
pub(in crate::routes) async fn judged(
    api: &Api,
    tenant: TenantId,
    rows: &[HostRow],
) -> Result<Vec<Judged>, Problem> {
    let ids: Vec<HostId> = rows.iter().map(|row| row.id).collect();
    let recorded = legator_store::inventory::recorded(&api.store, tenant, &ids).await?;
    let mut systems = systems(api, &ids).await?;
    let now = api.store.clock().now();
    let none = legator_core::health::Recorded::default();
    let judge = |id: &HostId| {
        let recorded = recorded.get(id).unwrap_or(&none);
        (score(recorded, now), assess(recorded, now))
    };
    Ok(ids
        .iter()
        .map(|id| {
            let (health, risk) = judge(id);
            Judged { health, risk, os: systems.remove(id) }
        })
        .collect())
}

async fn systems(api: &Api, ids: &[HostId]) -> Result<HashMap<HostId, Os>, Problem> {
    let found = legator_store::inventory::part_of_many(&api.store, ids, "os").await?;
    let read = |value: Value| inventory::read::<Os>(Some(&value));
    Ok(found.into_iter().filter_map(|(id, value)| Some((id, read(value)?))).collect())
}
