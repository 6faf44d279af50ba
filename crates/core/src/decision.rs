//! What a policy says of a plan.
//!
//! Owns the answer only; the rules stand in `legator-policy`.

use serde::{Deserialize, Serialize};

/// The answer of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It may run.
    Allow,
    /// It may run after approvals.
    NeedsApproval,
    /// It may not run.
    Refuse,
}

/// The answer with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The answer.
    pub effect: Effect,
    /// The id of the rule that decided.
    pub rule: String,
    /// How many persons have to approve; zero unless `effect` is `needs_approval`.
    pub approvals_needed: u8,
    /// Why, in a sentence for people.
    pub reason: String,
    /// The version of the policy that was asked; zero is the built-in one.
    #[serde(default)]
    pub policy_version: u64,
}

impl Decision {
    /// A refusal by this rule.
    pub fn refuse(rule: impl Into<String>, reason: impl Into<String>) -> Self {
        let (rule, reason) = (rule.into(), reason.into());
        Self { effect: Effect::Refuse, rule, approvals_needed: 0, reason, policy_version: 0 }
    }
}
