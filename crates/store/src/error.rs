//! What can go wrong in the store.
//!
//! Owns the errors. None of them is an answer to a client: a missing row is `None`, a lost race is the caller's conflict.

use legator_core::error::{ErrorKind, Failure};
use legator_core::ids::TenantId;
use sea_orm::DbErr;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or is away.
    #[error("the database: {0}")]
    Db(#[from] DbErr),
    /// It could not be opened.
    #[error("opening the database {place}: {why}")]
    Open {
        /// Which.
        place: String,
        /// Why.
        why: String,
    },
    /// It was made by a newer binary.
    #[error(
        "the database holds the step {step:?}, which this binary does not know: it was made by a newer version; use that one or restore a backup"
    )]
    Newer {
        /// The unknown step.
        step: String,
    },
    /// Rows that give rights were deleted, rolled back or made by hand: nothing is granted until an admin accepts what is there.
    #[error(
        "rows of {tenant} that give rights were changed outside Legator: nothing is granted until an admin accepts what is there"
    )]
    RightsTampered {
        /// Whose.
        tenant: TenantId,
    },
    /// A value could not be written as JSON, or a stored one could not be read.
    #[error("the stored {what} does not parse: {why}")]
    Corrupt {
        /// Which.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Sealed rows were written where no event is.
    #[error("a sealed row may only be written in an act that carries an event")]
    Unaudited,
    /// Something is larger than the store takes.
    #[error("{what} is larger than {max}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How many bytes or rows there may be.
        max: usize,
    },
    /// A job was done under a lease that another holds by now.
    #[error("the lease {0} is held by another")]
    Fenced(String),
    /// The connection that writes was not free in time.
    #[error("the database is busy: no turn to write within {0} seconds")]
    Busy(u64),
    /// The group of acts that this one was committed with could not be committed.
    #[error("the commit failed: {0}")]
    Commit(String),
}

impl StoreError {
    /// A stored value that does not parse.
    pub fn corrupt(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, why: why.to_string() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::RightsTampered { .. } => {
                Failure::new(ErrorKind::Refused, "rights-tampered", error.to_string())
                    .hint("see legatorctl rights, then legatorctl rights accept")
            }
            StoreError::Busy(_) => {
                Failure::new(ErrorKind::Unavailable, "busy", error.to_string()).hint("try again")
            }
            StoreError::TooLarge { .. } => Failure::new(ErrorKind::TooLarge, "too-large", error.to_string()),
            _ => {
                tracing::error!(error = %error, "the store failed");
                Failure::new(ErrorKind::Internal, "store", "the store failed; see the server's log")
            }
        }
    }
}
