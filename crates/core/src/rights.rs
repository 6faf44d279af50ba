//! Who may do what: roles, the permissions they give, and the selector that narrows them to some hosts.
//!
//! Owns the table role → permission. Whether a person has a role is read from sealed rows by the store.

use crate::level::Level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A set of permissions with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees hosts, plans and chats.
    Viewer,
    /// Asks for plans too.
    Operator,
    /// Decides about plans of others too.
    Approver,
    /// Everything.
    Admin,
    /// Sees everything, the audit log too, and changes nothing.
    Auditor,
}

/// One thing that a request may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// See hosts, their inventory, health and activity; verbs.
    ReadHosts,
    /// See plans, tasks, output and approvals.
    ReadPlans,
    /// Make and cancel plans, talk in chats.
    MakePlans,
    /// Approve and reject.
    Approve,
    /// Read chats.
    ReadChats,
    /// Read, follow and export the audit log.
    ReadAudit,
    /// Edit labels, set levels, remove and revoke hosts.
    ManageHosts,
    /// Make, list and revoke registration tokens.
    ManageTokens,
    /// Make persons, keys and tenants; give roles.
    ManagePeople,
    /// Read the policy in force and simulate.
    ReadPolicy,
    /// Write and activate policies.
    ManagePolicy,
    /// Open and close freeze windows.
    ManageFreezes,
    /// Decide alone in an emergency, marked for ever.
    BreakGlass,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin, Self::Auditor];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// Whether the role gives this permission.
    pub const fn allows(self, permission: Permission) -> bool {
        use Permission::{Approve, MakePlans, ReadAudit, ReadChats, ReadHosts, ReadPlans, ReadPolicy};
        match self {
            Self::Viewer => matches!(permission, ReadHosts | ReadPlans | ReadChats | ReadPolicy),
            Self::Operator => {
                matches!(permission, ReadHosts | ReadPlans | ReadChats | ReadPolicy | MakePlans)
            }
            Self::Approver => matches!(permission, ReadHosts | ReadPlans | ReadChats | ReadPolicy | Approve),
            Self::Admin => true,
            Self::Auditor => matches!(permission, ReadHosts | ReadPlans | ReadChats | ReadPolicy | ReadAudit),
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.word() == text);
        found.ok_or_else(|| format!("{text:?} is not a role: viewer, operator, approver, admin or auditor"))
    }
}

/// A role, on all hosts or on those that a selector selects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleOn {
    /// The role.
    pub role: Role,
    /// The hosts it is for, in the selector grammar; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// What selectors and policies may ask about a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its id, as text.
    pub id: String,
    /// Its name, which need not be unique.
    pub name: String,
    /// Labels that operators gave.
    pub labels: BTreeMap<String, String>,
    /// The ceiling of what may run there.
    pub level: Level,
    /// `linux`.
    pub os: String,
    /// online, stale, offline or revoked.
    pub status: String,
    /// full, partial or none.
    pub cage: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admins_manage_and_requesters_do_not_approve() {
        for role in Role::ALL {
            assert_eq!(role.allows(Permission::ManagePeople), role == Role::Admin);
            assert_eq!(role.allows(Permission::BreakGlass), role == Role::Admin);
        }
        assert!(!Role::Operator.allows(Permission::Approve));
        assert!(!Role::Approver.allows(Permission::MakePlans));
        assert!(!Role::Viewer.allows(Permission::ReadAudit));
    }
}
