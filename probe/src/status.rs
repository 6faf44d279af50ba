//! What a state folder says about its probe, for a person or a program.
//!
//! Owns the report. Never works in the folder: a running probe is not disturbed.

use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::path::Path;

use crate::error::ProbeError;
use crate::identity;

/// The report, an object.
///
/// # Errors
/// Not enrolled, or the state is damaged or unreadable.
pub fn report(state_dir: &Path) -> Result<Value, ProbeError> {
    let identity = identity::identity(state_dir)?.ok_or(ProbeError::NotEnrolled)?;
    let limits = crate::limits::InForce::open(state_dir, &identity)?.now();
    Ok(json!({
        "host": identity.host,
        "name": identity.name,
        "server": identity.server,
        "installation": identity.installation,
        "authority": identity.authority.fingerprint(),
        "credential_expires_at": identity.expires_at,
        "ceiling": limits.ceiling,
        "limits_version": limits.version,
        "running": is_running(state_dir),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// Whether a process holds the folder's lock.
pub fn is_running(state_dir: &Path) -> bool {
    let Ok(file) = OpenOptions::new().write(true).open(state_dir.join("lock")) else { return false };
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err()
}

/// The report as lines `name: value`.
pub fn lines(report: &Value) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = report.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name}: {}\n", word(value))).collect()
}
