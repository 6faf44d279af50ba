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
    /// Secret values are not those that the plan commits to, or did not come.
    SecretsMismatch => "secrets-mismatch",
    /// Nothing can be kept on disk at the moment, not even this refusal: the same grant may come again.
    NotKept => "not-kept",
}

impl Refusal {
    /// Whether the task's id is used up by it, so that nothing will ever run under that id: then the task has ended.
    ///
    /// The others end nothing. Whoever carries frames can alter or leave out bytes, provoke such a refusal, and deliver the true grant
    /// afterwards: the task would run although its record says that it was refused. So what says that *this delivery* was not proven
    /// to be the authority's word for this task is an alarm and no end, and so is a refusal that the probe could not put on disk.
    ///
    /// Some that use the id up can be provoked by leaving something out too (limits, approvals). That costs the task, as dropping its
    /// grant would, and nothing more: the probe answers the true grant with the same refusal, so the record stays true.
    pub const fn uses_id(self) -> bool {
        match self {
            Self::Malformed
            | Self::BadSignature
            | Self::OtherInstallation
            | Self::OtherHost
            | Self::OtherPlan
            | Self::BadLeaf
            | Self::UsedBefore
            | Self::SecretsMismatch
            | Self::NotKept => false,
            Self::Expired
            | Self::NotYetValid
            | Self::HighWater
            | Self::QuorumMissing
            | Self::AboveMaxLevel
            | Self::AboveCeiling
            | Self::LimitsMissing
            | Self::Frozen
            | Self::UnknownVerb
            | Self::BadArguments
            | Self::ChangedPreImage
            | Self::NoRoom
            | Self::ClockOff
            | Self::CageNotFull
            | Self::NoUndo
            | Self::Secret
            | Self::NotApplicable
            | Self::Cloned => true,
        }
    }

    /// The refusal of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.name() == name)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
