//! A stream that ends with an error after so many bytes, until it is trusted.
//!
//! Owns the count of bytes on the wire: frames, fragments, pings and whatever else. Invariant: the limit counts what came, never what was announced.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes are still accepted; `usize::MAX` for any number.
#[derive(Clone)]
pub(crate) struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub(crate) fn bytes(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// The limit is lifted.
    pub(crate) fn lift(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }
}

pub(crate) struct Metered<S> {
    stream: S,
    budget: Budget,
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S, budget: Budget) -> Self {
        Self { stream, budget }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buf);
        let left = self.budget.0.load(Ordering::Relaxed);
        if left != usize::MAX && matches!(polled, Poll::Ready(Ok(()))) {
            let Some(left) = left.checked_sub(buf.filled().len() - before) else {
                let too_much =
                    io::Error::new(io::ErrorKind::QuotaExceeded, "too many bytes before a proof of the key");
                return Poll::Ready(Err(too_much));
            };
            self.budget.0.store(left, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn what_came_counts_until_the_limit_is_lifted() {
        let data = [7u8; 100];
        let budget = Budget::bytes(50);
        let mut stream = Metered::new(data.as_slice(), budget.clone());
        let mut part = [0; 40];
        stream.read_exact(&mut part).await.unwrap();
        assert_eq!(stream.read_exact(&mut part).await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        let mut stream = Metered::new(data.as_slice(), budget.clone());
        budget.lift();
        let mut all = Vec::new();
        assert_eq!(stream.read_to_end(&mut all).await.unwrap(), 100);
    }
}
