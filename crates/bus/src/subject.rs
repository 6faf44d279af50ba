//! Where messages go: one subject a purpose, made from typed ids only.
//!
//! Owns the names of all subjects and reading ids back out of them. Invariant: a subject's text is never trusted: `read` gives typed
//! ids or nothing, and no constructor lets a caller's text add a token.

pub mod read;

use legator_core::ids::{HostId, InstanceId, PlanId, TenantId, TurnId};
use std::fmt;
use std::sync::Arc;

/// A subject, or a pattern over subjects: `*` is one token, `>` at the end is all that follow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Subject {
    fn new(text: String) -> Self {
        Self(text.into())
    }

    pub(crate) fn inbox(number: u64) -> Self {
        Self::new(format!("_inbox.{number}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for more than one subject.
    pub fn is_pattern(&self) -> bool {
        self.0.split('.').any(|token| token == "*" || token == ">")
    }

    /// Whether a subject is among those that this pattern stands for.
    pub fn matches(&self, subject: &Self) -> bool {
        let (mut pattern, mut tokens) = (self.0.split('.'), subject.0.split('.'));
        loop {
            match (pattern.next(), tokens.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(wanted), Some(token)) if wanted == token => {}
                _ => return false,
            }
        }
    }
}

/// A text as one token: what is no lower-case letter, digit, `_` or `-` becomes `_`; at most 64 characters.
fn token(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' { c } else { '_' };
    let token: String = text.chars().take(64).map(safe).collect();
    if token.is_empty() { "_".to_owned() } else { token }
}

/// Commands for one host, by the edge that holds it.
pub fn edge_cmd(edge: InstanceId, host: HostId) -> Subject {
    Subject::new(format!("legator.edge.{edge}.host.{host}.cmd"))
}

/// All commands for the hosts of an edge.
pub fn edge_cmds(edge: InstanceId) -> Subject {
    Subject::new(format!("legator.edge.{edge}.host.*.cmd"))
}

/// An edge asks for keys and revocations.
pub fn edge_sync(edge: InstanceId) -> Subject {
    Subject::new(format!("legator.edge.{edge}.sync"))
}

/// All edges that ask.
pub fn edge_syncs() -> Subject {
    Subject::new("legator.edge.*.sync".to_owned())
}

/// An edge's aggregated heartbeat.
pub fn edge_beat(edge: InstanceId) -> Subject {
    Subject::new(format!("legator.edge.{edge}.beat"))
}

/// All edges' heartbeats.
pub fn edge_beats() -> Subject {
    Subject::new("legator.edge.*.beat".to_owned())
}

/// What a host says: `hello`, `receipt`, `inventory`, `bye` …
pub fn host_up(host: HostId, kind: &str) -> Subject {
    Subject::new(format!("legator.host.{host}.up.{}", token(kind)))
}

/// What all hosts say of one kind.
pub fn host_ups(kind: &str) -> Subject {
    Subject::new(format!("legator.host.*.up.{}", token(kind)))
}

/// Live output of a plan on a host.
pub fn host_out(host: HostId, plan: PlanId) -> Subject {
    Subject::new(format!("legator.host.{host}.out.{plan}"))
}

/// Live output of a plan on all its hosts.
pub fn plan_outs(plan: PlanId) -> Subject {
    Subject::new(format!("legator.host.*.out.{plan}"))
}

/// Issue or renew a credential.
pub fn enrol() -> Subject {
    Subject::new("legator.enrol".to_owned())
}

fn chat_host(host: Option<HostId>) -> String {
    host.map_or_else(|| "fleet".to_owned(), |host| host.to_string())
}

/// A turn for the brain; without a host it is the fleet's.
pub fn turn(host: Option<HostId>) -> Subject {
    Subject::new(format!("legator.host.{}.turn", chat_host(host)))
}

/// All turns.
pub fn turns() -> Subject {
    Subject::new("legator.host.*.turn".to_owned())
}

/// A step of a turn.
pub fn step(host: Option<HostId>, turn: TurnId) -> Subject {
    Subject::new(format!("legator.host.{}.step.{turn}", chat_host(host)))
}

/// All steps.
pub fn steps() -> Subject {
    Subject::new("legator.host.*.step.*".to_owned())
}

/// Tokens of a turn, for display.
pub fn say(host: Option<HostId>, turn: TurnId) -> Subject {
    Subject::new(format!("legator.host.{}.say.{turn}", chat_host(host)))
}

/// Tokens of all turns of a host's chats, or of the fleet's; those of other tenants are among the fleet's.
pub fn says(host: Option<HostId>) -> Subject {
    Subject::new(format!("legator.host.{}.say.*", chat_host(host)))
}

/// Whether a brain is there, and with which model.
pub fn brain() -> Subject {
    Subject::new("legator.brain".to_owned())
}

/// Somebody committed something about this id: read the store again.
pub fn wake(what: &str, id: impl fmt::Display) -> Subject {
    Subject::new(format!("legator.wake.{}.{}", token(what), token(&id.to_string())))
}

/// All wakes of one kind.
pub fn wakes(what: &str) -> Subject {
    Subject::new(format!("legator.wake.{}.*", token(what)))
}

/// An event with its number. `kind` is `noun.verb`.
pub fn event(tenant: TenantId, kind: &str) -> Subject {
    let (noun, verb) = kind.split_once('.').unwrap_or((kind, "_"));
    Subject::new(format!("legator.event.{tenant}.{}.{}", token(noun), token(verb)))
}

/// All events of a tenant.
pub fn events(tenant: TenantId) -> Subject {
    Subject::new(format!("legator.event.{tenant}.>"))
}
