//! One host's share of a plan, and how it ends.
//!
//! Owns the states of a task and the one exception to their finality: `unknown` may be replaced, once, by a later verified receipt.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Not handed over yet.
    Waiting,
    /// Its grant was handed to a connection.
    Sent,
    /// The probe said that it started.
    Running,
    /// Done, and what had to hold afterwards holds.
    Succeeded,
    /// Done, and it did not succeed.
    Failed,
    /// The probe refused, signed; or a policy did at the seal.
    Refused,
    /// It did not start before the plan's expiry.
    Expired,
    /// The host was not connected, removed or revoked.
    Unreachable,
    /// It was taken back: before it was handed over, by the rollout, or by its probe, which says so in a signed receipt.
    Cancelled,
    /// It was handed over and nothing verified came back in time.
    Unknown,
}

/// What moves a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskMove {
    /// Its grant goes to a connection.
    Send,
    /// The connection gave it back unseen: busy, or not there.
    GiveBack,
    /// The probe says that it started.
    Start,
    /// A verified receipt says how it ended.
    Receipt(Outcome),
    /// The plan's expiry came before it was handed over.
    Expire,
    /// The host is not there.
    Unreach,
    /// It is taken back.
    Cancel,
    /// A policy says no at the seal.
    Refuse,
    /// Nothing came back in time.
    Lose,
}

/// How a receipt says that a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Done, and what had to hold afterwards holds.
    Succeeded,
    /// Done or cut short, and it did not succeed.
    Failed,
    /// Not begun, for a named reason.
    Refused,
    /// Begun; the probe does not know how it ended.
    Unknown,
    /// Taken back: not begun, or killed while it ran.
    Cancelled,
}

/// A move that a state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {from} cannot {by:?}")]
pub struct BadTaskMove {
    /// The state.
    pub from: TaskState,
    /// The move.
    pub by: TaskMove,
}

impl Outcome {
    /// The task's state after this outcome.
    pub const fn state(self) -> TaskState {
        match self {
            Self::Succeeded => TaskState::Succeeded,
            Self::Failed => TaskState::Failed,
            Self::Refused => TaskState::Refused,
            Self::Unknown => TaskState::Unknown,
            Self::Cancelled => TaskState::Cancelled,
        }
    }
}

impl TaskState {
    /// All states.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Sent,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Refused,
        Self::Expired,
        Self::Unreachable,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Unreachable => "unreachable",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the task has ended.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Sent | Self::Running)
    }

    /// The state after a move.
    ///
    /// A receipt is taken in every state in which its grant may have reached the probe: also from `unknown`, which it replaces
    /// unless it says `unknown` itself.
    pub fn after(self, by: TaskMove) -> Result<Self, BadTaskMove> {
        use TaskMove as M;
        let next = match (self, by) {
            (Self::Waiting, M::Send) => Self::Sent,
            (Self::Sent, M::GiveBack) => Self::Waiting,
            (Self::Sent, M::Start) => Self::Running,
            // A task given back may have been begun all the same: its receipt counts.
            (Self::Waiting | Self::Sent | Self::Running, M::Receipt(outcome)) => outcome.state(),
            (Self::Unknown, M::Receipt(outcome)) if outcome != Outcome::Unknown => outcome.state(),
            (Self::Waiting, M::Expire) => Self::Expired,
            (Self::Waiting, M::Unreach) => Self::Unreachable,
            (Self::Waiting, M::Cancel) => Self::Cancelled,
            (Self::Waiting, M::Refuse) => Self::Refused,
            (Self::Sent | Self::Running, M::Lose) => Self::Unknown,
            (from, by) => return Err(BadTaskMove { from, by }),
        };
        Ok(next)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl std::str::FromStr for TaskState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.word() == text);
        found.ok_or_else(|| format!("{text:?} is not a state of a task"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn any_move() -> impl Strategy<Value = TaskMove> {
        let outcome = prop_oneof![
            Just(Outcome::Succeeded),
            Just(Outcome::Failed),
            Just(Outcome::Refused),
            Just(Outcome::Unknown),
            Just(Outcome::Cancelled)
        ];
        prop_oneof![
            Just(TaskMove::Send),
            Just(TaskMove::GiveBack),
            Just(TaskMove::Start),
            outcome.prop_map(TaskMove::Receipt),
            Just(TaskMove::Expire),
            Just(TaskMove::Unreach),
            Just(TaskMove::Cancel),
            Just(TaskMove::Refuse),
            Just(TaskMove::Lose)
        ]
    }

    proptest! {
        #[test]
        fn an_end_is_final_but_for_unknown_once(moves in proptest::collection::vec(any_move(), 0..60)) {
            let mut state = TaskState::Waiting;
            let mut ends = 0;
            for by in moves {
                let before = state;
                if let Ok(next) = state.after(by) {
                    prop_assert!(!before.is_final() || before == TaskState::Unknown);
                    prop_assert!(next != TaskState::Succeeded || by == TaskMove::Receipt(Outcome::Succeeded));
                    ends += u32::from(next.is_final());
                    state = next;
                }
            }
            prop_assert!(ends <= 2);
        }
    }

    #[test]
    fn nothing_handed_over_is_cancelled_or_expired() {
        for state in [TaskState::Sent, TaskState::Running] {
            for by in [TaskMove::Cancel, TaskMove::Expire, TaskMove::Unreach, TaskMove::Send] {
                assert!(state.after(by).is_err());
            }
        }
        for state in TaskState::ALL {
            assert_eq!(state.word().parse::<TaskState>().unwrap(), state);
        }
    }
}
