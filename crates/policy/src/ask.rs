//! One question to Cedar for each kind of host, and the strictest of the answers.
//!
//! Owns how facts become a request. Invariant: an error of a rule refuses, as does the absence of a permit.

use std::collections::BTreeMap;

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use legator_core::decision::{Decision, Effect};
use legator_core::rights::HostFacts;

use crate::rules::{Rule, Rules, Says, schema};
use crate::{Facts, Policy};

/// What the rules say about one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Names of all rules that apply, in the order of the text.
    pub(crate) applied: Vec<String>,
}

pub(crate) fn decide(policy: &Policy, facts: &Facts, hosts: &[&HostFacts]) -> Decision {
    let answers = kinds(policy, hosts);
    let decisions = answers.iter().map(|(host, _)| one(policy, facts, host).0);
    strictest(decisions).unwrap_or_else(|| refuse(policy, "no-host", "there is no host to run it on"))
}

/// The strictest decision; the first of them where several are.
pub(crate) fn strictest(decisions: impl Iterator<Item = Decision>) -> Option<Decision> {
    decisions.reduce(|strict, next| if strictness(&next) > strictness(&strict) { next } else { strict })
}

pub(crate) fn strictness(decision: &Decision) -> u16 {
    match decision.effect {
        Effect::Allow => 0,
        Effect::NeedsApproval => u16::from(decision.approvals_needed),
        Effect::Refuse => u16::MAX,
    }
}

/// Hosts that the rules cannot tell apart are asked about once: the first of each kind, and how many it stands for.
pub(crate) fn kinds<'a>(
    policy: &Policy,
    hosts: &[&'a HostFacts],
) -> Vec<(&'a HostFacts, Vec<&'a HostFacts>)> {
    let apart = policy.rules.as_ref().is_ok_and(|rules| rules.tells_hosts_apart);
    let mut found: BTreeMap<_, usize> = BTreeMap::new();
    let mut kinds: Vec<(&HostFacts, Vec<&HostFacts>)> = Vec::new();
    for host in hosts.iter().copied() {
        let name = if apart { Some((&host.id, &host.name)) } else { None };
        let class = (host.level, &host.os, &host.status, &host.cage, &host.labels, name);
        let place = *found.entry(class).or_insert(kinds.len());
        match kinds.get_mut(place) {
            Some((_, all)) => all.push(host),
            None => kinds.push((host, vec![host])),
        }
    }
    kinds
}

fn refuse(policy: &Policy, rule: &str, reason: impl Into<String>) -> Decision {
    Decision { policy_version: policy.version, ..Decision::refuse(rule, reason) }
}

/// The decision for one host, and which rules were heard.
pub(crate) fn one(policy: &Policy, facts: &Facts, host: &HostFacts) -> (Decision, Heard) {
    let rules = match &policy.rules {
        Ok(rules) => rules,
        Err(reason) => {
            return (
                refuse(policy, "policy-error", format!("the policy cannot be read: {reason}")),
                Heard::default(),
            );
        }
    };
    let (request, entities) = match question(facts, host) {
        Ok(question) => question,
        Err(error) => {
            return (
                refuse(policy, "policy-error", format!("the policy could not be asked: {error}")),
                Heard::default(),
            );
        }
    };
    let response = Authorizer::new().is_authorized(&request, &rules.set, &entities);
    let mut applied: Vec<&Rule> =
        response.diagnostics().reason().filter_map(|id| rules.by_id.get(id)).collect();
    applied.sort_by_key(|rule| rule.place);
    let heard = Heard { applied: applied.iter().map(|rule| rule.name.clone()).collect() };
    if let Some(error) = response.diagnostics().errors().next() {
        let reason = format!("a rule of the policy failed: {}", failed(rules, error));
        return (refuse(policy, "policy-error", reason), heard);
    }
    (conclude(policy, &applied), heard)
}

fn failed(rules: &Rules, error: &cedar_policy::AuthorizationError) -> String {
    let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
    let name = rules.by_id.get(error.policy_id()).map_or("?", |rule| rule.name.as_str());
    format!("{name}: {}", error.inner())
}

fn conclude(policy: &Policy, applied: &[&Rule]) -> Decision {
    let most = applied.iter().map(|rule| rule.says).max();
    let Some(rule) = applied.iter().find(|rule| Some(rule.says) == most) else {
        return refuse(policy, "no-rule", "no rule of the policy allows it");
    };
    let (effect, approvals_needed) = match rule.says {
        Says::Forbid => (Effect::Refuse, 0),
        Says::Approvals(0) => (Effect::Allow, 0),
        Says::Approvals(count) => (Effect::NeedsApproval, count),
    };
    let reason = if rule.reason.is_empty() { format!("rule {}", rule.name) } else { rule.reason.clone() };
    Decision { effect, rule: rule.name.clone(), approvals_needed, reason, policy_version: policy.version }
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts<'a>(values: impl IntoIterator<Item = &'a String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(|value| text(value)))
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind: EntityTypeName = kind.parse().map_err(|_| format!("{kind} is no type"))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn question(facts: &Facts, host: &HostFacts) -> Result<(Request, Entities), String> {
    let schema = schema()?;
    let (who, what, whom) = (uid("Person", &facts.person)?, uid("Action", "run")?, uid("Host", &host.id)?);
    let roles = [("roles".to_owned(), texts(&facts.roles))];
    let person = Entity::new_with_tags(who.clone(), roles, [], []).map_err(|error| error.to_string())?;
    let about = [
        ("name", host.name.as_str()),
        ("level", host.level.word()),
        ("os", &host.os),
        ("status", &host.status),
        ("cage", &host.cage),
    ];
    let about = about.map(|(key, value)| (key.to_owned(), text(value)));
    let tags = host.labels.iter().map(|(key, value)| (key.clone(), text(value)));
    let host = Entity::new_with_tags(whom.clone(), about, [], tags).map_err(|error| error.to_string())?;
    let entities =
        Entities::from_entities([person, host], Some(schema)).map_err(|error| error.to_string())?;
    let request =
        Request::new(who, what, whom, context(facts)?, Some(schema)).map_err(|error| error.to_string())?;
    Ok((request, entities))
}

fn context(facts: &Facts) -> Result<Context, String> {
    let noun = facts.verb.split('.').next().unwrap_or_default();
    let mut pairs = vec![
        ("verb", text(&facts.verb)),
        ("noun", text(noun)),
        ("level", text(facts.level.word())),
        ("unconfined", RestrictedExpression::new_bool(facts.effects.unconfined)),
        ("net", RestrictedExpression::new_bool(facts.effects.net)),
        ("writes", texts(&facts.effects.write)),
        ("via", text(&facts.via)),
        ("hosts", RestrictedExpression::new_long(i64::from(facts.hosts))),
        ("fleet", RestrictedExpression::new_long(i64::from(facts.fleet))),
    ];
    let optional = [
        ("undoes", &facts.undoes),
        ("path", &facts.args.path),
        ("name", &facts.args.name),
        ("program", &facts.args.program),
    ];
    pairs.extend(optional.into_iter().filter_map(|(key, value)| Some((key, text(value.as_ref()?)))));
    let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value));
    Context::from_pairs(pairs).map_err(|error| error.to_string())
}
