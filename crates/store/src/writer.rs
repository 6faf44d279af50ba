//! The one connection that writes, and whose turn it is.
//!
//! Owns commits. Acts that wait for each other are committed together: each runs in a savepoint of its own, so that one that
//! fails takes nothing with it, and all return when the one commit is durable. Invariant: what is committed is known to the book of rights,
//! also when whoever asked has gone away meanwhile.

use crate::rights::Changes;
use crate::{Store, StoreError, Tx, sql};
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Lock, MutexGuard as LockGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

/// The most acts in one commit.
const GROUP_MAX: usize = 64;
/// How long an act waits for its turn.
const TURN_SECS: u64 = 60;

type Outcome = Option<Result<(), String>>;

struct Group {
    outer: DatabaseTransaction,
    acts: usize,
    done: watch::Sender<Outcome>,
}

#[derive(Default)]
struct Desk {
    group: Option<Group>,
}

/// Who writes.
pub(crate) struct Writer {
    db: DatabaseConnection,
    desk: Arc<Mutex<Desk>>,
    waiting: Arc<AtomicUsize>,
    /// What the acts of the open group sealed.
    ahead: Lock<Changes>,
    /// Rises with each commit of acts.
    acts: watch::Sender<u64>,
}

struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Writer {
    pub(crate) fn new(db: DatabaseConnection) -> Self {
        Self {
            db,
            desk: Arc::default(),
            waiting: Arc::default(),
            ahead: Lock::default(),
            acts: watch::Sender::new(0),
        }
    }

    pub(crate) fn ahead(&self) -> LockGuard<'_, Changes> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection, after the act that has its turn.
    pub(crate) async fn end(&self) -> Result<(), StoreError> {
        let _desk = self.desk.lock().await;
        Ok(self.db.close_by_ref().await?)
    }

    /// Tells of commits of acts.
    pub(crate) fn acts(&self) -> watch::Receiver<u64> {
        self.acts.subscribe()
    }

    fn committed(&self) {
        self.acts.send_modify(|count| *count += 1);
    }

    /// Waits until it is this act's turn.
    pub(crate) async fn turn(&self) -> Result<Turn, StoreError> {
        let waiting = Waiting::new(&self.waiting);
        let turn = tokio::time::timeout(Duration::from_secs(TURN_SECS), self.desk.clone().lock_owned()).await;
        let desk = turn.map_err(|_| StoreError::Busy(TURN_SECS))?;
        drop(waiting);
        Ok(Turn { desk })
    }

    fn crowded(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        sql::count();
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.db.begin_with_options(options).await?)
    }
}

/// One act's turn at the connection.
pub(crate) struct Turn {
    desk: OwnedMutexGuard<Desk>,
}

impl Turn {
    /// The transaction of the act: its own, or a savepoint in the group's when others wait.
    pub(crate) async fn transaction(&mut self, writer: &Writer) -> Result<DatabaseTransaction, StoreError> {
        if self.desk.group.is_none() {
            let outer = writer.begin().await?;
            if !writer.crowded() {
                return Ok(outer);
            }
            self.desk.group = Some(Group { outer, acts: 0, done: watch::Sender::new(None) });
        }
        match &self.desk.group {
            Some(group) => Ok(group.outer.begin().await?),
            None => writer.begin().await,
        }
    }

    /// Makes the act durable, alone or with its group. In a task of its own: a caller that goes away between a commit and the book of
    /// rights would leave the two apart.
    pub(crate) async fn finish(self, store: &Store, tx: Tx) -> Result<(), StoreError> {
        let store = store.clone();
        let act = tx.keeping().is_none();
        let (conn, changes) = tx.into_parts();
        let finished = tokio::spawn(async move { self.commit(&store, conn, changes, act).await }).await;
        finished.unwrap_or_else(|error| Err(StoreError::Commit(error.to_string())))
    }

    async fn commit(
        mut self,
        store: &Store,
        conn: DatabaseTransaction,
        changes: Changes,
        act: bool,
    ) -> Result<(), StoreError> {
        let writer = &store.inner.writer;
        sql::count();
        conn.commit().await?;
        let Some(group) = self.desk.group.as_mut() else {
            store.inner.book.apply(changes);
            if act {
                writer.committed();
            }
            return Ok(());
        };
        writer.ahead().merge(changes);
        group.acts += 1;
        let mut done = group.done.subscribe();
        if group.acts >= GROUP_MAX {
            writer.close(&mut self.desk, store).await;
            return outcome(&done.borrow());
        }
        drop(self.desk);
        // Whoever waits for a turn comes first; then one of the group closes it for all.
        tokio::select! {
            biased;
            _ = done.changed() => {}
            mut desk = writer.desk.clone().lock_owned() => {
                if done.borrow().is_none() {
                    writer.close(&mut desk, store).await;
                }
            }
        }
        outcome(&done.borrow())
    }

    /// Takes the act back.
    pub(crate) async fn give_up(mut self, tx: Tx) {
        let (conn, _) = tx.into_parts();
        if let Err(error) = conn.rollback().await {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
        if self.desk.group.as_ref().is_some_and(|group| group.acts == 0)
            && let Some(group) = self.desk.group.take()
        {
            let _ = group.outer.rollback().await;
        }
    }
}

fn outcome(outcome: &Outcome) -> Result<(), StoreError> {
    match outcome {
        Some(Ok(())) => Ok(()),
        Some(Err(why)) => Err(StoreError::Commit(why.clone())),
        None => Err(StoreError::Commit("the group was dropped".to_owned())),
    }
}

impl Writer {
    /// Commits the open group and tells its acts.
    async fn close(&self, desk: &mut Desk, store: &Store) {
        let Some(group) = desk.group.take() else { return };
        let result = group.outer.commit().await;
        let changes = std::mem::take(&mut *self.ahead());
        if result.is_ok() {
            store.inner.book.apply(changes);
            self.committed();
        }
        group.done.send_replace(Some(result.map_err(|error| error.to_string())));
    }
}
