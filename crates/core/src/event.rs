//! Something that happened, as it is stored, chained, exported and told.
//!
//! Owns the form of an event before it has a number. The bytes of `Event` as JSON are what is hashed; they are stored and never made again.

use crate::ids::{EventId, HostId, KeyId, PersonId, PlanId, TaskId, TenantId, TraceId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who made it happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Actor {
    /// A person, by an API key, or the brain on behalf of that person.
    Person {
        /// Who.
        id: PersonId,
        /// With which key; none without authentication.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<KeyId>,
        /// By which door: api, chat, ctl, schedule.
        via: String,
    },
    /// A probe, by its signature.
    Probe {
        /// Of which host.
        host: HostId,
    },
    /// Legator itself.
    System {
        /// Which part: dispatch, record, reap, notary, migrate, admin.
        part: String,
    },
}

impl Actor {
    /// A part of Legator itself.
    pub fn system(part: &str) -> Self {
        Self::System { part: part.to_owned() }
    }
}

/// What an event is about, besides its tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// A host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// A plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
    /// A task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

impl About {
    /// Nothing but the tenant.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// A host.
    pub fn host(host: HostId) -> Self {
        Self { host: Some(host), ..Self::default() }
    }

    /// A plan.
    pub fn plan(plan: PlanId) -> Self {
        Self { plan: Some(plan), ..Self::default() }
    }

    /// One host's share of a plan.
    pub fn task(host: HostId, plan: PlanId, task: TaskId) -> Self {
        Self { host: Some(host), plan: Some(plan), task: Some(task) }
    }
}

/// An event on its way into a transaction; the store adds id, time, tenant, actor and trace.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// `noun.verb` in the past tense, such as `plan.made`, `task.ended`, `host.enrolled`.
    pub kind: &'static str,
    /// What it is about.
    pub about: About,
    /// The particulars, an object.
    pub data: Value,
}

impl NewEvent {
    /// An event of this kind about this, with these particulars.
    pub fn new(kind: &'static str, about: About, data: Value) -> Self {
        Self { kind, about, data }
    }
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Its tenant.
    pub tenant: TenantId,
    /// When.
    pub at: Timestamp,
    /// `noun.verb`.
    pub kind: String,
    /// Who.
    pub actor: Actor,
    /// The request that it belongs to.
    pub trace: TraceId,
    /// What it is about.
    #[serde(flatten)]
    pub about: About,
    /// The particulars.
    pub data: Value,
}
