//! The store: a handle on the database and the only way to write to it.
//!
//! Owns the two doors `write` (an act, with its event) and `keep` (bookkeeping, by name). Decides nothing.
//! Invariant: one act is one transaction; it is durable when `write` returns.

use crate::StoreError;
use crate::events::{Audited, Op};
use crate::open::{self, Connections, Options};
use crate::rights::{self, Book};
use crate::seal::Sealer;
use crate::tx::Tx;
use crate::writer::{Turn, Writer};
use legator_core::clock::Clock;
use legator_core::ids::{Ids, TenantId, TraceId};
use sea_orm::DatabaseConnection;
use std::sync::Arc;

/// Bookkeeping that is no act of anybody: what may be written without an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// Which probe is connected where, and when it was last seen.
    Sessions,
    /// Measured values.
    Metrics,
    /// Numbers of events, checkpoints.
    Chain,
    /// Who does a job.
    Leases,
    /// Answers to repeated requests.
    Idempotency,
    /// Bytes that a receipt's digests prove.
    Outputs,
    /// What a host reports about itself.
    Inventory,
    /// Steps of a turn before its answer.
    Turns,
    /// Facts about the database itself.
    Meta,
}

pub(crate) struct Inner {
    pub reader: DatabaseConnection,
    pub writer: Writer,
    pub sealer: Sealer,
    pub book: Book,
    pub fleets: crate::hosts::Cache,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    // Dropped last: the file goes after the connections.
    _scratch: Option<open::Scratch>,
}

/// A handle on the database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

impl Store {
    /// Opens the database, brings its schema up to date and verifies every sealed row.
    ///
    /// # Errors
    /// The place cannot be opened, or the database was made by a newer binary. Rows whose seal does not hold are no error here:
    /// they give nothing, and `rights::status` names them.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        let sealer = Sealer::new(options.seal_key, &options.older_seal_keys);
        let Connections { writer, reader, scratch } = open::connections(&options).await?;
        open::migrate(&writer).await?;
        let writer = Writer::new(writer);
        let (clock, ids) = (options.clock, options.ids);
        let (book, fleets) = (Book::new(), crate::hosts::Cache::default());
        let inner = Inner { reader, writer, sealer, book, fleets, clock, ids, _scratch: scratch };
        let store = Self { inner: Arc::new(inner) };
        rights::adopt_all(&store).await?;
        // A database of SQLite has one serving process: whoever held a job before this start is gone.
        crate::leases::end_all(&store).await?;
        Ok(store)
    }

    /// A connection for plain reads.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.inner.reader
    }

    /// Ends all connections; what was committed is in the one file then. For the end of a process.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.inner.reader.close_by_ref().await?;
        self.inner.writer.end().await
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        self.inner.clock.as_ref()
    }

    /// The clock, shared.
    pub fn shared_clock(&self) -> Arc<dyn Clock> {
        self.inner.clock.clone()
    }

    /// The source of ids.
    pub fn ids(&self) -> &dyn Ids {
        self.inner.ids.as_ref()
    }

    /// The source of ids, shared.
    pub fn shared_ids(&self) -> Arc<dyn Ids> {
        self.inner.ids.clone()
    }

    /// What seals rows.
    pub fn sealer(&self) -> &Sealer {
        &self.inner.sealer
    }

    /// Changes whenever acts were committed through this handle or its clones: what the notary waits for.
    pub fn acts(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.writer.acts()
    }

    /// Does an act in one transaction, with the events that tell of it. The work reads and writes through the `Tx` only; what it
    /// returns as an error is rolled back.
    ///
    /// # Errors
    /// What the work returned, or a failure of the store.
    pub async fn write<T, E, F>(&self, op: &Op, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Tx) -> Result<Audited<T>, E>,
        E: From<StoreError>,
    {
        let mut turn = self.inner.writer.turn().await.map_err(E::from)?;
        let tx = Tx::new(
            self,
            op.clone(),
            turn.transaction(&self.inner.writer).await.map_err(E::from)?,
            crate::tx::Purpose::Act,
        );
        match work(&tx).await {
            Ok(Audited { value, events }) => {
                if let Err(error) = tx.record(events).await {
                    self.give_up(turn, tx).await;
                    return Err(error.into());
                }
                turn.finish(self, tx).await.map_err(E::from)?;
                Ok(value)
            }
            Err(error) => {
                self.give_up(turn, tx).await;
                Err(error)
            }
        }
    }

    /// Writes bookkeeping in one transaction, without an event.
    ///
    /// # Errors
    /// What the work returned, or a failure of the store.
    pub async fn keep<T, E, F>(&self, what: Keeping, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Tx) -> Result<T, E>,
        E: From<StoreError>,
    {
        let op = Op::system(TenantId::DEFAULT, "keep", TraceId::new(0));
        let mut turn = self.inner.writer.turn().await.map_err(E::from)?;
        let purpose = crate::tx::Purpose::Keep(what);
        let tx = Tx::new(self, op, turn.transaction(&self.inner.writer).await.map_err(E::from)?, purpose);
        match work(&tx).await {
            Ok(value) => {
                turn.finish(self, tx).await.map_err(E::from)?;
                Ok(value)
            }
            Err(error) => {
                self.give_up(turn, tx).await;
                Err(error)
            }
        }
    }

    /// Takes an act back; tells of changed rights if it found some.
    async fn give_up(&self, turn: Turn, tx: Tx) {
        turn.give_up(tx).await;
        if self.inner.book.read().alarms.is_empty() {
            return;
        }
        if let Err(error) = rights::raise(self).await {
            tracing::error!(%error, "an alarm about changed rights could not be written");
        }
    }

    /// Whether a tenant's sealed rows are as Legator wrote them; looks again when somebody else wrote to the database.
    ///
    /// # Errors
    /// `RightsTampered` when they are not, until an admin accepts.
    pub async fn rights_whole(&self, tenant: TenantId) -> Result<(), StoreError> {
        self.keep(Keeping::Meta, async |tx| tx.rights_whole(tenant).await).await
    }
}
