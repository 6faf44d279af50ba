//! Word from who owns the data folder to the server that runs on it.
//!
//! Owns the socket `legator.sock` of a data folder: it takes one request, the first admin. Only the owner of the folder (0700) can
//! reach it. Invariant: what comes in is bounded in bytes and in time, and one request is answered at a time.

use crate::bootstrap;
use legator_store::Store;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

const REQUEST_BYTES_MAX: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    name: String,
    key: Option<String>,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Key(String),
    Refused(String),
}

fn path(dir: &Path) -> PathBuf {
    dir.join("legator.sock")
}

/// Answers until `stop`. A folder whose path is too long for a socket has none, and says so in the log.
pub async fn serve(dir: PathBuf, store: Store, stop: CancellationToken) {
    let listener = match listen(&path(&dir)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::info!(%error, "no socket in the data folder: `legator admin bootstrap` needs the server stopped");
            return;
        }
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Ok((stream, _)) = listener.accept() => {
                if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, answer(stream, &store)).await {
                    tracing::info!(%error, "a request from the data folder was broken");
                }
            }
        }
    }
    let _ = std::fs::remove_file(path(&dir));
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    // The folder's lock is ours, so a socket that is there is left over.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer(mut stream: UnixStream, store: &Store) -> io::Result<()> {
    let mut bytes = Vec::new();
    (&mut stream).take(REQUEST_BYTES_MAX).read_to_end(&mut bytes).await?;
    let ask: Ask = serde_json::from_slice(&bytes)?;
    let answer = match bootstrap::admin_of(store, ask.name, ask.key).await {
        Ok(key) => Answer::Key(key),
        Err(error) => Answer::Refused(error.to_string()),
    };
    stream.write_all(&serde_json::to_vec(&answer)?).await?;
    stream.shutdown().await
}

/// Asks the server that runs on this folder for its first admin; nothing when none answers.
///
/// # Errors
/// Its refusal, in its own words.
pub async fn ask(dir: &Path, name: &str, key: Option<&str>) -> Option<Result<String, String>> {
    let asked = async {
        let mut stream = UnixStream::connect(path(dir)).await.ok()?;
        let ask = Ask { name: name.to_owned(), key: key.map(str::to_owned) };
        stream.write_all(&serde_json::to_vec(&ask).ok()?).await.ok()?;
        stream.shutdown().await.ok()?;
        let mut bytes = Vec::new();
        stream.take(REQUEST_BYTES_MAX).read_to_end(&mut bytes).await.ok()?;
        match serde_json::from_slice(&bytes).ok()? {
            Answer::Key(key) => Some(Ok(key)),
            Answer::Refused(why) => Some(Err(why)),
        }
    };
    tokio::time::timeout(2 * PATIENCE, asked).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_first_admin_is_made_once_by_the_server_that_runs() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ask(dir.path(), "root", None).await.is_none(), "nobody runs here");
        let store = Store::open(legator_store::Options::memory([7; 32])).await.unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(dir.path().to_owned(), store, stop.clone()));
        let mode = || std::fs::metadata(path(dir.path())).map(|meta| meta.permissions().mode() & 0o777);
        while mode().ok() != Some(0o600) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Rubbish and silence are answered by nothing, and stop nobody.
        let mut stream = UnixStream::connect(path(dir.path())).await.unwrap();
        stream.write_all(b"{\"name\":1}").await.unwrap();
        drop(stream);
        let key = ask(dir.path(), "root", None).await.unwrap().unwrap();
        assert!(key.starts_with("lk_"));
        let again = ask(dir.path(), "root", None).await.unwrap().unwrap_err();
        assert!(again.contains("there is an admin already"), "{again}");
        stop.cancel();
        serving.await.unwrap();
        assert!(!path(dir.path()).exists());
    }
}
