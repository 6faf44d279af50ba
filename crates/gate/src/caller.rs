//! Who asks, with which rights, by which door.
//!
//! Owns the check of a permission, and of the hosts that a role is for. Never reads who somebody is from what they sent.
//! Invariant: a role whose selector does not parse is for no host.

use legator_core::error::Failure;
use legator_core::event::Actor;
use legator_core::ids::{KeyId, PersonId, TenantId, TraceId};
use legator_core::rights::{HostFacts, Permission, Role, RoleOn};
use legator_core::selector::Selector;
use legator_store::Op;

/// Whether persons are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Everybody shows a key.
    On,
    /// There is one person, `local`, on the loopback address.
    Off,
}

/// What of the person's rights the caller may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// All of them.
    All,
    /// Reads run, everything else is proposed; nothing is decided. The brain on behalf of a person.
    ReadOrPropose,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant.
    pub tenant: TenantId,
    /// The person.
    pub person: PersonId,
    /// The key that was shown.
    pub key: Option<KeyId>,
    /// The person's roles, as far as the key uses them.
    pub roles: Vec<RoleOn>,
    /// By which door: api, chat, ctl.
    pub via: &'static str,
    /// What may be used of the rights.
    pub cap: Cap,
    /// The request.
    pub trace: TraceId,
    /// Whether persons are told apart.
    pub auth: Auth,
}

impl Caller {
    /// Whether any role gives this permission, on whatever hosts.
    pub fn has(&self, permission: Permission) -> bool {
        let capped = self.cap == Cap::ReadOrPropose && !within_cap(permission);
        !capped && self.roles.iter().any(|role| role.role.allows(permission))
    }

    /// The permission, or the failure that says what is missing.
    pub fn need(&self, permission: Permission) -> Result<(), Failure> {
        if self.has(permission) {
            return Ok(());
        }
        if self.cap == Cap::ReadOrPropose && !within_cap(permission) {
            let detail = format!("the assistant reads and proposes; it has no right to {}", word(permission));
            return Err(
                Failure::forbidden("brain-may-not", detail).hint("a person decides, under their own key")
            );
        }
        let roles: Vec<&str> =
            Role::ALL.into_iter().filter(|role| role.allows(permission)).map(Role::word).collect();
        let detail = format!("this needs the permission {}", word(permission));
        Err(Failure::forbidden("missing-permission", detail)
            .hint(format!("roles that give it: {}", roles.join(", "))))
    }

    /// For the events of what is done for this caller.
    pub fn op(&self) -> Op {
        let actor = Actor::Person { id: self.person, key: self.key, via: self.via.to_owned() };
        Op { tenant: self.tenant, actor, trace: self.trace }
    }
}

fn within_cap(permission: Permission) -> bool {
    use Permission as P;
    matches!(permission, P::ReadHosts | P::ReadPlans | P::MakePlans | P::ReadChats | P::ReadPolicy)
}

fn word(permission: Permission) -> String {
    let value = serde_json::to_value(permission).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// The hosts that some roles reach with a permission.
pub(crate) struct Reach {
    all: bool,
    selectors: Vec<Selector>,
}

impl Reach {
    pub(crate) fn of(roles: &[RoleOn], permission: Permission) -> Self {
        let giving = || roles.iter().filter(|role| role.role.allows(permission));
        let all = giving().any(|role| role.selector.is_none());
        let parsed = giving().filter_map(|role| Selector::parse(role.selector.as_deref()?).ok());
        Self { all, selectors: parsed.collect() }
    }

    /// Whether the host is within reach.
    pub(crate) fn covers(&self, host: &HostFacts) -> bool {
        self.all || self.selectors.iter().any(|selector| selector.matches(host))
    }

    /// The selectors, for people.
    pub(crate) fn text(&self) -> String {
        let texts: Vec<String> = self.selectors.iter().map(ToString::to_string).collect();
        if texts.is_empty() { "no host".into() } else { texts.join(" or ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brain_has_no_right_to_decide_whatever_its_person_may() {
        let admin = RoleOn { role: Role::Admin, selector: None };
        let caller = Caller {
            tenant: TenantId::DEFAULT,
            person: PersonId::LOCAL,
            key: None,
            roles: vec![admin],
            via: "chat",
            cap: Cap::ReadOrPropose,
            trace: TraceId::new(0),
            auth: Auth::On,
        };
        for permission in
            [Permission::Approve, Permission::BreakGlass, Permission::ManagePolicy, Permission::ManageFreezes]
        {
            assert!(caller.need(permission).is_err());
        }
        assert!(caller.need(Permission::MakePlans).is_ok());
        assert!(Caller { cap: Cap::All, ..caller }.need(Permission::Approve).is_ok());
    }

    #[test]
    fn a_broken_selector_reaches_no_host() {
        let role = RoleOn { role: Role::Operator, selector: Some("env=".into()) };
        let reach = Reach::of(&[role], Permission::MakePlans);
        assert!(!reach.all && reach.selectors.is_empty());
    }
}
