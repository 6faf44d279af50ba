//! A server with authentication, a key of every kind, a host, a plan and a chat; and a second tenant with its own.
//!
//! Owns the set-up. Everything is made through the API, but the first admin, whom `legator admin bootstrap` makes.

use legator::bootstrap::first_admin;
use legator::config::{Layers, Settings, resolve};
use legator::up::{self, Running};
use legator_testkit::sim::SimProbe;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// A caller of some kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Nobody,
    Viewer,
    Operator,
    Approver,
    Admin,
    Auditor,
    Expired,
    Revoked,
}

impl Who {
    pub const ALL: [Self; 8] = [
        Self::Nobody,
        Self::Viewer,
        Self::Operator,
        Self::Approver,
        Self::Admin,
        Self::Auditor,
        Self::Expired,
        Self::Revoked,
    ];
}

/// What one tenant has.
#[derive(Debug, Clone)]
pub struct Own {
    pub admin: String,
    pub host: String,
    pub plan: String,
    pub digest: String,
    pub task: String,
    pub chat: String,
    pub token: String,
    pub person: String,
    pub key: String,
    pub freeze: String,
    pub cursor: String,
}

pub struct World {
    pub running: Running,
    pub at: SocketAddr,
    pub client: reqwest::Client,
    pub keys: BTreeMap<Who, String>,
    pub own: Own,
    pub other: Own,
    pub registration: String,
    probes: Vec<SimProbe>,
    _dir: TempDir,
}

/// Settings of a server on port 0 with its data in `dir`.
pub fn settings(dir: &Path, auth: &str) -> Settings {
    let env = [
        ("LEGATOR_DATA_DIR", dir.to_str().unwrap().to_owned()),
        ("LEGATOR_LISTEN", "127.0.0.1:0".to_owned()),
        ("LEGATOR_AUTH", auth.to_owned()),
    ];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    resolve(&Layers { env, ..Layers::default() }).unwrap()
}

pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(60)).pool_max_idle_per_host(0).build().unwrap()
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let admin = first_admin(settings(dir.path(), "true"), "ada".into(), None).await.unwrap();
        let running = up::start(settings(dir.path(), "true")).await.unwrap();
        let at = running.addresses()[0];
        let client = client();
        let caller = Caller { client: client.clone(), at, key: admin.clone() };
        caller.ready().await;
        let mut keys = BTreeMap::from([(Who::Nobody, String::new()), (Who::Admin, admin.clone())]);
        for (who, role) in [
            (Who::Viewer, "viewer"),
            (Who::Operator, "operator"),
            (Who::Approver, "approver"),
            (Who::Auditor, "auditor"),
        ] {
            keys.insert(who, caller.person(role).await.1);
        }
        keys.insert(Who::Expired, caller.expired().await);
        keys.insert(Who::Revoked, caller.revoked().await);
        let mut probes = Vec::new();
        let operator = Caller { key: keys[&Who::Operator].clone(), ..caller.clone() };
        let (own, probe) = caller.furnish(&operator, "web-03").await;
        probes.push(probe);
        let tenant = caller.post("/api/v1/tenants", json!({"name": "other"})).await;
        let theirs = Caller { key: tenant["key"].as_str().unwrap().to_owned(), ..caller.clone() };
        let (other, probe) = theirs.furnish(&theirs, "web-03").await;
        probes.push(probe);
        let registration =
            caller.post("/api/v1/tokens", json!({})).await["token"].as_str().unwrap().to_owned();
        Self { running, at, client, keys, own, other, registration, probes, _dir: dir }
    }

    pub fn caller(&self, who: Who) -> Caller {
        Caller { client: self.client.clone(), at: self.at, key: self.keys[&who].clone() }
    }

    pub async fn end(self) {
        drop(self.probes);
        self.running.shutdown().await;
    }
}

/// Somebody with a key.
#[derive(Debug, Clone)]
pub struct Caller {
    pub client: reqwest::Client,
    pub at: SocketAddr,
    pub key: String,
}

