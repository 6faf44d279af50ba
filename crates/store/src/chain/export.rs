//! An export of a tenant's log, page by page, as lines that `legator_core::audit` verifies.
//!
//! Owns the order: the log, its keys, then records with each checkpoint right after the last record that it covers.

use super::{Signed, signed};
use crate::{Store, StoreError, sql};
use legator_core::audit::{self, Line, Record};
use legator_core::digest::Digest;
use legator_core::ids::TenantId;

/// The first lines: which log, and the keys that signed its checkpoints.
pub async fn export_head(
    store: &Store,
    installation: &str,
    tenant: TenantId,
) -> Result<Vec<Line>, StoreError> {
    let origin = audit::origin(installation, tenant);
    let mut lines = vec![Line::Log { version: 1, origin, tenant }];
    let keys = super::keys(store).await?;
    lines.extend(keys.into_iter().map(|key| Line::Key { authority: key.authority, envelope: key.envelope }));
    Ok(lines)
}

async fn checkpoints(
    store: &Store,
    tenant: TenantId,
    after: i64,
    to: i64,
) -> Result<Vec<Signed>, StoreError> {
    let text =
        "SELECT size, at, note FROM checkpoints WHERE tenant = ? AND size > ? AND size <= ? ORDER BY size";
    let rows =
        sql::all(store.reader(), text, vec![tenant.to_string().into(), after.into(), to.into()]).await?;
    rows.iter().map(|row| signed(tenant, row)).collect()
}

/// The next lines after record `after` (0 for the first): at most 500 records with their checkpoints, and the last record's number.
/// `None` when there are no more.
pub async fn export_page(
    store: &Store,
    tenant: TenantId,
    after: u64,
) -> Result<Option<(Vec<Line>, u64)>, StoreError> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let text = "SELECT c.number, c.leaf, e.body FROM chain c CROSS JOIN events e ON e.seq = c.seq WHERE c.tenant = ? AND c.number > ? ORDER BY c.number LIMIT 500";
    let rows = sql::all(store.reader(), text, vec![tenant.to_string().into(), after.into()]).await?;
    let Some(last) = rows.last() else { return Ok(None) };
    let last: i64 = sql::column(last, 0)?;
    let mut notes = checkpoints(store, tenant, after, last).await?.into_iter().peekable();
    let mut lines = Vec::with_capacity(rows.len() + 16);
    for row in &rows {
        let number = u64::try_from(sql::column::<i64>(row, 0)?).unwrap_or(0);
        let leaf: Vec<u8> = sql::column(row, 1)?;
        let leaf = <[u8; 32]>::try_from(leaf)
            .map_err(|_| StoreError::corrupt("hash of the chain", "not 32 bytes"))?;
        // An event that was deleted by hand leaves its number out, which the verification names.
        while let Some(note) = notes.next_if(|note| note.size < number) {
            lines.push(Line::Checkpoint { note: note.note });
        }
        lines.push(Line::Record(Record {
            number,
            event: sql::column(row, 2)?,
            leaf: Digest::from_bytes(leaf),
        }));
        while let Some(note) = notes.next_if(|note| note.size == number) {
            lines.push(Line::Checkpoint { note: note.note });
        }
    }
    Ok(Some((lines, u64::try_from(last).unwrap_or(0))))
}
