//! Names of things: one type a noun, so that a plan's id cannot be passed for a task's.
//!
//! Owns the textual form `<prefix>_<32 lower-case hex digits>`, which is safe in a path, a subject and a file name.
//! Never makes one up: the 128 bits come from the caller.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id of the form {prefix}_ and 32 lower-case hex digits")]
pub struct BadId {
    /// The prefix that was expected.
    pub prefix: &'static str,
    /// What was given, cut to 80 characters.
    pub text: String,
}

/// A source of fresh 128-bit values, time-ordered where the source can (UUID version 7).
pub trait Ids: Send + Sync {
    /// A value that was never returned before.
    fn fresh(&self) -> u128;
}

fn parse_hex(text: &str, prefix: &'static str) -> Result<u128, BadId> {
    let bad = || BadId { prefix, text: text.chars().take(80).collect() };
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or_else(bad)?;
    let plain =
        digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !plain {
        return Err(bad());
    }
    u128::from_str_radix(digits, 16).map_err(|_| bad())
}

// A function cannot define a type; ten nouns share these thirty lines.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(u128);

        impl $name {
            /// The prefix of the textual form.
            pub const PREFIX: &'static str = $prefix;

            /// The id over these 128 bits.
            pub const fn new(bits: u128) -> Self {
                Self(bits)
            }

            /// A fresh id from a source.
            pub fn fresh(ids: &dyn Ids) -> Self {
                Self(ids.fresh())
            }

            /// The 128 bits.
            pub const fn bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{:032x}", $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                parse_hex(text, $prefix).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }
    };
}

id!(/// The isolation boundary.
    TenantId, "tenant");
id!(/// Who acts.
    PersonId, "person");
id!(/// A managed machine.
    HostId, "host");
id!(/// A verb for hosts, immutable.
    PlanId, "plan");
id!(/// One host's share of a plan; also the id of its grant.
    TaskId, "task");
id!(/// One person's yes or no.
    ApprovalId, "approval");
id!(/// Something that happened.
    EventId, "event");
id!(/// A conversation.
    ChatId, "chat");
id!(/// One question and everything done to answer it.
    TurnId, "turn");
id!(/// A registration token's public half.
    TokenId, "token");
id!(/// An API key's public half.
    KeyId, "key");
id!(/// A window in which nothing is dispatched.
    FreezeId, "freeze");
id!(/// One request across all stops.
    TraceId, "trace");
id!(/// One run of a process: a probe's or an edge's.
    InstanceId, "instance");

impl TenantId {
    /// The tenant that exists before any other is made.
    pub const DEFAULT: Self = Self::new(1);
}

impl PersonId {
    /// The one person of an installation without authentication.
    pub const LOCAL: Self = Self::new(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_survives_its_text(bits: u128) {
            let id = HostId::new(bits);
            prop_assert_eq!(id.to_string().parse::<HostId>(), Ok(id));
        }

        #[test]
        fn any_other_text_is_refused(text in "\\PC{0,60}") {
            if let Ok(id) = text.parse::<HostId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn a_task_is_no_plan_and_a_path_is_no_id() {
        let plan = PlanId::new(7).to_string();
        assert!(plan.parse::<TaskId>().is_err());
        for text in
            ["", "plan_", "../etc/passwd", "plan_0000000000000000000000000000000G", "plan_%00", "PLAN_1"]
        {
            assert!(text.parse::<PlanId>().is_err(), "{text}");
        }
    }
}
