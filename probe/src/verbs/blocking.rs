//! Reading that may block, away from the threads that serve the connection.
//!
//! Owns the time limit of such reading. Invariant: nobody waits longer than the call's timeout, though the reading itself may
//! hang on (a dead network file system) until the kernel lets go.

use legator_core::verbs::Call;

use super::{Step, Stop};

/// Runs `read` on a thread for blocking work.
pub(super) async fn run<T, F>(call: &Call, read: F) -> Step<T>
where
    T: Send + 'static,
    F: FnOnce() -> Step<T> + Send + 'static,
{
    let reading = tokio::task::spawn_blocking(read);
    match tokio::time::timeout(call.timeout.duration(), reading).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(Stop::failed("the reading ended early", error)),
        Err(_) => Err(Stop::Failed(format!("it took longer than {}", call.timeout))),
    }
}

/// Runs a change on a thread for blocking work and waits for its end, since half a change must not be called an end.
pub(super) async fn change<T, F>(act: F) -> Step<T>
where
    T: Send + 'static,
    F: FnOnce() -> Step<T> + Send + 'static,
{
    tokio::task::spawn_blocking(act)
        .await
        .unwrap_or_else(|error| Err(Stop::failed("the change ended early", error)))
}
