//! The gate: ask, decide, approve, seal, settle. The only writer of plans, approvals and tasks.
//!
//! Owns the one path from a request to a grant and from a receipt to a task's end. Never talks to hosts or the bus: callers publish
//! wakes from what is returned. Invariant: a grant is made in one place (`seal`), from votes weighed at that moment, and a task is
//! `succeeded` only by a receipt that its host signed.

mod ask;
mod caller;
mod cancel;
mod decide;
mod draft;
mod error;
mod facts;
mod freezes;
mod grants;
mod hosts;
mod policies;
mod prepare;
mod reap;
mod revoke;
mod seal;
mod secrets;
mod settle;
mod undo;
pub mod verdict;
mod view;
mod votes;
mod wave;
mod why;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use legator_core::ids::TenantId;
use legator_policy::Policy;
use legator_store::Store;

pub use ask::{Ask, AskRollout, ask};
pub use caller::{Auth, Caller, Cap};
pub use cancel::{cancel, cancel_order};
pub use decide::{BreakGlass, Decide, decide};
pub use error::GateError;
pub use freezes::{FreezeView, NewFreeze, close_freeze, freezes, limits_for, open_freeze};
pub use policies::{PolicyView, Simulated, activate_policy, policies, propose_policy, simulate};
pub use prepare::prepared;
pub use reap::{Reaped, reap};
pub use revoke::revoke_approval;
pub use seal::{Handed, Sealed, resend, seal};
pub use settle::{Odd, Received, Settled, give_back, settle, started};
pub use view::{
    ApprovalView, DecisionView, HostName, KeptView, OutputView, PlanView, TaskView, list_plans, plan_parts,
    plan_view, task_view,
};
pub use why::{Why, why};

/// Parsed policies, by tenant and version.
type Parsed = HashMap<(TenantId, u64), Arc<Policy>>;

/// The gate of one installation; cheap to clone.
#[derive(Clone)]
pub struct Gate {
    pub(crate) store: Store,
    pub(crate) installation: Arc<str>,
    pub(crate) auth: Auth,
    policies: Arc<Mutex<Parsed>>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("installation", &self.installation).finish_non_exhaustive()
    }
}

impl Gate {
    /// The gate over this store, of the installation of this name: the fingerprint of its first authority key.
    pub fn new(store: Store, installation: impl Into<Arc<str>>, auth: Auth) -> Self {
        Self { store, installation: installation.into(), auth, policies: Arc::default() }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The installation.
    pub fn installation(&self) -> &str {
        &self.installation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use legator_core::ids::PlanId;

    /// Handlers and loops run on many threads: every operation can move between them.
    #[test]
    fn operations_can_move_between_threads() {
        fn moves<T: Send>(_: impl Fn() -> T) {}
        type Parts<'a> = (&'a Gate, &'a Caller, Ask, Decide, PlanId, &'a legator_wire::keys::AuthorityKey);
        fn all((gate, caller, asked, vote, plan, key): Parts<'_>) {
            moves(|| ask(gate, caller, asked.clone()));
            moves(|| decide(gate, caller, vote.clone()));
            moves(|| revoke_approval(gate, caller, plan));
            moves(|| cancel(gate, caller, plan));
            moves(|| prepared(gate, plan));
            moves(|| seal(gate, key, plan));
            moves(|| settle(gate, Vec::new()));
            moves(|| reap(gate));
        }
        let _ = all;
    }
}
