//! Levels and freezes, told to every connected host as soon as they change.
//!
//! Owns the watch over the version of each tenant's limits. Never decides them. A host that misses one gets it with its next session
//! or its next grant.

use crate::Worker;
use crate::deliver::{self, Route};
use legator_core::ids::TenantId;
use legator_gate::GateError;
use legator_store::{hosts, limits};
use legator_wire::frame::Down;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// The version that was told last, by tenant.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<TenantId, u64>>);

/// Watches until shutdown. The version is a sealed row in memory: looking is cheap.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let mut timer = tokio::time::interval(Duration::from_millis(500));
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        if let Err(error) = tick(&worker).await {
            tracing::error!(%error, "new limits were not told");
        }
    }
}

async fn tick(worker: &Worker) -> Result<(), GateError> {
    for tenant in hosts::tenants(&worker.store).await? {
        let version = limits::version(&worker.store, tenant).await?;
        let known = worker.limits.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, version);
        // What a start finds was told before, or is told with each session.
        if known.is_some_and(|known| known != version) {
            let fleet = hosts::facts(&worker.store, tenant).await?;
            for route in fleet.iter().filter_map(|row| Route::of(tenant, row)) {
                tell(worker, route).await?;
            }
        }
    }
    Ok(())
}

/// Brings a host that keeps limits of this version up to date.
pub(crate) async fn bring(worker: &Worker, route: Route, kept: u64) {
    let told = match limits::version(&worker.store, route.tenant).await {
        Ok(version) if version > kept => tell(worker, route).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = told {
        tracing::error!(%error, host = %route.host, "limits were not told; grants bring them");
    }
}

async fn tell(worker: &Worker, route: Route) -> Result<(), GateError> {
    let on = (route.tenant, route.host);
    if let Some(envelope) = legator_gate::limits_for(&worker.gate, &worker.authority, on).await? {
        deliver::tell(worker, route, Down::Limits { envelope }).await;
    }
    Ok(())
}
