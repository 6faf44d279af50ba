//! The bus within one process.
//!
//! Owns who listens where. Invariant: delivery takes no time but that of a lock; nobody is waited for.

use crate::queue::{Queue, Subscription};
use crate::subject::Subject;
use crate::{BusError, Message};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// Subscriptions at once, at most.
const SUBSCRIPTIONS_MAX: usize = 100_000;
/// Requests that wait for an answer at once, at most.
const REQUESTS_MAX: usize = 100_000;

struct Listener {
    id: u64,
    group: Option<String>,
    queue: Arc<Queue>,
}

/// Those who listen to one pattern.
#[derive(Default)]
struct Place {
    listeners: Vec<Listener>,
    turn: usize,
}

impl Place {
    /// Delivers to each listener outside a group and to one of each group; says whether there was any.
    fn deliver(&mut self, message: &Message) -> bool {
        self.turn = self.turn.wrapping_add(1);
        let mut served: Vec<&str> = Vec::new();
        for listener in &self.listeners {
            match &listener.group {
                None => listener.queue.push(message.clone()),
                Some(group) if served.contains(&group.as_str()) => {}
                Some(group) => {
                    served.push(group);
                    if let Some(chosen) = self.chosen(group) {
                        chosen.queue.push(message.clone());
                    }
                }
            }
        }
        !self.listeners.is_empty()
    }

    /// The member with the shortest queue; among equals, they take turns.
    fn chosen(&self, group: &str) -> Option<&Listener> {
        let members: Vec<&Listener> =
            self.listeners.iter().filter(|one| one.group.as_deref() == Some(group)).collect();
        let start = self.turn % members.len().max(1);
        members.iter().cycle().skip(start).take(members.len()).min_by_key(|one| one.queue.waiting()).copied()
    }
}

#[derive(Default)]
struct Listeners {
    exact: HashMap<Subject, Place>,
    patterns: Vec<(Subject, Place)>,
    count: usize,
}

impl Listeners {
    fn place(&mut self, pattern: &Subject) -> Option<&mut Place> {
        if !pattern.is_pattern() {
            return Some(self.exact.entry(pattern.clone()).or_default());
        }
        if !self.patterns.iter().any(|(there, _)| there == pattern) {
            self.patterns.push((pattern.clone(), Place::default()));
        }
        self.patterns.iter_mut().find(|(there, _)| there == pattern).map(|(_, place)| place)
    }

    fn remove(&mut self, pattern: &Subject, id: u64) {
        let mut gone = 0;
        let mut clear = |place: &mut Place| {
            let before = place.listeners.len();
            place.listeners.retain(|one| one.id != id);
            gone += before - place.listeners.len();
            !place.listeners.is_empty()
        };
        if pattern.is_pattern() {
            self.patterns.retain_mut(|(there, place)| there != pattern || clear(place));
        } else if self.exact.get_mut(pattern).is_some_and(|place| !clear(place)) {
            self.exact.remove(pattern);
        }
        self.count -= gone;
    }
}

/// The bus within one process.
#[derive(Default)]
pub(crate) struct Local {
    listeners: Mutex<Listeners>,
    requests: Mutex<HashMap<Subject, oneshot::Sender<Arc<[u8]>>>>,
    next: AtomicU64,
}

/// Ends a subscription when dropped.
struct End {
    bus: Weak<Local>,
    pattern: Subject,
    id: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(bus) = self.bus.upgrade() {
            bus.listeners().remove(&self.pattern, self.id);
        }
    }
}

/// Forgets a request when dropped.
struct Asked<'a> {
    bus: &'a Local,
    inbox: Subject,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.bus.requests().remove(&self.inbox);
    }
}

impl Local {
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<Subject, oneshot::Sender<Arc<[u8]>>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(
        self: &Arc<Self>,
        pattern: Subject,
        group: Option<&str>,
    ) -> Result<Subscription, BusError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let queue = Arc::new(Queue::default());
        let mut listeners = self.listeners();
        if listeners.count >= SUBSCRIPTIONS_MAX {
            return Err(BusError::Full("subscriptions"));
        }
        listeners.count += 1;
        if let Some(place) = listeners.place(&pattern) {
            place.listeners.push(Listener { id, group: group.map(str::to_owned), queue: queue.clone() });
        }
        drop(listeners);
        let end = End { bus: Arc::downgrade(self), pattern, id };
        Ok(Subscription { queue, _end: Box::new(end) })
    }

    fn deliver(&self, message: &Message) -> bool {
        let mut listeners = self.listeners();
        let exact = listeners.exact.get_mut(&message.subject).is_some_and(|place| place.deliver(message));
        let matching = listeners.patterns.iter_mut().filter(|(pattern, _)| pattern.matches(&message.subject));
        matching.fold(exact, |any, (_, place)| place.deliver(message) || any)
    }

    pub(crate) fn publish(&self, subject: &Subject, body: Arc<[u8]>) -> Result<(), BusError> {
        if subject.is_pattern() {
            return Err(BusError::Pattern(subject.clone()));
        }
        self.deliver(&Message { subject: subject.clone(), body, reply: None });
        Ok(())
    }

    pub(crate) async fn request(
        &self,
        subject: &Subject,
        body: Arc<[u8]>,
        timeout: Duration,
    ) -> Result<Vec<u8>, BusError> {
        if subject.is_pattern() {
            return Err(BusError::Pattern(subject.clone()));
        }
        let inbox = Subject::inbox(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        {
            let mut requests = self.requests();
            if requests.len() >= REQUESTS_MAX {
                return Err(BusError::Full("requests"));
            }
            requests.insert(inbox.clone(), answer);
        }
        let asked = Asked { bus: self, inbox };
        let message = Message { subject: subject.clone(), body, reply: Some(asked.inbox.clone()) };
        if !self.deliver(&message) {
            return Err(BusError::NoResponder(subject.clone()));
        }
        match tokio::time::timeout(timeout, answered).await {
            Ok(Ok(body)) => Ok(body.to_vec()),
            _ => Err(BusError::Timeout(subject.clone())),
        }
    }

    pub(crate) fn answer(&self, inbox: &Subject, body: Arc<[u8]>) {
        if let Some(asked) = self.requests().remove(inbox) {
            let _ = asked.send(body);
        }
    }
}
