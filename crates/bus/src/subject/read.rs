//! Ids out of subjects.
//!
//! Owns the parsers: `Some` only for exactly the form that the constructor makes. What they return says where a message was sent,
//! never who sent it.

use super::Subject;
use legator_core::ids::{HostId, InstanceId, PlanId, TenantId, TurnId};
use std::str::FromStr;

fn tokens<const N: usize>(subject: &Subject) -> Option<[&str; N]> {
    let tokens: Vec<&str> = subject.as_str().split('.').collect();
    tokens.try_into().ok()
}

fn id<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn chat_host(text: &str) -> Option<Option<HostId>> {
    if text == "fleet" { Some(None) } else { id(text).map(Some) }
}

/// The edge and the host of `edge_cmd`.
pub fn edge_cmd(subject: &Subject) -> Option<(InstanceId, HostId)> {
    let ["legator", "edge", edge, "host", host, "cmd"] = tokens(subject)? else { return None };
    Some((id(edge)?, id(host)?))
}

/// The edge and the last word of `edge_sync` and `edge_beat`.
pub fn edge(subject: &Subject) -> Option<(InstanceId, &str)> {
    let ["legator", "edge", edge, word] = tokens(subject)? else { return None };
    Some((id(edge)?, word))
}

/// The host and the kind of `host_up`.
pub fn host_up(subject: &Subject) -> Option<(HostId, &str)> {
    let ["legator", "host", host, "up", kind] = tokens(subject)? else { return None };
    Some((id(host)?, kind))
}

/// The host and the plan of `host_out`.
pub fn host_out(subject: &Subject) -> Option<(HostId, PlanId)> {
    let ["legator", "host", host, "out", plan] = tokens(subject)? else { return None };
    Some((id(host)?, id(plan)?))
}

/// The host of `turn`; `Some(None)` for the fleet's.
pub fn turn(subject: &Subject) -> Option<Option<HostId>> {
    let ["legator", "host", host, "turn"] = tokens(subject)? else { return None };
    chat_host(host)
}

/// The host and the turn of `step`.
pub fn step(subject: &Subject) -> Option<(Option<HostId>, TurnId)> {
    let ["legator", "host", host, "step", turn] = tokens(subject)? else { return None };
    Some((chat_host(host)?, id(turn)?))
}

/// The host and the turn of `say`.
pub fn say(subject: &Subject) -> Option<(Option<HostId>, TurnId)> {
    let ["legator", "host", host, "say", turn] = tokens(subject)? else { return None };
    Some((chat_host(host)?, id(turn)?))
}

/// What a wake is about, and which one.
pub fn wake(subject: &Subject) -> Option<(&str, &str)> {
    let ["legator", "wake", what, id] = tokens(subject)? else { return None };
    Some((what, id))
}

/// The tenant, noun and verb of `event`.
pub fn event(subject: &Subject) -> Option<(TenantId, &str, &str)> {
    let ["legator", "event", tenant, noun, verb] = tokens(subject)? else { return None };
    Some((id(tenant)?, noun, verb))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super as made;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_made_reads_back(a: u128, b: u128) {
            let (edge, host, plan, turn) = (InstanceId::new(a), HostId::new(b), PlanId::new(a), TurnId::new(b));
            prop_assert_eq!(edge_cmd(&made::edge_cmd(edge, host)), Some((edge, host)));
            let hello = made::host_up(host, "hello");
            prop_assert_eq!(host_up(&hello), Some((host, "hello")));
            prop_assert_eq!(host_out(&made::host_out(host, plan)), Some((host, plan)));
            prop_assert_eq!(step(&made::step(None, turn)), Some((None, turn)));
            prop_assert_eq!(say(&made::say(Some(host), turn)), Some((Some(host), turn)));
            prop_assert!(made::edge_cmds(edge).matches(&made::edge_cmd(edge, host)));
            prop_assert!(!made::edge_cmds(edge).matches(&made::edge_cmd(InstanceId::new(!a), host)));
            prop_assert!(made::turns().matches(&made::turn(None)));
            prop_assert!(made::events(TenantId::new(a)).matches(&made::event(TenantId::new(a), "plan.made")));
        }

        #[test]
        fn no_text_adds_a_token_or_a_wildcard(text in "\\PC{0,80}", host: u128) {
            let host = HostId::new(host);
            let subject = made::host_up(host, &text);
            prop_assert!(!subject.is_pattern());
            let (read, kind) = host_up(&subject).unwrap();
            prop_assert!(read == host && !kind.is_empty());
            prop_assert_eq!(wake(&made::wake(&text, &text)).map(|(what, _)| what.contains(['.', '*', '>'])), Some(false));
            let tenant = TenantId::DEFAULT;
            prop_assert_eq!(event(&made::event(tenant, &text)).map(|(read, _, _)| read), Some(tenant));
        }
    }
}
