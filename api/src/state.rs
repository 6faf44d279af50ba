//! What all handlers share.
//!
//! Owns the `Api` value. Never holds a secret but the key under cursors, which gives nothing.

use crate::guard::Names;
use legator_bus::Bus;
use legator_core::digest::Digest;
use legator_gate::{Auth, Gate};
use legator_store::Store;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What varies between installations.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether people have to show a key.
    pub auth: Auth,
    /// The names under which the server is addressed.
    pub names: Names,
    /// The key under cursors.
    pub cursor_key: [u8; 32],
    /// The authority's fingerprint: what probes pin.
    pub fingerprint: Digest,
    /// The authority's public key, 64 hex digits.
    pub authority: String,
    /// The notary's public key, 64 hex digits.
    pub notary: String,
}

/// Whether something that the server needs is there; if not, why.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What all handlers share; cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// The gate.
    pub gate: Gate,
    /// The store.
    pub store: Store,
    /// The bus, to ask workers and to be woken.
    pub bus: Bus,
    /// What varies.
    pub settings: Arc<Settings>,
    /// What has to be there, by name, besides the store.
    pub checks: Arc<Vec<(&'static str, Check)>>,
    /// Renders the metrics.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Ends streams and turns `/readyz` to not ready.
    pub draining: CancellationToken,
}
