//! Sessions of a host: which process run holds it, whether two take turns, and whether the host is there.
//!
//! Owns the rule for clones and the words of a host's status. Pure: times are parameters, and always the server's own.

use crate::ids::InstanceId;
use crate::span::Span;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A process run that was fenced and comes back twice within this time is a clone.
pub const CLONE_WINDOW: Span = Span::from_secs(600);
/// Fenced runs that are remembered of one host, at most.
const FENCED_MAX: usize = 16;
/// How often it has to come back.
const RETURNS: u32 = 2;

/// A host that is connected and was seen within this time is online: beats come each 30 s and are written each minute.
pub const ONLINE_WITHIN: Span = Span::from_secs(180);
/// A host that was not seen for this long is offline, whatever its connection says.
pub const OFFLINE_AFTER: Span = Span::from_secs(600);
/// A host whose connection ended is stale for this long, then offline: a reconnect is under way, mostly.
pub const GRACE: Span = Span::from_secs(60);

/// A process run that lost its session to another one of the same host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// The run.
    pub instance: InstanceId,
    /// When it was fenced first, within the window.
    pub at: Timestamp,
    /// How often it came back since.
    pub returns: u32,
}

/// The history of runs of one host, as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs(Vec<Fenced>);

impl Runs {
    /// The history after `next` took the session over from `last`, and whether that shows a clone.
    ///
    /// The same run again is a half-open reconnect and no clone; a restarted probe is a run that never comes back.
    #[must_use]
    pub fn after(mut self, last: InstanceId, next: InstanceId, now: Timestamp) -> (Self, bool) {
        self.0.retain(|fenced| now.since(fenced.at) <= CLONE_WINDOW);
        if last == next {
            return (self, false);
        }
        let mut cloned = false;
        if let Some(back) = self.0.iter_mut().find(|fenced| fenced.instance == next) {
            back.returns += 1;
            cloned = back.returns >= RETURNS;
        }
        if !self.0.iter().any(|fenced| fenced.instance == last) {
            if self.0.len() == FENCED_MAX {
                self.0.remove(0);
            }
            self.0.push(Fenced { instance: last, at: now, returns: 0 });
        }
        (self, cloned)
    }
}

/// Whether a host is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Connected, and seen lately.
    Online,
    /// Silent, or between two connections.
    Stale,
    /// Not there.
    Offline,
    /// It may not come any more.
    Revoked,
}

impl Status {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Stale => "stale",
            Self::Offline => "offline",
            Self::Revoked => "revoked",
        }
    }

    /// The status of a host that is not revoked.
    pub fn of(presence: Option<&Presence>, now: Timestamp) -> Self {
        let Some(presence) = presence else { return Self::Offline };
        let silent = now.since(presence.seen_at);
        match presence.ended_at {
            Some(ended) if now.since(ended) <= GRACE => Self::Stale,
            Some(_) => Self::Offline,
            None if silent <= ONLINE_WITHIN => Self::Online,
            None if silent <= OFFLINE_AFTER => Self::Stale,
            None => Self::Offline,
        }
    }
}

/// What a status is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// When the host was last heard.
    pub seen_at: Timestamp,
    /// When its connection ended; nothing while it lasts.
    pub ended_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    /// Whether this order of runs, each so many seconds after the last one, shows a clone.
    fn shows(order: &[u128], gap_s: i64) -> bool {
        let mut runs = Runs::default();
        let mut any = false;
        for (step, pair) in order.windows(2).enumerate() {
            let [last, next] = [
                InstanceId::new(pair.first().copied().unwrap()),
                InstanceId::new(pair.last().copied().unwrap()),
            ];
            let (next_runs, cloned) = runs.after(last, next, at(step as i64 * gap_s));
            runs = next_runs;
            any |= cloned;
        }
        any
    }

    #[test]
    fn two_runs_that_take_turns_are_a_clone_and_nothing_else_is() {
        let table: [(&[u128], i64, bool); 9] = [
            (&[1, 2, 1, 2, 1], 1, true),
            (&[1, 2, 1, 2], 1, false),
            (&[1, 2, 1], 1, false),
            (&[1, 1, 1, 1, 1, 1], 1, false),
            (&[1, 2, 3, 4, 5, 6, 7], 1, false),
            (&[1, 2, 3, 1, 2, 3, 1], 1, true),
            (&[1, 2, 1, 2, 1, 2, 1], 400, false),
            (&[1, 2, 2, 1, 1, 2, 1], 1, true),
            (&[1], 1, false),
        ];
        for (order, gap, expected) in table {
            assert_eq!(shows(order, gap), expected, "{order:?} each {gap} s");
        }
    }

    proptest! {
        #[test]
        fn runs_that_never_come_back_are_never_a_clone(count in 1u128..100, gap in 0i64..1000) {
            let order: Vec<u128> = (0..count).collect();
            prop_assert!(!shows(&order, gap));
        }
    }

    #[test]
    fn a_status_follows_from_times_alone() {
        let now = at(0);
        let presence = |seen, ended: Option<i64>| Presence { seen_at: at(seen), ended_at: ended.map(at) };
        let table = [
            (None, Status::Offline),
            (Some(presence(0, None)), Status::Online),
            (Some(presence(-180, None)), Status::Online),
            (Some(presence(-181, None)), Status::Stale),
            (Some(presence(-601, None)), Status::Offline),
            (Some(presence(-1, Some(-1))), Status::Stale),
            (Some(presence(-1, Some(-60))), Status::Stale),
            (Some(presence(-61, Some(-61))), Status::Offline),
            (Some(presence(100, None)), Status::Online),
        ];
        for (presence, expected) in table {
            assert_eq!(Status::of(presence.as_ref(), now), expected, "{presence:?}");
        }
    }
}
