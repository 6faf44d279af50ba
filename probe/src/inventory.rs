//! What this host is, told to the server: whole when the probe starts and daily, and what changed in between.
//!
//! Owns when it is collected and told. Never says a part twice that did not change. Invariant: each envelope's sequence is higher than
//! any before it, also over a restart.

mod collect;
pub(crate) mod foreign;
mod net;
mod people;
mod place;
mod software;
mod system;

#[cfg(test)]
mod tests;

use legator_core::digest::Digest;
use legator_core::inventory::PART_BYTES_MAX;
use legator_wire::dsse::Envelope;
use legator_wire::frame::Up;
use legator_wire::inventory::Inventory;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::probe::Probe;

pub use collect::{Slow, collect};

/// Parts, by name.
pub type Parts = BTreeMap<String, Value>;

const LOOK_EACH: Duration = Duration::from_secs(300);
const WHOLE_EACH: Duration = Duration::from_secs(86_400);
/// What takes long is looked at for the first time after this, and then a few times a day.
const SLOW_AFTER: Duration = Duration::from_secs(90);
const SLOW_EACH: Duration = Duration::from_secs(6 * 3600);

/// What was told, and when.
#[derive(Default)]
struct Told {
    parts: BTreeMap<String, Digest>,
    whole_at: Option<Instant>,
}

/// Collects and tells for as long as the probe runs.
pub async fn keep_told(probe: Arc<Probe>) {
    let (mut told, mut slow) = (Told::default(), Slow::default());
    let begun = Instant::now();
    let mut slow_at: Option<Instant> = None;
    loop {
        while probe.session().is_none() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let due = slow_at.map_or(begun.elapsed() > SLOW_AFTER, |at| at.elapsed() > SLOW_EACH);
        if due {
            slow = collect::slow(&probe).await;
            slow_at = Some(Instant::now());
        }
        let parts = collect(&probe, &slow).await;
        if !tell(&probe, &mut told, parts).await {
            told.whole_at = None;
        }
        let pause = if slow_at.is_none() { SLOW_AFTER } else { LOOK_EACH };
        tokio::time::sleep(pause + Duration::from_millis(crate::system::between(0, 15_000))).await;
    }
}

/// Tells what is new. Says whether the session took all of it.
async fn tell(probe: &Probe, told: &mut Told, parts: Parts) -> bool {
    let whole = told.whole_at.is_none_or(|at| at.elapsed() > WHOLE_EACH);
    let digests: BTreeMap<String, Digest> =
        parts.iter().map(|(name, part)| (name.clone(), digest(part))).collect();
    let is_new = |name: &String| whole || told.parts.get(name) != digests.get(name);
    let changed: Parts = parts.into_iter().filter(|(name, _)| is_new(name)).collect();
    if changed.is_empty() {
        return true;
    }
    let groups = grouped(changed);
    // What takes several envelopes is told part by part: none of them may say that the others are gone.
    let alone = whole && groups.len() == 1;
    for group in groups {
        let frame = Up::Inventory { envelope: envelope(probe, alone, group) };
        if !probe.say_waiting(frame).await {
            return false;
        }
    }
    told.parts = digests;
    if whole {
        told.whole_at = Some(Instant::now());
    }
    true
}

fn digest(part: &Value) -> Digest {
    Digest::of(&serde_json::to_vec(part).unwrap_or_default())
}

/// Parts in as few envelopes as fit a frame each.
fn grouped(parts: Parts) -> Vec<Parts> {
    let mut groups: Vec<Parts> = Vec::new();
    let mut room = 0;
    for (name, part) in parts {
        let bytes = serde_json::to_vec(&part).map_or(0, |text| text.len()) + name.len() + 8;
        if bytes > PART_BYTES_MAX + 1024 {
            continue; // Parts are bounded where they are made; this is the belt.
        }
        match groups.last_mut() {
            Some(group) if bytes <= room => {
                group.insert(name, part);
                room -= bytes;
            }
            _ => {
                groups.push(Parts::from([(name, part)]));
                room = PART_BYTES_MAX.saturating_sub(bytes);
            }
        }
    }
    groups
}

fn envelope(probe: &Probe, whole: bool, parts: Parts) -> Envelope {
    let identity = probe.identity();
    let inventory = Inventory {
        installation: identity.installation,
        host: identity.host,
        sequence: sequence(probe),
        whole,
        parts,
        made_at: probe.clock.now(),
    };
    Envelope::seal(&inventory, &probe.key)
}

/// A number higher than the last, kept on disk; from the clock where that is ahead, so that a lost file starts no lower.
fn sequence(probe: &Probe) -> u64 {
    let path = probe.state.path().join("inventory.sequence");
    let kept = crate::disk::read(&path, 64).ok().flatten();
    let kept = kept.and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse::<u64>().ok()).unwrap_or(0);
    let next = kept.saturating_add(1).max(u64::try_from(probe.clock.now().millis()).unwrap_or(0));
    if let Err(error) = crate::disk::replace(&path, next.to_string().as_bytes(), 0o600) {
        tracing::warn!(%error, "the number of the inventory could not be kept");
    }
    next
}
