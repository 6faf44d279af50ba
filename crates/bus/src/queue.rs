//! What waits for one subscriber.
//!
//! Owns the bounded queue between sender and reader. Invariant: a sender never waits; what does not fit pushes out the oldest.

use crate::Message;
use futures::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Messages that wait for one subscriber, at most.
pub(crate) const MESSAGES_MAX: usize = 16_384;
/// Their bytes, at most.
pub(crate) const BYTES_MAX: usize = 64 << 20;

#[derive(Default)]
struct Inside {
    messages: VecDeque<Message>,
    bytes: usize,
    dropped: u64,
    waker: Option<Waker>,
}

/// A bounded queue.
#[derive(Default)]
pub(crate) struct Queue {
    inside: Mutex<Inside>,
}

impl Queue {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, message: Message) {
        let mut inside = self.inside();
        inside.bytes += message.body.len();
        inside.messages.push_back(message);
        while inside.messages.len() > MESSAGES_MAX || inside.bytes > BYTES_MAX {
            let Some(oldest) = inside.messages.pop_front() else { break };
            inside.bytes -= oldest.body.len();
            inside.dropped += 1;
        }
        let waker = inside.waker.take();
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.inside().messages.len()
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut inside = self.inside();
        match inside.messages.pop_front() {
            Some(message) => {
                inside.bytes -= message.body.len();
                Poll::Ready(Some(message))
            }
            None => {
                inside.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// What a subscriber reads: a stream of messages, which ends only when it is dropped.
pub struct Subscription {
    pub(crate) queue: Arc<Queue>,
    /// Ends the subscription when dropped.
    pub(crate) _end: Box<dyn std::any::Any + Send + Sync>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("waiting", &self.queue.waiting()).finish_non_exhaustive()
    }
}

impl Subscription {
    /// The next message.
    pub async fn next(&mut self) -> Option<Message> {
        std::future::poll_fn(|context| self.queue.poll(context)).await
    }

    /// A message that is already here.
    pub fn try_next(&mut self) -> Option<Message> {
        let mut inside = self.queue.inside();
        let message = inside.messages.pop_front()?;
        inside.bytes -= message.body.len();
        Some(message)
    }

    /// How many messages were lost since this was too slow.
    pub fn dropped(&self) -> u64 {
        self.queue.inside().dropped
    }
}

impl Stream for Subscription {
    type Item = Message;
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.queue.poll(context)
    }
}