impl Caller {
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method.parse().unwrap(), format!("http://{}{path}", self.at));
        if self.key.is_empty() { request } else { request.bearer_auth(&self.key) }
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", path, Some(body)).await;
        assert!((200..300).contains(&status), "POST {path}: {status} {answer}");
        answer
    }

    /// Makes a token and waits for its event's number: everything that was done before has a lower one, since the log is written in
    /// the order of acts, and a moment after them.
    pub async fn fence(&self) -> u64 {
        let token = self.post("/api/v1/tokens", json!({})).await;
        let mut number = None;
        until("the fence has its number", async || {
            let page = self.get("/api/v1/events?kind=token.made&limit=500").await;
            let items = page["items"].as_array().unwrap();
            number = items
                .iter()
                .find(|event| event["data"]["token"] == token["id"])
                .map(|event| event["number"].as_u64());
            number.is_some()
        })
        .await;
        number.flatten().unwrap()
    }

    /// The events between two fences that a person caused, and the kinds of all others.
    pub async fn caused(&self, after: u64, before: u64) -> (Vec<Value>, Vec<String>) {
        let (mut caused, mut others, mut last) = (Vec::new(), Vec::new(), after);
        loop {
            let page = self.get(&format!("/api/v1/events?limit=500&after={last}")).await;
            let items = page["items"].as_array().unwrap().clone();
            for event in items.iter().filter(|event| event["number"].as_u64().unwrap() < before) {
                match event["actor"]["kind"] == "person" {
                    true => caused.push(event.clone()),
                    false => others.push(event["kind"].as_str().unwrap().to_owned()),
                }
            }
            match items.last() {
                Some(newest) => last = newest["number"].as_u64().unwrap(),
                None => return (caused, others),
            }
        }
    }

    async fn ready(&self) {
        until("the server is ready", async || self.call("GET", "/readyz", None).await.0 == 200).await;
    }

    /// A person of a role: the person's id and the text of a key.
    pub async fn person(&self, role: &str) -> (String, String) {
        let person = self.post("/api/v1/persons", json!({"name": role, "roles": [role]})).await;
        let id = person["id"].as_str().unwrap().to_owned();
        let key = self.post("/api/v1/keys", json!({"person": id})).await;
        (id, key["key"].as_str().unwrap().to_owned())
    }

    async fn expired(&self) -> String {
        let (id, _) = self.person("admin").await;
        let made = self.post("/api/v1/keys", json!({"person": id, "expires_in": "1s"})).await;
        let key = made["key"].as_str().unwrap().to_owned();
        let holder = Self { key: key.clone(), ..self.clone() };
        until("the key has expired", async || holder.call("GET", "/api/v1/me", None).await.0 == 401).await;
        key
    }

    async fn revoked(&self) -> String {
        let (id, _) = self.person("admin").await;
        let made = self.post("/api/v1/keys", json!({"person": id})).await;
        let (status, _) =
            self.call("DELETE", &format!("/api/v1/keys/{}", made["id"].as_str().unwrap()), None).await;
        assert_eq!(status, 204);
        made["key"].as_str().unwrap().to_owned()
    }

    /// A host, a plan that waits, a chat and the rest, in this admin's tenant; the plan is asked by `operator`.
    async fn furnish(&self, operator: &Self, name: &str) -> (Own, SimProbe) {
        let token = self.post("/api/v1/tokens", json!({"uses": 5, "expires_in": "1h"})).await;
        let url = format!("http://{}", self.at);
        let probe = SimProbe::enrol(&url, token["token"].as_str().unwrap(), name).await.unwrap();
        let host = probe.host().to_string();
        let ask = json!({"verb": "service.restart", "args": {"name": "nginx"}, "selector": format!("id={host}"), "expires_in": "1h"});
        let plan = operator.post("/api/v1/plans", ask).await;
        assert_eq!(plan["state"], "pending", "{plan}");
        let chat = operator.post("/api/v1/chats", json!({"host": host})).await;
        let (person, _) = self.person("viewer").await;
        let key = self.post("/api/v1/keys", json!({"person": person})).await;
        let until = "2099-01-01T00:00:00Z";
        let until = self
            .call(
                "POST",
                "/api/v1/freezes",
                Some(json!({"selector": "name=none", "until": until, "reason": "x"})),
            )
            .await;
        let freeze = match until {
            (201, freeze) => freeze["id"].as_str().unwrap().to_owned(),
            _ => self.freeze().await,
        };
        let page = self.get("/api/v1/persons?limit=1").await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let own = Own {
            admin: self.key.clone(),
            plan: text(&plan["id"]),
            digest: text(&plan["digest"]),
            task: text(&plan["tasks"][0]["id"]),
            chat: text(&chat["id"]),
            token: text(&token["id"]),
            key: text(&key["id"]),
            cursor: text(&page["next"]),
            host,
            person,
            freeze,
        };
        (own, probe)
    }

    async fn freeze(&self) -> String {
        let until = (jiff::Timestamp::now() + Duration::from_secs(3600)).to_string();
        let freeze = self
            .post("/api/v1/freezes", json!({"selector": "name=none", "until": until, "reason": "x"}))
            .await;
        freeze["id"].as_str().unwrap().to_owned()
    }
}

/// Waits for a condition, a minute at most.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
