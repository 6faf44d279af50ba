//! The proof at the start of a connection.
//!
//! Owns the answer to a challenge. Invariant: what is signed names this edge and this nonce, so it opens no other connection.

use legator_core::ids::InstanceId;
use legator_wire::dsse::Envelope;
use legator_wire::frame::Up;
use legator_wire::hello::Hello;

use crate::probe::Probe;

/// Tasks named in a hello: with the rest it stays below what an edge takes from someone unproven.
const TASKS_MAX: usize = 64;
/// Missing layers that are named, at most.
const MISSING_MAX: usize = 16;

/// The hello that answers this challenge.
pub(super) fn answer(probe: &Probe, edge: InstanceId, nonce: String) -> Up {
    let identity = probe.identity();
    let max_level =
        probe.source.now().map_or(legator_core::level::Level::Observe, |settings| settings.max_level);
    let mut cage = probe.cage.clone();
    cage.missing.truncate(MISSING_MAX);
    let hello = Hello {
        installation: identity.installation,
        host: identity.host,
        edge,
        nonce,
        instance: probe.instance,
        hostname: crate::metrics::hostname(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cage,
        max_level,
        limits_version: probe.limits.now().version,
        running: probe.running(TASKS_MAX),
        made_at: probe.clock.now(),
    };
    Up::Hello { credential: identity.credential, envelope: Envelope::seal(&hello, &probe.key) }
}
