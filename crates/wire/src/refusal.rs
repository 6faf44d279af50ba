//! Why a probe refuses a grant: a closed list of names, which stand in signed receipts.
//!
//! Owns the names. Adding one is a change of the protocol; removing one never happens.

use serde::{Deserialize, Serialize};
use std::fmt;

// The list is written once: the names, the enum and `ALL` cannot drift apart.
macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)+) => {
        /// Why a probe refuses.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Refusal {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Refusal {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in a receipt.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

refusals! {
    /// No JSON of a grant, or parts of it do not belong together.
    Malformed => "malformed",
    /// Not signed by the pinned authority, or of another payload type.
    BadSignature => "bad-signature",
    /// Of another installation.
    OtherInstallation => "other-installation",
    /// For another host, or for another key of it.
    OtherHost => "other-host",
    /// The plan's bytes are not those that the grant names.
    OtherPlan => "other-plan",
    /// The leaf is not under the plan's root, or not in the grant's range.
    BadLeaf => "leaf-not-under-plan",
    /// Its time is over.
    Expired => "expired",
    /// Its time has not come.
    NotYetValid => "not-yet-valid",
    /// Older than the latest time that the authority has stated.
    HighWater => "older-than-high-water-mark",
    /// The same id came before with other content.
    UsedBefore => "used-before",
    /// Too few approvals by the approvers that this host demands.
    QuorumMissing => "quorum-missing",
    /// Above `max_level` of the host's own file.
    AboveMaxLevel => "level-above-max",
    /// Above the ceiling that the authority set.
    AboveCeiling => "level-above-ceiling",
    /// It names limits that this probe does not have.
    LimitsMissing => "limits-missing",
    /// A freeze window is open.
    Frozen => "frozen",
    /// A verb that this probe does not know.
    UnknownVerb => "unknown-verb",
    /// Arguments that do not parse.
    BadArguments => "bad-arguments",
    /// The state is not the one that was shown to the approver.
    ChangedPreImage => "changed-pre-image",
    /// No room on disk for the receipt.
    NoRoom => "no-room",
    /// The host's own clock is more than 60 s off.
    ClockOff => "clock-off",
    /// The kernel cannot cage it here.
    CageNotFull => "cage-not-full",
    /// It cannot be undone.
    NoUndo => "no-undo",
    /// A path that no verb reads or writes.
    Secret => "secret-path",
    /// Not what the verb works on: no regular file, no such service.
    NotApplicable => "not-applicable",
    /// A clone of this host is about; commands are held back.
    Cloned => "cloned",
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
