//! A policy's text, checked: syntax, types against the schema, and annotations.
//!
//! Owns what an annotation means. Invariant: every rule in `Rules` has a name of its own, and every permit a number of approvals.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::OnceLock;

use cedar_policy::{Effect, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use crate::{APPROVALS_MAX, BadPolicy, POLICY_BYTES_MAX, RULES_MAX, SCHEMA};

const NAME_BYTES_MAX: usize = 64;
const REASON_BYTES_MAX: usize = 400;
const PROBLEMS_MAX: usize = 20;

/// What a rule says when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Says {
    /// So many persons have to approve.
    Approvals(u8),
    /// No.
    Forbid,
}

/// One rule, without its condition, which Cedar keeps.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Its place in the text.
    pub(crate) place: usize,
    pub(crate) name: String,
    pub(crate) says: Says,
    pub(crate) reason: String,
}

/// A checked policy.
pub(crate) struct Rules {
    pub(crate) set: PolicySet,
    pub(crate) by_id: BTreeMap<PolicyId, Rule>,
    /// Whether a rule may tell hosts apart by more than their class of labels, level, cage, status and system.
    pub(crate) tells_hosts_apart: bool,
}

/// The schema, parsed once.
pub(crate) fn schema() -> Result<&'static Schema, String> {
    static PARSED: OnceLock<Result<Schema, String>> = OnceLock::new();
    let parsed = PARSED.get_or_init(|| {
        Schema::from_cedarschema_str(SCHEMA).map(|(schema, _)| schema).map_err(|error| error.to_string())
    });
    parsed.as_ref().map_err(Clone::clone)
}

fn bad(problem: impl Into<String>) -> BadPolicy {
    BadPolicy { problems: vec![problem.into()] }
}

impl Rules {
    pub(crate) fn parse(text: &str) -> Result<Self, BadPolicy> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(bad(format!("{} bytes are more than {POLICY_BYTES_MAX}", text.len())));
        }
        let set = PolicySet::from_str(text).map_err(|errors| bad(errors.to_string()))?;
        let mut problems = problems_of_set(&set)?;
        let mut by_id = BTreeMap::new();
        for policy in set.policies() {
            match rule(policy) {
                Ok(rule) => {
                    by_id.insert(policy.id().clone(), rule);
                }
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(twins(by_id.values()));
        if !problems.is_empty() {
            problems.sort();
            problems.truncate(PROBLEMS_MAX);
            return Err(BadPolicy { problems });
        }
        // Erring towards "yes" costs time only.
        let tells_hosts_apart = text.contains("resource.name")
            || text.contains("resource[")
            || text.contains("Host::")
            || text.contains("resource has");
        Ok(Self { set, by_id, tells_hosts_apart })
    }
}

fn problems_of_set(set: &PolicySet) -> Result<Vec<String>, BadPolicy> {
    if set.num_of_templates() > 0 {
        return Err(bad("templates (?principal, ?resource) are not supported"));
    }
    let count = set.num_of_policies();
    if count == 0 {
        return Err(bad("it has no rule; it would refuse everything"));
    }
    if count > RULES_MAX {
        return Err(bad(format!("{count} rules are more than {RULES_MAX}")));
    }
    let schema = schema().map_err(bad)?;
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    Ok(result.validation_errors().map(ToString::to_string).collect())
}

fn rule(policy: &cedar_policy::Policy) -> Result<Rule, String> {
    let place = policy.id().to_string().trim_start_matches("policy").parse().unwrap_or(usize::MAX);
    let name = policy.annotation("id").unwrap_or_default().to_owned();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
        return Err(format!("rule {} needs @id(\"…\") of lower-case letters, digits and -", place + 1));
    }
    let reason = policy.annotation("reason").unwrap_or_default().to_owned();
    if reason.len() > REASON_BYTES_MAX {
        return Err(format!("the reason of {name} is longer than {REASON_BYTES_MAX} bytes"));
    }
    if let Some((unknown, _)) =
        policy.annotations().find(|(key, _)| !["id", "reason", "approvals"].contains(key))
    {
        return Err(format!("{name} has an annotation @{unknown}, which means nothing here"));
    }
    let says = says(policy, &name)?;
    Ok(Rule { place, name, says, reason })
}

fn says(policy: &cedar_policy::Policy, name: &str) -> Result<Says, String> {
    let approvals = policy.annotation("approvals");
    match (policy.effect(), approvals) {
        (Effect::Forbid, None) => Ok(Says::Forbid),
        (Effect::Forbid, Some(_)) => Err(format!("{name} forbids: it cannot have @approvals")),
        (Effect::Permit, None) => Err(format!("{name} permits: it needs @approvals(\"0\") or more")),
        (Effect::Permit, Some(text)) => match text.parse::<u8>() {
            Ok(count) if count <= APPROVALS_MAX && text.len() == 1 => Ok(Says::Approvals(count)),
            _ => Err(format!("@approvals of {name} is a number from 0 to {APPROVALS_MAX}")),
        },
    }
}

fn twins<'a>(rules: impl Iterator<Item = &'a Rule>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let reserved = ["no-rule", "policy-error", "no-host"];
    let names = rules.map(|rule| rule.name.as_str());
    let wrong = names.filter(|name| !seen.insert(*name) || reserved.contains(name));
    wrong.map(|name| format!("the name {name} is taken")).collect()
}
