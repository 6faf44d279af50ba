//! Programs that a typed change starts: the service manager, the package manager.
//!
//! Owns their environment and their end. Never passes on a variable or a descriptor of the probe, never a shell.
//! Invariant: on a timeout or cancel the whole process group is killed; on a normal end what it started lives on (a service).

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::told::{Told, cancelled};
use super::{Step, Stop};
use crate::cage::Stream;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long output is awaited after the program's end: a service that it started may hold the pipes open for ever.
const DRAIN: Duration = Duration::from_millis(300);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// Killed: its time was over.
    TimedOut,
    /// Killed: cancelled.
    Cancelled,
}

impl End {
    pub(super) fn success(self) -> bool {
        matches!(self, Self::Exited(status) if status.success())
    }

    pub(super) fn code(self) -> Option<i32> {
        match self {
            Self::Exited(status) => status.code(),
            Self::TimedOut | Self::Cancelled => None,
        }
    }

    /// A sentence for an end that is not success.
    pub(super) fn fault(self, program: &str) -> Option<String> {
        match self {
            Self::Exited(status) if status.success() => None,
            Self::Exited(status) => Some(format!("{program} ended with {status}")),
            Self::TimedOut => Some(format!("{program} took too long and was killed with its process group")),
            Self::Cancelled => Some(format!("{program} was cancelled and killed with its process group")),
        }
    }
}

fn start(argv: &[String]) -> Step<Child> {
    let Some((program, args)) = argv.split_first() else {
        return Err(Stop::Failed("nothing to start".into()));
    };
    Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .env("LC_ALL", "C.UTF-8")
        .env("TERM", "dumb")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("NEEDRESTART_MODE", "l")
        .env("SYSTEMD_PAGER", "cat")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Stop::failed(&format!("starting {program}"), error))
}

async fn pump(
    reader: Option<impl AsyncRead + Unpin>,
    stream: Stream,
    pieces: mpsc::Sender<(Stream, Vec<u8>)>,
) {
    let Some(mut reader) = reader else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = reader.read(&mut buffer).await {
        let piece = buffer.get(..read).unwrap_or_default().to_vec();
        if pieces.send((stream, piece)).await.is_err() {
            return;
        }
    }
}

fn kill_group(pid: Option<u32>) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(group) = pid {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// Kills the group when the future that runs it is dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        kill_group(self.0.take());
    }
}

/// Runs a program to its end and passes on what it writes.
pub(super) async fn run(
    argv: &[String],
    timeout: Duration,
    told: &mut Told,
    mut cancel: watch::Receiver<bool>,
) -> Step<End> {
    let mut child = start(argv)?;
    let mut group = Group(child.id());
    let (sender, mut pieces) = mpsc::channel(16);
    let out = tokio::spawn(pump(child.stdout.take(), Stream::Stdout, sender.clone()));
    let err = tokio::spawn(pump(child.stderr.take(), Stream::Stderr, sender));
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    let end = loop {
        tokio::select! {
            biased;
            () = cancelled(&mut cancel) => break End::Cancelled,
            () = &mut deadline => break End::TimedOut,
            status = child.wait() => break End::Exited(status.map_err(|error| Stop::failed("waiting", error))?),
            Some((stream, piece)) = pieces.recv() => told.write(stream, &piece).await,
        }
    };
    match end {
        // What it started (a service) lives on.
        End::Exited(_) => group.0 = None,
        End::TimedOut | End::Cancelled => {
            drop(group);
            let _ = child.wait().await;
        }
    }
    while let Ok(Some((stream, piece))) = tokio::time::timeout(DRAIN, pieces.recv()).await {
        told.write(stream, &piece).await;
    }
    out.abort();
    err.abort();
    Ok(end)
}

/// The program at the first of these paths that is there.
pub(super) fn first_of(paths: &[&str]) -> Option<String> {
    paths.iter().find(|path| std::path::Path::new(path).is_file()).map(|path| (*path).to_owned())
}
