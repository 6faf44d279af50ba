//! From the facts of a plan to a decision and the rule that made it. The only user of Cedar.
//!
//! Owns the built-in policy, the schema that every policy is checked against, and the meaning of the annotations:
//! `@id` names a rule, `@approvals("n")` on a permit says how many persons have to approve, `@reason` says why.
//! Never does I/O. Invariant: what cannot be decided is refused; of several rules that apply the strictest counts.

mod ask;
mod rules;
mod why;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use legator_core::decision::Decision;
use legator_core::level::{Effects, Level};
use legator_core::rights::HostFacts;
use serde::{Deserialize, Serialize};

pub use why::{Change, HostVerdict, Why};

/// The longest policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;
/// Rules of one policy, at most.
pub const RULES_MAX: usize = 200;
/// Approvals that one rule can ask for, at most.
pub const APPROVALS_MAX: u8 = 9;

/// The text of the built-in policy.
pub const BUILT_IN: &str = include_str!("../rules/default.cedar");
/// The schema that policies are checked against.
pub const SCHEMA: &str = include_str!("../rules/schema.cedarschema");

/// What is asked about, besides the hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The requester's id.
    pub person: String,
    /// The requester's roles.
    pub roles: Vec<String>,
    /// By which door: api, ctl, chat.
    pub via: String,
    /// The verb.
    pub verb: String,
    /// For `task.undo`: the verb that is taken back.
    pub undoes: Option<String>,
    /// The level that the plan runs at.
    pub level: Level,
    /// What a confined program may touch.
    pub effects: Effects,
    /// Arguments that a rule may name.
    pub args: Named,
    /// Hosts of the plan.
    pub hosts: u32,
    /// Hosts of the tenant.
    pub fleet: u32,
}

/// Arguments that a rule may name, where the verb has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The path of a file verb.
    pub path: Option<String>,
    /// The name of a service or package.
    pub name: Option<String>,
    /// The first word of a command.
    pub program: Option<String>,
}

impl Named {
    /// Those among these arguments of a verb.
    pub fn of(args: &serde_json::Value) -> Self {
        let text = |field: &str| args.get(field).and_then(|value| value.as_str()).map(str::to_owned);
        let program = args.get("argv").and_then(|argv| argv.get(0)).and_then(|word| word.as_str());
        Self { path: text("path"), name: text("name"), program: program.map(str::to_owned) }
    }
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy is not valid: {}", .problems.join("; "))]
pub struct BadPolicy {
    /// Everything that is wrong, at most 20 sentences.
    pub problems: Vec<String>,
}

/// A policy, checked and ready to be asked.
pub struct Policy {
    version: u64,
    text: String,
    /// Absent: everything is refused, for this reason.
    rules: Result<rules::Rules, String>,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Policy {
    /// The policy that this text is.
    ///
    /// # Errors
    /// Everything that is wrong with it: syntax, types, annotations.
    pub fn parse(version: u64, text: &str) -> Result<Self, BadPolicy> {
        let rules = rules::Rules::parse(text)?;
        Ok(Self { version, text: text.to_owned(), rules: Ok(rules) })
    }

    /// The policy that is in force until another is activated: version zero.
    pub fn built_in() -> &'static Self {
        static BUILT: OnceLock<Policy> = OnceLock::new();
        BUILT.get_or_init(|| Self::parse(0, BUILT_IN).unwrap_or_else(|bad| Self::closed(0, bad.to_string())))
    }

    /// A policy that refuses everything, for where the one in force cannot be read.
    pub fn closed(version: u64, reason: impl Into<String>) -> Self {
        Self { version, text: String::new(), rules: Err(reason.into()) }
    }

    /// Its version; zero is the built-in one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The decision for a plan of these facts on these hosts: the strictest over them. Without a host it is a refusal.
    pub fn decide(&self, facts: &Facts, hosts: &[&HostFacts]) -> Decision {
        ask::decide(self, facts, hosts)
    }

    /// The decision, what each rule said, and what would change the answer.
    pub fn why(&self, facts: &Facts, hosts: &[&HostFacts]) -> Why {
        why::why(self, facts, hosts)
    }
}
