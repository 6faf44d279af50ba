//! A real `legator-probe` process with a state folder and a configuration of its own.
//!
//! Owns the process: it is killed when the value is dropped.

use super::edge::{INSTALLATION, Server, Session, authority, now};
use super::scene::Scene;
use legator_core::ids::TaskId;
use legator_core::level::Level;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_legator-probe");

/// A host.
pub struct Host {
    pub folder: tempfile::TempDir,
    pub server: Server,
    process: Option<Child>,
}

/// Ids that no test used before.
pub fn fresh_task() -> TaskId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    TaskId::new(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 64)
}

impl Host {
    /// A host whose own file allows everything, not started.
    pub async fn new() -> Self {
        let host =
            Self { folder: tempfile::tempdir().unwrap(), server: Server::start().await, process: None };
        host.configure("max_level = \"remediate\"\n");
        host
    }

    /// Started and connected.
    pub async fn connected() -> (Self, Session) {
        let mut host = Self::new().await;
        let session = host.start().await;
        (host, session)
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the host's own file, as a whole.
    pub fn configure(&self, text: &str) {
        fs::write(self.path("new.toml"), text).unwrap();
        fs::rename(self.path("new.toml"), self.path("probe.toml")).unwrap();
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        command
            .env_clear()
            .env("LEGATOR_LOG", "debug,hyper=info")
            .stdout(Stdio::null())
            .stderr(log)
            .args(["run", "--config"]);
        command.arg(self.path("probe.toml")).arg("--state-dir").arg(self.state());
        command.args(["--server", &self.server.address, "--token", &self.server.token()]);
        command
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub async fn start(&mut self) -> Session {
        assert!(self.process.is_none());
        self.process = Some(self.command().spawn().unwrap());
        self.server.session().await
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// `kill -9`, waited for.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub async fn restart(&mut self) -> Session {
        self.kill();
        self.start().await
    }

    /// A good grant for this host.
    pub fn grant(&self) -> Scene {
        self.server.grant()
    }

    /// A grant of this verb.
    pub fn grant_of(&self, verb: &str, args: Value, level: Level) -> Scene {
        self.server.grant_of(verb, args, level)
    }
}

impl Server {
    /// A good grant for the host that enrolled here.
    pub fn grant(&self) -> Scene {
        let authority = authority();
        Scene::good((&authority, INSTALLATION, self.host(), self.key()), now(), fresh_task())
    }

    /// A grant of this verb.
    pub fn grant_of(&self, verb: &str, args: Value, level: Level) -> Scene {
        let mut scene = self.grant();
        let call = legator_core::verbs::parse(verb, &args, Some(level)).unwrap();
        scene.body.verb = verb.to_owned();
        scene.body.args = legator_core::verbs::normal_args(&call);
        scene.body.level = level;
        scene.body.effects = call.effects;
        scene
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            eprintln!("the probe's last words:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}
