//! The only user of the database: transactions, events, sealed rows, and one module a noun.
//!
//! Owns every SQL statement of the product. Decides nothing: what may happen is decided in core, policy and gate.
//! Invariant: a write of what people and hosts caused carries its event in the same transaction.

pub mod approvals;
pub mod chain;
pub mod chats;
mod error;
mod events;
pub mod freezes;
pub mod hosts;
pub mod idempotency;
pub mod inventory;
pub mod keys;
pub mod leases;
pub mod limits;
pub mod meta;
pub mod metrics;
mod open;
pub mod outputs;
pub mod persons;
pub mod plans;
pub mod policies;
pub mod rights;
mod seal;
pub mod sealed;
pub mod secrets;
pub mod sessions;
pub mod sql;
mod store;
pub mod system;
pub mod tasks;
pub mod tenants;
pub mod tokens;
mod tx;
mod writer;

pub use error::StoreError;
pub use events::{Audited, Op};
pub use open::{Options, Place};
pub use rights::Sealed;
pub use seal::Sealer;
pub use sealed::Kind;
pub use store::{Keeping, Store};
pub use tx::Tx;
