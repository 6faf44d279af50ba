//! Which session of this edge is which host's.
//!
//! Owns the table and the bounded queue down to each session. Invariant: a host has at most one live session here, of the highest epoch
//! that was admitted; frames for one epoch never go out on a session of another.

use legator_core::ids::HostId;
use legator_wire::corridor::Heard;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Frames that wait for one session, at most.
const QUEUE_FRAMES_MAX: usize = 256;
/// Bytes that wait for one session, at most.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A frame on its way down.
pub(crate) struct Down {
    /// Only for this epoch; for any when absent.
    pub(crate) epoch: Option<u64>,
    pub(crate) text: String,
}

/// A session's end of its route.
pub(crate) struct Mailbox {
    pub(crate) frames: mpsc::Receiver<Down>,
    pub(crate) waiting: Arc<AtomicUsize>,
    pub(crate) closed: CancellationToken,
}

#[derive(Clone)]
struct Route {
    epoch: u64,
    frames: mpsc::Sender<Down>,
    waiting: Arc<AtomicUsize>,
    closed: CancellationToken,
}

#[derive(Default)]
struct Slot {
    live: Option<Route>,
    /// It has proven its key and waits for its epoch; its frames are held.
    coming: Option<Route>,
}

#[derive(Default)]
pub(crate) struct Routes(Mutex<HashMap<HostId, Slot>>);

