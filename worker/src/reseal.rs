//! Rows under an older seal key, sealed anew after a change of that key.
//!
//! Owns the sweep. Never changes what a row says. Invariant: once it has found nothing, the older key can be taken away.

use crate::Worker;
use legator_core::ids::TraceId;
use legator_store::{Op, StoreError, rights};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const SWEEP: Duration = Duration::from_secs(60);

/// Looks at the start and each minute, until shutdown. What there is to find is known in memory: a look costs nothing.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        if let Err(error) = sweep(&worker).await {
            tracing::error!(%error, "rows under an older key were not sealed anew");
        }
    }
}

async fn sweep(worker: &Worker) -> Result<(), StoreError> {
    for tenant in rights::under_older_keys(&worker.store) {
        let op = Op::system(tenant, "reseal", TraceId::fresh(worker.ids.as_ref()));
        while rights::reseal(&worker.store, &op).await? > 0 {
            worker.wake("event", op.trace).await;
        }
    }
    Ok(())
}
