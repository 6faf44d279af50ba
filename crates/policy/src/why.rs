//! Why a decision is as it is, and what would change it.
//!
//! Owns the variations that are tried. Invariant: every change that is told was really asked of the same policy.

use legator_core::decision::Decision;
use legator_core::level::{Effects, Level};
use legator_core::rights::HostFacts;
use legator_core::verbs;
use serde::Serialize;

use crate::ask::{kinds, one, strictness};
use crate::{Facts, Policy};

/// Kinds of hosts that are told apart in the answer, at most.
const KINDS_MAX: usize = 50;
/// Hosts named in one sentence, at most.
const NAMES_MAX: usize = 5;

/// What the rules say about some hosts that they do not tell apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostVerdict {
    /// Names of some of the hosts.
    pub hosts: Vec<String>,
    /// How many they are.
    pub count: usize,
    /// The decision for them.
    pub decision: Decision,
    /// All rules that apply to them, in the order of the policy.
    pub rules: Vec<String>,
}

/// Roles that are tried, with their article.
const ROLES: [(&str, &str); 2] = [("operator", "an"), ("admin", "an")];

/// Something that would change the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What, in a sentence.
    #[serde(rename = "if")]
    pub if_: String,
    /// The decision then.
    pub then: Decision,
}

/// A decision explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The decision.
    pub decision: Decision,
    /// How it comes about.
    pub hosts: Vec<HostVerdict>,
    /// What would make it looser.
    pub changes: Vec<Change>,
}

pub(crate) fn why(policy: &Policy, facts: &Facts, hosts: &[&HostFacts]) -> Why {
    let decision = policy.decide(facts, hosts);
    let told = kinds(policy, hosts).into_iter().take(KINDS_MAX).map(|(first, all)| {
        let (decision, heard) = one(policy, facts, first);
        HostVerdict { hosts: names(&all), count: all.len(), decision, rules: heard.applied }
    });
    let told = told.collect();
    let changes = changes(policy, (facts, hosts), &decision);
    Why { decision, hosts: told, changes }
}

fn names(hosts: &[&HostFacts]) -> Vec<String> {
    hosts.iter().take(NAMES_MAX).map(|host| host.name.clone()).collect()
}

fn changes(policy: &Policy, asked: (&Facts, &[&HostFacts]), now: &Decision) -> Vec<Change> {
    let (facts, hosts) = asked;
    let mut found = Vec::new();
    let mut push = |what: String, facts: &Facts, hosts: &[&HostFacts]| {
        let then = policy.decide(facts, hosts);
        if strictness(&then) < strictness(now) {
            found.push(Change { if_: what, then });
        }
    };
    for level in lower_levels(facts) {
        push(format!("it ran at {level}"), &Facts { level, effects: at(level), ..facts.clone() }, hosts);
    }
    if facts.effects.unconfined {
        let confined = Facts { effects: Effects::none(), ..facts.clone() };
        push("it were confined by effects {write, net}".into(), &confined, hosts);
    }
    if let Some(tamer) = tamer(facts) {
        push(format!("it were {}, a command instead of a script", tamer.verb), &tamer, hosts);
    }
    for (role, article) in ROLES {
        if !facts.roles.iter().any(|has| has == role) {
            let mut roles = facts.roles.clone();
            roles.push(role.into());
            push(format!("the requester were {article} {role}"), &Facts { roles, ..facts.clone() }, hosts);
        }
    }
    let caged: Vec<HostFacts> =
        hosts.iter().map(|host| HostFacts { cage: "full".into(), ..(*host).clone() }).collect();
    push("every host's kernel could cage it whole".into(), facts, &caged.iter().collect::<Vec<_>>());
    let rest: Vec<&HostFacts> = without_strictest(policy, asked);
    if !rest.is_empty() && rest.len() < hosts.len() {
        let left_out: Vec<&HostFacts> =
            hosts.iter().filter(|h| !rest.iter().any(|r| r.id == h.id)).copied().collect();
        push(format!("{} were left out", list(&left_out)), &count(facts, rest.len()), &rest);
    }
    if let Some(fewer) = fewer(policy, asked, now) {
        push(format!("it were for at most {fewer} hosts"), &count(facts, fewer as usize), hosts);
    }
    found
}

/// What a verb may touch at a lower level, as `legator_core::verbs` has it.
fn at(level: Level) -> Effects {
    Effects { net: level == Level::Diagnose, ..Effects::none() }
}

fn count(facts: &Facts, hosts: usize) -> Facts {
    Facts { hosts: u32::try_from(hosts).unwrap_or(u32::MAX), ..facts.clone() }
}

fn list(hosts: &[&HostFacts]) -> String {
    let more = hosts.len().saturating_sub(NAMES_MAX);
    let named = names(hosts).join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

fn lower_levels(facts: &Facts) -> Vec<Level> {
    let levels = verbs::find(&facts.verb).map_or(&[][..], |spec| spec.levels);
    levels.iter().copied().filter(|level| *level < facts.level).collect()
}

/// The same task by a verb that says more about itself.
fn tamer(facts: &Facts) -> Option<Facts> {
    (facts.verb == "shell.script").then(|| Facts { verb: "shell.run".into(), ..facts.clone() })
}

/// The hosts without those that the policy is strictest about.
fn without_strictest<'a>(policy: &Policy, asked: (&Facts, &[&'a HostFacts])) -> Vec<&'a HostFacts> {
    let kinds: Vec<_> = kinds(policy, asked.1)
        .into_iter()
        .map(|(first, all)| (strictness(&one(policy, asked.0, first).0), all))
        .collect();
    let strictest = kinds.iter().map(|(strictness, _)| *strictness).max().unwrap_or(0);
    kinds.into_iter().filter(|(strictness, _)| *strictness < strictest).flat_map(|(_, all)| all).collect()
}

/// The largest smaller number of hosts with a looser answer, found by halving: rules about numbers of hosts have one threshold each.
fn fewer(policy: &Policy, asked: (&Facts, &[&HostFacts]), now: &Decision) -> Option<u32> {
    let (facts, hosts) = asked;
    let looser = |number: u32| {
        let then = policy.decide(&Facts { hosts: number, ..facts.clone() }, hosts);
        strictness(&then) < strictness(now)
    };
    let (mut low, mut high) = (1, facts.hosts);
    if high < 2 || !looser(low) {
        return None;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if looser(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(low)
}