impl Routes {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<HostId, Slot>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A proven connection waits for its epoch. Nothing when another one of this host does already.
    pub(crate) fn announce(&self, host: HostId) -> Option<Mailbox> {
        let (sender, frames) = mpsc::channel(QUEUE_FRAMES_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let closed = CancellationToken::new();
        let route = Route { epoch: 0, frames: sender, waiting: Arc::clone(&waiting), closed: closed.clone() };
        self.with(|table| {
            let slot = table.entry(host).or_default();
            if slot.coming.is_some() {
                return None;
            }
            slot.coming = Some(route);
            Some(Mailbox { frames, waiting, closed })
        })
    }

    /// The waiting connection has its epoch: it takes over, unless a higher one is here.
    pub(crate) fn promote(&self, host: HostId, epoch: u64) -> bool {
        self.with(|table| {
            let Some(slot) = table.get_mut(&host) else { return false };
            let Some(route) = slot.coming.take() else { return false };
            if slot.live.as_ref().is_some_and(|live| live.epoch >= epoch) {
                return false;
            }
            if let Some(old) = slot.live.replace(Route { epoch, ..route }) {
                old.closed.cancel();
            }
            true
        })
    }

    /// The waiting connection is not admitted.
    pub(crate) fn withdraw(&self, host: HostId) {
        self.with(|table| {
            let Some(slot) = table.get_mut(&host) else { return };
            slot.coming = None;
            if slot.live.is_none() {
                table.remove(&host);
            }
        });
    }

    /// A session has ended. Whether it was the live one.
    pub(crate) fn leave(&self, host: HostId, epoch: u64) -> bool {
        self.with(|table| {
            let Some(slot) = table.get_mut(&host) else { return false };
            if slot.live.as_ref().is_none_or(|live| live.epoch != epoch) {
                return false;
            }
            slot.live = None;
            if slot.coming.is_none() {
                table.remove(&host);
            }
            true
        })
    }

    /// Puts a frame into the queue of its session. A full queue closes a session that does not take its frames.
    pub(crate) fn send(&self, host: HostId, frame: Down) -> Heard {
        self.with(|table| {
            let Some(slot) = table.get(&host) else { return Heard::NotHere };
            let fits = |route: &&Route| frame.epoch.is_none_or(|epoch| route.epoch == epoch);
            let held = || slot.coming.as_ref().filter(|_| frame.epoch.is_some());
            let Some(route) = slot.live.as_ref().filter(fits).or_else(held) else { return Heard::NotHere };
            let bytes = frame.text.len();
            if route.waiting.load(Ordering::Relaxed) + bytes > QUEUE_BYTES_MAX {
                route.closed.cancel();
                return Heard::Full;
            }
            route.waiting.fetch_add(bytes, Ordering::Relaxed);
            match route.frames.try_send(frame) {
                Ok(()) => Heard::Queued,
                Err(_) => {
                    route.waiting.fetch_sub(bytes, Ordering::Relaxed);
                    route.closed.cancel();
                    Heard::Full
                }
            }
        })
    }

    /// Closes the session of this host, if its epoch is below `epoch`.
    pub(crate) fn fence(&self, host: HostId, epoch: u64) -> Heard {
        self.with(|table| {
            let live = table.get(&host).and_then(|slot| slot.live.as_ref()).filter(|live| live.epoch < epoch);
            match live {
                Some(route) => {
                    route.closed.cancel();
                    Heard::Queued
                }
                None => Heard::NotHere,
            }
        })
    }

    /// Hosts with a live session here.
    pub(crate) fn hosts(&self) -> Vec<HostId> {
        self.with(|table| {
            table.iter().filter(|(_, slot)| slot.live.is_some()).map(|(host, _)| *host).collect()
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.with(|table| table.values().filter(|slot| slot.live.is_some()).count())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HOST: HostId = HostId::new(1);

    fn frame(epoch: Option<u64>) -> Down {
        Down { epoch, text: "x".into() }
    }

    #[test]
    fn the_higher_epoch_takes_over_and_the_lower_is_closed() {
        let routes = Routes::default();
        let old = routes.announce(HOST).unwrap();
        assert!(routes.announce(HOST).is_none(), "one at a time waits");
        assert!(routes.promote(HOST, 7));
        let _new = routes.announce(HOST).unwrap();
        assert!(!old.closed.is_cancelled(), "what only waits closes nobody");
        assert!(routes.promote(HOST, 8));
        assert!(old.closed.is_cancelled());
        assert_eq!(routes.send(HOST, frame(Some(7))), Heard::NotHere);
        assert_eq!(routes.send(HOST, frame(Some(8))), Heard::Queued);
        assert!(!routes.leave(HOST, 7), "the old one's end does not end the new one");
        assert!(routes.leave(HOST, 8));
        assert_eq!(routes.send(HOST, frame(None)), Heard::NotHere);
        assert_eq!(routes.len(), 0);
    }

    #[test]
    fn frames_for_a_coming_session_are_held() {
        let routes = Routes::default();
        let mut mailbox = routes.announce(HOST).unwrap();
        assert_eq!(routes.send(HOST, frame(None)), Heard::NotHere);
        assert_eq!(routes.send(HOST, frame(Some(1))), Heard::Queued);
        assert!(routes.promote(HOST, 1));
        assert_eq!(mailbox.frames.try_recv().unwrap().epoch, Some(1));
        assert!(!routes.promote(HOST, 2), "nobody waits");
        routes.withdraw(HOST);
        assert_eq!(routes.len(), 1);
    }

    #[test]
    fn a_queue_has_an_end_and_a_slow_session_is_closed() {
        let routes = Routes::default();
        let mailbox = routes.announce(HOST).unwrap();
        routes.promote(HOST, 1);
        let heard = (0..=QUEUE_FRAMES_MAX).map(|_| routes.send(HOST, frame(None))).collect::<Vec<_>>();
        assert_eq!(heard.iter().filter(|heard| **heard == Heard::Queued).count(), QUEUE_FRAMES_MAX);
        assert_eq!(heard.last(), Some(&Heard::Full));
        assert!(mailbox.closed.is_cancelled());
        let routes = Routes::default();
        let _mailbox = routes.announce(HOST).unwrap();
        routes.promote(HOST, 1);
        let large = Down { epoch: None, text: "x".repeat(QUEUE_BYTES_MAX + 1) };
        assert_eq!(routes.send(HOST, large), Heard::Full);
    }
}
