//! Figures of hosts at one-minute grain, for a day.
//!
//! Owns the table `figures`. Never grows without bound: what is older than a day goes, and a minute has one row a host.

use crate::{Keeping, Store, StoreError, Tx, sql};
use legator_core::health::Metrics;
use legator_core::ids::HostId;
use legator_core::span::Span;
use legator_core::time::Timestamp;

/// How long figures are kept: a day.
pub const KEPT_FOR: Span = Span::from_secs(86_400);

/// Rows as `sessions::seen` makes them: host, epoch, at, clock ahead, metrics.
pub(crate) async fn insert(tx: &Tx, rows: &str) -> Result<(), StoreError> {
    let text = "INSERT INTO figures (host, minute, metrics)
SELECT value->>0, (value->>2) / 60000, value->>4 FROM json_each(?) WHERE true
ON CONFLICT (host, minute) DO UPDATE SET metrics = excluded.metrics";
    tx.execute(text, vec![rows.into()]).await?;
    Ok(())
}

/// The figures of a host since a moment, oldest first; each minute once.
pub async fn of_host(
    store: &Store,
    host: HostId,
    since: Timestamp,
) -> Result<Vec<(Timestamp, Metrics)>, StoreError> {
    let text =
        "SELECT minute, metrics FROM figures WHERE host = ? AND minute >= ? ORDER BY minute LIMIT 1500";
    let values = vec![host.to_string().into(), (since.millis() / 60_000).into()];
    let mut figures = Vec::new();
    for row in sql::all(store.reader(), text, values).await? {
        let minute: i64 = sql::column(&row, 0)?;
        let metrics: String = sql::column(&row, 1)?;
        if let Ok(metrics) = serde_json::from_str(&metrics) {
            figures.push((Timestamp::from_millis(minute.saturating_mul(60_000)), metrics));
        }
    }
    Ok(figures)
}

/// Drops what is older than a day. Says how many rows went.
pub async fn prune(store: &Store) -> Result<u64, StoreError> {
    store
        .keep(Keeping::Metrics, async |tx| {
            let oldest = (tx.now() - KEPT_FOR).millis() / 60_000;
            tx.execute("DELETE FROM figures WHERE minute < ?", vec![oldest.into()]).await
        })
        .await
}
