//! Who does a job that only one may do at a time.
//!
//! Owns the table `leases`. Invariant: the fence of a lease rises whenever its holder changes, and work done under an older fence is
//! refused in the same transaction that it would have written in.

use crate::{Keeping, Store, StoreError, Tx, sql};
use legator_core::ids::InstanceId;
use legator_core::span::Span;
use legator_core::time::Timestamp;

/// A job that this process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which job.
    pub name: &'static str,
    /// Who holds it.
    pub holder: InstanceId,
    /// Rises with each change of holder.
    pub fence: u64,
    /// Until when, unless it is taken again.
    pub until: Timestamp,
}

const TAKE: &str = "INSERT INTO leases (name, holder, fence, until) VALUES (?1, ?2, 1, ?3)
ON CONFLICT (name) DO UPDATE SET fence = leases.fence + (leases.holder <> excluded.holder), holder = excluded.holder, until = excluded.until
WHERE leases.holder = excluded.holder OR leases.until <= ?4
RETURNING fence";

/// Takes a job, or keeps it for longer; `None` when another holds it.
pub async fn take(
    store: &Store,
    name: &'static str,
    holder: InstanceId,
    length: Span,
) -> Result<Option<Lease>, StoreError> {
    store
        .keep(Keeping::Leases, async |tx| {
            let until = tx.now() + length;
            let values =
                vec![name.into(), holder.to_string().into(), until.millis().into(), tx.now().millis().into()];
            let Some(row) = tx.one(TAKE, values).await? else { return Ok(None) };
            let fence: i64 = sql::column(&row, 0)?;
            Ok(Some(Lease { name, holder, fence: u64::try_from(fence).unwrap_or(0), until }))
        })
        .await
}

/// Gives a job back, so that another need not wait for its end.
pub async fn give_back(store: &Store, lease: &Lease) -> Result<(), StoreError> {
    let text = "UPDATE leases SET until = 0 WHERE name = ? AND holder = ? AND fence = ?";
    let fence = i64::try_from(lease.fence).unwrap_or(i64::MAX);
    let values = vec![lease.name.into(), lease.holder.to_string().into(), fence.into()];
    store.keep(Keeping::Leases, async |tx| tx.execute(text, values).await).await?;
    Ok(())
}

/// Ends all leases: for a process that knows that it is alone, such as one that holds the lock of its data folder.
pub async fn end_all(store: &Store) -> Result<(), StoreError> {
    store.keep(Keeping::Leases, async |tx| tx.execute("UPDATE leases SET until = 0", vec![]).await).await?;
    Ok(())
}

/// Whether the lease is still this one's, in the transaction that works under it.
///
/// # Errors
/// `Fenced` when another holds the job by now.
pub async fn check(tx: &Tx, lease: &Lease) -> Result<(), StoreError> {
    let text = "SELECT 1 FROM leases WHERE name = ? AND holder = ? AND fence = ?";
    let fence = i64::try_from(lease.fence).unwrap_or(i64::MAX);
    let values = vec![lease.name.into(), lease.holder.to_string().into(), fence.into()];
    match tx.one(text, values).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::Fenced(lease.name.to_owned())),
    }
}
