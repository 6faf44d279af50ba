//! Bytes from one role to another: publish, subscribe, request and reply over subjects.
//!
//! Owns delivery, which may lose, repeat or reorder: the database is the truth and every wait has a sweep over it. Never reads a body.
//! Invariant: everything is bounded; a slow reader loses its oldest messages, and the loss is counted.

mod local;
mod queue;
pub mod subject;

pub use queue::Subscription;
pub use subject::Subject;

use std::sync::Arc;
use std::time::Duration;

/// The most bytes of one message.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// What came over the bus.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it was sent to. Untrusted: parse it with `subject::read`.
    pub subject: Subject,
    /// The bytes.
    pub body: Arc<[u8]>,
    /// Where an answer is waited for, if one is.
    pub reply: Option<Subject>,
}

/// A failure of the bus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The body is over `BODY_BYTES_MAX`.
    #[error("a message of {0} bytes is larger than the bus takes")]
    TooLarge(usize),
    /// Nobody listens there.
    #[error("nobody listens at {0}")]
    NoResponder(Subject),
    /// No answer in time.
    #[error("no answer from {0} in time")]
    Timeout(Subject),
    /// A message without a place for an answer was answered.
    #[error("the message waits for no answer")]
    NoReply,
    /// A pattern where a single subject belongs.
    #[error("{0} is a pattern, not a subject")]
    Pattern(Subject),
    /// There are too many subscriptions or requests at once.
    #[error("too many at once: {0}")]
    Full(&'static str),
}

/// A handle on the bus; cheap to clone.
#[derive(Clone)]
pub struct Bus {
    backend: Backend,
}

/// What carries the bytes. NATS becomes the second one; the suite in `tests/behaviour.rs` runs over each.
#[derive(Clone)]
enum Backend {
    Local(Arc<local::Local>),
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.backend {
            Backend::Local(_) => f.write_str("Bus(in process)"),
        }
    }
}

impl Bus {
    /// A bus within this process.
    pub fn in_process() -> Self {
        Self { backend: Backend::Local(Arc::default()) }
    }

    /// Sends to whoever listens; says nothing about whether somebody does.
    pub async fn publish(&self, subject: &Subject, body: impl Into<Vec<u8>>) -> Result<(), BusError> {
        let body = bounded(body.into())?;
        match &self.backend {
            Backend::Local(local) => local.publish(subject, body),
        }
    }

    /// Listens to all subjects of a pattern, from now on.
    pub async fn subscribe(&self, pattern: Subject) -> Result<Subscription, BusError> {
        match &self.backend {
            Backend::Local(local) => local.subscribe(pattern, None),
        }
    }

    /// Listens together with all others of the group: each message goes to one of them.
    pub async fn queue_subscribe(&self, pattern: Subject, group: &str) -> Result<Subscription, BusError> {
        match &self.backend {
            Backend::Local(local) => local.subscribe(pattern, Some(group)),
        }
    }

    /// Sends and waits for the first answer.
    ///
    /// # Errors
    /// `NoResponder` at once when nobody listens, `Timeout` when nobody answers.
    pub async fn request(
        &self,
        subject: &Subject,
        body: impl Into<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Vec<u8>, BusError> {
        let body = bounded(body.into())?;
        match &self.backend {
            Backend::Local(local) => local.request(subject, body, timeout).await,
        }
    }

    /// Answers a request. An answer that comes too late is dropped.
    pub async fn reply(&self, to: &Message, body: impl Into<Vec<u8>>) -> Result<(), BusError> {
        let body = bounded(body.into())?;
        let inbox = to.reply.as_ref().ok_or(BusError::NoReply)?;
        match &self.backend {
            Backend::Local(local) => local.answer(inbox, body),
        }
        Ok(())
    }
}

fn bounded(body: Vec<u8>) -> Result<Arc<[u8]>, BusError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BusError::TooLarge(body.len()));
    }
    Ok(body.into())
}
