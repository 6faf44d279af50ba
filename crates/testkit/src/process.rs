//! Real processes: `legator up`, `legator-probe run`, `legatorctl`, each in a folder of its own on a port of its own.
//!
//! Owns what it starts and ends it by process id on drop. Never waits without a deadline.

use serde_json::Value;
use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A binary of this workspace; it has to be built already.
pub fn binary(name: &str) -> PathBuf {
    let mut dir = std::env::current_exe().expect("the test has a path");
    while dir.pop() {
        let path = dir.join(name);
        if path.is_file() {
            return path;
        }
    }
    panic!("{name} is not built: run `cargo build --workspace --bins` first");
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// Waits until `done` gives something; panics with `what` when it does not in time.
pub fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "gave up after {PATIENCE:?} waiting for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with its owner.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with its output in `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        let errors = file.try_clone().expect("a second handle");
        let child =
            command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn().expect("the program starts");
        Self { child, log: log.to_owned() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by its name, such as TERM.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Its exit code, once it has ended.
    pub fn wait(&mut self) -> Option<i32> {
        let child = &mut self.child;
        until("a process to end", || child.try_wait().ok().flatten()).code()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server in a folder of its own.
pub struct Server {
    /// The process.
    pub process: Process,
    /// Its address, such as http://127.0.0.1:4000.
    pub url: String,
    /// Its data folder.
    pub data: PathBuf,
    port: u16,
    environment: Vec<(String, String)>,
    key: Option<String>,
}

impl Server {
    /// Starts one without authentication, its data below `dir`.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// Starts one with these variables of the environment.
    pub fn start_with(dir: &Path, environment: &[(&str, &str)]) -> Self {
        let data = dir.join("server");
        std::fs::create_dir_all(&data).expect("a data folder");
        let port = free_port();
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let process = Self::spawn(&data, port, &environment);
        let server =
            Self { process, url: format!("http://127.0.0.1:{port}"), data, port, environment, key: None };
        server.ready();
        server
    }

    fn spawn(data: &Path, port: u16, environment: &[(String, String)]) -> Process {
        let mut command = Command::new(binary("legator"));
        command.arg("up").arg("--data-dir").arg(data).arg("--listen").arg(format!("127.0.0.1:{port}"));
        command.envs(environment.iter().cloned());
        Process::start(&mut command, &data.join("legator.log"))
    }

    fn ready(&self) {
        let log = || self.process.log();
        let begun = Instant::now();
        while curl(&["-sf", &format!("{}/readyz", self.url)]).is_none() {
            assert!(begun.elapsed() < PATIENCE, "the server is not ready: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it with `kill -9` and starts it anew on the same port and data.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = Self::spawn(&self.data, self.port, &self.environment);
        self.ready();
    }

    /// Uses this API key from now on.
    pub fn sign_in(&mut self, key: &str) {
        self.key = Some(key.to_owned());
    }

    /// A request; its status and its JSON.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.url);
        let mut args =
            vec!["-s".to_owned(), "-X".into(), method.into(), "-w".into(), "\n%{http_code}".into(), url];
        if let Some(key) = &self.key {
            args.extend(["-H".to_owned(), format!("authorization: Bearer {key}")]);
        }
        if let Some(body) = body {
            args.extend([
                "-H".to_owned(),
                "content-type: application/json".into(),
                "--data-binary".into(),
                "@-".into(),
            ]);
            return answer(curl_with(&args, body.to_string().as_bytes()));
        }
        answer(curl_with(&args, b""))
    }

    /// A GET that has to succeed.
    pub fn get(&self, path: &str) -> Value {
        let (status, value) = self.call("GET", path, None);
        assert_eq!(status / 100, 2, "GET {path}: {value}");
        value
    }

    /// A POST that has to succeed.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let (status, value) = self.call("POST", path, Some(body));
        assert_eq!(status / 100, 2, "POST {path}: {value}");
        value
    }

    /// A registration token.
    pub fn token(&self) -> String {
        let (status, value) = self.call("POST", "/api/v1/tokens", None);
        assert_eq!(status / 100, 2, "POST /api/v1/tokens: {value}");
        value["token"].as_str().expect("a token").to_owned()
    }

    /// The host of this name, once it is online.
    pub fn online(&self, name: &str) -> Value {
        until(&format!("{name} to be online"), || {
            let (_, hosts) = self.call("GET", "/api/v1/hosts", None);
            let items = hosts["items"].as_array()?.clone();
            items.into_iter().find(|host| host["name"] == name && host["status"] == "online")
        })
    }

    /// The plan, once it is final.
    pub fn ended(&self, plan: &str) -> Value {
        until(&format!("plan {plan} to end"), || {
            let (status, plan) = self.call("GET", &format!("/api/v1/plans/{plan}"), None);
            let waits = ["preparing", "pending", "approved", "running"];
            (status == 200 && !waits.contains(&plan["state"].as_str()?)).then_some(plan)
        })
    }
}

fn answer(output: Option<Vec<u8>>) -> (u16, Value) {
    let text = output.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
    (status.trim().parse().unwrap_or(0), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn curl(args: &[&str]) -> Option<Vec<u8>> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    curl_with(&args, b"")
}

fn curl_with(args: &[String], body: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::new("curl");
    command
        .args(args)
        .args(["--max-time", "60"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("curl is installed");
    // A request without a body does not read it: a broken pipe is no fault here.
    let _ = child.stdin.take().expect("a pipe").write_all(body);
    let output = child.wait_with_output().expect("curl ends");
    output.status.success().then_some(output.stdout)
}

/// A probe in a folder of its own.
pub struct Probe {
    /// The process.
    pub process: Process,
    /// Its state folder.
    pub state: PathBuf,
    server: String,
    name: String,
}

impl Probe {
    /// Enrols one under this name and starts it.
    pub fn start(server: &Server, dir: &Path, name: &str) -> Self {
        Self::start_by(server, &server.url, dir, name)
    }

    /// The same, by way of this address.
    pub fn start_by(server: &Server, url: &str, dir: &Path, name: &str) -> Self {
        let state = dir.join(format!("probe-{name}"));
        std::fs::create_dir_all(&state).expect("a state folder");
        let process = Self::spawn(url, &state, name, Some(&server.token()));
        Self { process, state, server: url.to_owned(), name: name.to_owned() }
    }

    fn spawn(server: &str, state: &Path, name: &str, token: Option<&str>) -> Process {
        let mut command = Command::new(binary("legator-probe"));
        command.args(["run", "--server", server, "--name", name, "--state-dir"]).arg(state);
        if let Some(token) = token {
            command.args(["--token", token]);
        }
        Process::start(&mut command, &state.join("probe.log"))
    }

    /// Ends it with `kill -9` and starts it anew: it needs no token.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = Self::spawn(&self.server, &self.state, &self.name, None);
    }
}

/// Runs `legatorctl` against a server, its settings in `dir`.
pub fn ctl(server: &Server, dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(binary("legatorctl"));
    command
        .args(args)
        .env("LEGATOR_SERVER", &server.url)
        .env("LEGATOR_CONFIG_DIR", dir.join("ctl"))
        .stdin(Stdio::null());
    if let Some(key) = &server.key {
        command.env("LEGATOR_KEY", key);
    }
    command.output().expect("legatorctl starts")
}
