//! What can go wrong in the gate, for callers that are loops and not people.
//!
//! Owns the mapping to a failure that is told.

use legator_core::error::Failure;
use legator_core::plan::BadPlanMove;
use legator_core::task::BadTaskMove;
use legator_store::StoreError;

/// A failure of the gate.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The store failed, or the tenant's rights are not whole.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// It was changed meanwhile; the same again finds the present state.
    #[error("it was changed meanwhile")]
    Conflict,
    /// There is nothing to write.
    #[error("nothing changed")]
    Nothing,
    /// What was asked cannot be.
    #[error("{0}")]
    Failed(#[from] Failure),
    /// A plan in a state that does not allow it.
    #[error("{0}")]
    PlanMove(#[from] BadPlanMove),
    /// A task in a state that does not allow it.
    #[error("{0}")]
    TaskMove(#[from] BadTaskMove),
    /// A stored value that cannot be.
    #[error("a stored {what} does not parse: {why}")]
    Corrupt {
        /// Which.
        what: &'static str,
        /// Why.
        why: String,
    },
}

impl GateError {
    pub(crate) fn corrupt(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, why: why.to_string() }
    }
}

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Store(error) => error.into(),
            GateError::Failed(failure) => failure,
            GateError::Conflict | GateError::Nothing | GateError::PlanMove(_) | GateError::TaskMove(_) => {
                Failure::conflict("changed-meanwhile", "it was changed meanwhile").hint("look at it again")
            }
            GateError::Corrupt { what, why } => {
                tracing::error!(what, why, "a stored value does not parse");
                Failure::new(
                    legator_core::error::ErrorKind::Internal,
                    "stored-value",
                    "a stored value is broken; see the server's log",
                )
            }
        }
    }
}
