//! A server with a scripted model, a probe on this machine, and streams that are followed.
//!
//! Owns the set-up and what the model plays.

use legator_testkit::model::{Model, Play};
use legator_testkit::process::{Probe, Process, Server, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The name of the host.
pub const HOST: &str = "web-03";

pub struct Stage {
    // What it plays answers over HTTP as long as it lives.
    _model: Model,
    pub server: Server,
    pub dir: TempDir,
    probe: Option<Probe>,
    // The model lives in it: dropped last.
    _runtime: Runtime,
}

impl Stage {
    /// A server that asks a model with this mind.
    pub fn new(mind: impl FnMut(&Value) -> Play + Send + 'static, more: &[(&str, &str)]) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let model = runtime.block_on(Model::start(mind)).unwrap();
        let settings = model.settings();
        let names = ["LEGATOR_LLM_PROVIDER", "LEGATOR_LLM_URL", "LEGATOR_LLM_MODEL"];
        let mut environment: Vec<(&str, String)> = names.map(|name| (name, settings(name).unwrap())).to_vec();
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_with(dir.path(), &environment);
        Self { _model: model, server, dir, probe: None, _runtime: runtime }
    }

    /// The same with a probe that is online.
    pub fn with_host(mind: impl FnMut(&Value) -> Play + Send + 'static) -> Self {
        let mut stage = Self::new(mind, &[]);
        stage.join();
        stage
    }

    /// Starts the probe and waits until it is seen.
    pub fn join(&mut self) {
        self.probe = Some(Probe::start(&self.server, self.dir.path(), HOST));
        self.server.online(HOST);
    }

    /// The chat about the host, or about the fleet.
    pub fn chat(&self, host: Option<&str>) -> String {
        let chat = self.server.post("/api/v1/chats", &host.map_or(json!({}), |host| json!({"host": host})));
        chat["id"].as_str().unwrap().to_owned()
    }

    pub fn ask(&self, chat: &str, text: &str) -> String {
        let turn = self.server.post(&format!("/api/v1/chats/{chat}/turns"), &json!({"text": text}));
        turn["id"].as_str().unwrap().to_owned()
    }

    pub fn follow(&self, chat: &str, last: Option<u64>, key: Option<&str>) -> Follow {
        Follow::new(&self.server.url, self.dir.path(), chat, (last, key))
    }
}

/// One event of a stream.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: Option<u64>,
    pub kind: String,
    pub data: Value,
}

/// A stream that is followed by a process of its own.
pub struct Follow {
    file: PathBuf,
    _process: Process,
}

impl Follow {
    pub fn new(url: &str, dir: &Path, chat: &str, (last, key): (Option<u64>, Option<&str>)) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let file = dir.join(format!("stream-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let mut curl = Command::new("curl");
        curl.args(["-sN", "--max-time", "120", &format!("{url}/api/v1/chats/{chat}/stream")]);
        if let Some(last) = last {
            curl.args(["-H", &format!("Last-Event-ID: {last}")]);
        }
        if let Some(key) = key {
            curl.args(["-H", &format!("authorization: Bearer {key}")]);
        }
        let process = Process::start(&mut curl, &file);
        Self { file, _process: process }
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
        whole.split("\n\n").filter_map(event).collect()
    }

    /// Events that stand in the chat: those with a number.
    pub fn steps(&self) -> Vec<Event> {
        self.events().into_iter().filter(|event| event.id.is_some()).collect()
    }

    /// Waits for an event.
    pub fn wait(&self, what: &str, is: impl Fn(&Event) -> bool) -> Event {
        until(&format!("{what}, so far {:?}", self.file), || {
            self.events().into_iter().find(|event| is(event))
        })
    }

    /// Waits for the end of a turn.
    pub fn ended(&self, turn: &str) -> Event {
        self.wait("the turn's end", |event| {
            event.data["turn"] == turn && (event.kind == "answer" || event.kind == "error")
        })
    }

    /// Waits until a plan of a turn waits for its approval: the plan's id and digest, as the event tells them.
    pub fn asked(&self, turn: &str) -> (String, String) {
        let event = self.wait("an approval that is asked", |event| {
            event.kind == "approval" && event.data["turn"] == turn && event.data["state"] == "pending"
        });
        let word = |name: &str| event.data[name].as_str().unwrap().to_owned();
        (word("plan"), word("digest"))
    }
}

fn event(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(Event {
        id: field("id:").and_then(|id| id.parse().ok()),
        kind: field("event:")?.to_owned(),
        data: serde_json::from_str(field("data:")?).ok()?,
    })
}

/// Numbers of steps without gaps and without repeats, from this one on.
pub fn in_order(steps: &[Event], first: u64) {
    let numbers: Vec<u64> = steps.iter().filter_map(|step| step.id).collect();
    assert!(numbers.iter().copied().eq(first..first + numbers.len() as u64), "{numbers:?}");
}

/// How often the model was asked since the last question.
pub fn round(asked: &Value) -> usize {
    let messages = asked["messages"].as_array().unwrap();
    let question = messages.iter().rposition(|message| message["role"] == "user").unwrap();
    messages[question..].iter().filter(|message| message["role"] == "assistant").count()
}

/// The last question.
pub fn question(asked: &Value) -> String {
    let messages = asked["messages"].as_array().unwrap();
    let last = messages.iter().rev().find(|message| message["role"] == "user").unwrap();
    last["content"].as_str().unwrap().to_owned()
}

/// Looks at nginx, proposes its restart, and answers with the outcome that it was told.
pub fn restarts(asked: &Value) -> Play {
    match round(asked) {
        0 => Play::Calls("I look first.".into(), vec![("service_status".into(), json!({"name": "nginx"}))]),
        1 => Play::call("service_restart", json!({"name": "nginx"})),
        _ => {
            let all = asked["messages"].to_string();
            let outcome = all.rsplit("outcome [").next().unwrap();
            let id = outcome.split(']').next().unwrap();
            let pids = outcome
                .split("main_pid ")
                .nth(1)
                .and_then(|rest| rest.split(['.', ';']).next())
                .unwrap_or("?");
            Play::Text(format!(
                "nginx was restarted, its main process went {pids} [{id}], and all is well [e99]."
            ))
        }
    }
}
