//! What every suite here needs: a host with its own state folder, and a way to do one verb and see what it wrote.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_core::clock::Clock;
use legator_core::digest::Digest;
use legator_core::ids::TaskId;
use legator_core::level::Level;
use legator_core::time::Timestamp;
use legator_core::verbs;
use legator_probe::cage::{Cage, Secrets, Stream};
use legator_probe::verbs::{Done, HostServices, Work, run};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

struct Fixed(AtomicU64);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed) as i64)
    }
}

/// A host of its own, with a folder for its state and one for files to work on.
pub struct Bench {
    pub host: HostServices,
    pub work_dir: PathBuf,
    clock: Arc<Fixed>,
    task: AtomicU64,
    _dir: tempfile::TempDir,
}

/// What a verb did and wrote.
pub struct Did {
    pub task: TaskId,
    pub done: Done,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Did {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn refusal(&self) -> &'static str {
        self.done.refusal.map_or("", |refusal| refusal.name())
    }
}

impl Bench {
    pub fn new() -> Self {
        Self::with_secrets(&[])
    }

    /// With more secrets, as paths relative to the work folder.
    pub fn with_secrets(secrets: &[&str]) -> Self {
        // Not in /tmp, which the cage hides.
        let dir = tempfile::Builder::new().prefix("legator-verbs").tempdir_in("/var/tmp").unwrap();
        let (state_dir, work_dir) = (dir.path().join("state"), dir.path().join("work"));
        std::fs::create_dir_all(&state_dir).unwrap();
        std::fs::create_dir_all(&work_dir).unwrap();
        let configured: Vec<PathBuf> = secrets.iter().map(|secret| work_dir.join(secret)).collect();
        let secrets = Arc::new(Secrets::new(&state_dir, &configured).unwrap());
        let clock = Arc::new(Fixed(AtomicU64::new(1_800_000_000_000)));
        let cage = Cage::with_helper(env!("CARGO_BIN_EXE_legator-probe"));
        let mut host = HostServices::new(cage, secrets, state_dir, clock.clone()).unwrap();
        host.settle = Duration::from_millis(700);
        Self { host, work_dir, clock, task: AtomicU64::new(1), _dir: dir }
    }

    pub fn path(&self, name: &str) -> String {
        self.work_dir.join(name).to_string_lossy().into_owned()
    }

    pub fn write(&self, name: &str, content: &[u8]) -> String {
        std::fs::write(self.work_dir.join(name), content).unwrap();
        self.path(name)
    }

    pub fn pass_days(&self, days: u64) {
        self.clock.0.fetch_add(days * 86_400_000, Ordering::Relaxed);
    }

    /// Does a verb at its lowest level.
    pub async fn run(&self, verb: &str, args: Value) -> Did {
        self.run_as(verb, args, None, None).await
    }

    /// Does a change of a file as the product does it: the state is read and shown first.
    pub async fn run_shown(&self, verb: &str, args: Value) -> Did {
        let call = verbs::parse(verb, &args, None).unwrap();
        let (look, look_args) = verbs::preparation(&call).unwrap();
        let before = self.run(look, look_args).await.done.before;
        let shown = before.as_ref().and_then(verbs::shown);
        self.run_as(verb, args, None, shown).await
    }

    pub async fn run_as(&self, verb: &str, args: Value, level: Option<Level>, shown: Option<Digest>) -> Did {
        let (_keep, cancel) = watch::channel(false);
        self.run_until((verb, args, level), shown, cancel).await
    }

    pub async fn run_until(
        &self,
        what: (&str, Value, Option<Level>),
        shown: Option<Digest>,
        cancel: watch::Receiver<bool>,
    ) -> Did {
        let (verb, args, level) = what;
        let call = verbs::parse(verb, &args, level).unwrap_or_else(|failure| panic!("{verb}: {failure}"));
        let task = TaskId::new(self.task.fetch_add(1, Ordering::Relaxed).into());
        let (send, mut chunks) = mpsc::channel::<legator_probe::cage::Chunk>(4);
        let keep = async {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            while let Some(chunk) = chunks.recv().await {
                let into = if chunk.stream == Stream::Stdout { &mut stdout } else { &mut stderr };
                assert_eq!(chunk.offset, into.len() as u64, "pieces follow each other");
                assert!(!chunk.bytes.is_empty() && chunk.bytes.len() <= 65_536);
                into.extend(chunk.bytes);
            }
            (stdout, stderr)
        };
        let secrets = verbs::Secrets::new();
        let work = Work { task, call: &call, secrets: &secrets, shown, host: &self.host };
        let (done, (stdout, stderr)) = tokio::join!(run(work, send, cancel), keep);
        Did { task, done, stdout, stderr }
    }
}
