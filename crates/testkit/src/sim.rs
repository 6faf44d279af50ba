//! A simulated probe: a real WebSocket client with a real key, that can lie, stall, repeat, reorder and vanish.
//!
//! Owns enrolment over HTTP, the handshake and honest answers; every step can be left out or made wrong by the test.

mod honest;
mod wire;

pub use honest::{Honest, receipt_for};
pub use wire::Wire;

use legator_core::cage::{CageReport, CageState};
use legator_core::health::Metrics;
use legator_core::ids::{HostId, InstanceId, TaskId};
use legator_core::level::Level;
use legator_core::time::Timestamp;
use legator_wire::credential::{Admission, Enrolment, Renewal};
use legator_wire::dsse::Envelope;
use legator_wire::frame::{Down, Up};
use legator_wire::hello::Hello;
use legator_wire::keys::{ProbeKey, Signer as _};
use std::collections::BTreeMap;

/// What an HTTP call answered instead of an admission.
#[derive(Debug)]
pub struct NotJoined {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// An enrolled simulated machine.
#[derive(Debug, Clone)]
pub struct SimProbe {
    /// Such as `http://127.0.0.1:4711`.
    pub server: String,
    /// Its key.
    pub key: ProbeKey,
    /// What enrolment answered.
    pub admission: Admission,
    /// The run of its process.
    pub instance: InstanceId,
    /// What it calls itself.
    pub hostname: String,
    /// The version of the limits that it says it keeps.
    pub limits_version: u64,
    /// Tasks that it says run.
    pub running: Vec<TaskId>,
}

/// Now, by the machine's clock.
pub fn now() -> Timestamp {
    use legator_core::clock::Clock as _;
    legator_store::system::SystemClock.now()
}

/// A fresh key.
pub fn fresh_key() -> ProbeKey {
    ProbeKey::from_secret(&rand::random())
}

/// A fresh run of a process.
pub fn fresh_instance() -> InstanceId {
    InstanceId::new(rand::random())
}

/// What a machine with this key sends to join.
pub fn enrolment(key: &ProbeKey, token: &str, hostname: &str) -> Enrolment {
    Enrolment {
        token: token.to_owned(),
        key: key.public(),
        name: None,
        hostname: hostname.to_owned(),
        labels: BTreeMap::new(),
        made_at: now(),
    }
}

async fn joined(url: String, envelope: &Envelope) -> Result<Admission, NotJoined> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.post(url).json(envelope).send().await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.text().await.unwrap();
    if (200..300).contains(&status) {
        Ok(serde_json::from_str(&body).unwrap())
    } else {
        Err(NotJoined { status, body })
    }
}

impl SimProbe {
    /// Joins with a fresh key.
    pub async fn enrol(server: &str, token: &str, hostname: &str) -> Result<Self, NotJoined> {
        let key = fresh_key();
        let enrolment = enrolment(&key, token, hostname);
        Self::enrol_as(server, key, &enrolment).await
    }

    /// Joins with this key and these words.
    pub async fn enrol_as(server: &str, key: ProbeKey, enrolment: &Enrolment) -> Result<Self, NotJoined> {
        let envelope = Envelope::seal(enrolment, &key);
        let admission = joined(format!("{server}/api/v1/enrol"), &envelope).await?;
        Ok(Self {
            server: server.to_owned(),
            key,
            admission,
            instance: fresh_instance(),
            hostname: enrolment.hostname.clone(),
            limits_version: 0,
            running: Vec::new(),
        })
    }

    /// Asks for a fresh credential.
    pub async fn renew(&mut self) -> Result<(), NotJoined> {
        let renewal =
            Renewal { installation: self.admission.installation.clone(), host: self.host(), made_at: now() };
        let envelope = Envelope::seal(&renewal, &self.key);
        self.admission = joined(format!("{}/api/v1/renew", self.server), &envelope).await?;
        Ok(())
    }

    /// Its id.
    pub fn host(&self) -> HostId {
        self.admission.host
    }

    /// The hello that answers a challenge honestly.
    pub fn hello(&self, edge: InstanceId, nonce: &str) -> Hello {
        Hello {
            installation: self.admission.installation.clone(),
            host: self.host(),
            edge,
            nonce: nonce.to_owned(),
            instance: self.instance,
            hostname: self.hostname.clone(),
            version: "0.1.0-sim".to_owned(),
            cage: CageReport { state: CageState::Full, missing: vec![] },
            max_level: Level::Remediate,
            limits_version: self.limits_version,
            running: self.running.clone(),
            made_at: now(),
        }
    }

    /// Connects and reads the challenge: edge and nonce.
    pub async fn dial(&self) -> (Wire, InstanceId, String) {
        let mut wire = Wire::open(&self.server).await.expect("the edge takes connections");
        match wire.next().await {
            Some(Down::Challenge { edge, nonce }) => (wire, edge, nonce),
            other => panic!("a challenge belongs first, not {other:?}"),
        }
    }

    /// Connects and says this hello, signed by its key; gives what came back.
    pub async fn say_hello(&self, change: impl FnOnce(&mut Hello)) -> (Wire, Option<Down>) {
        let (mut wire, edge, nonce) = self.dial().await;
        let mut hello = self.hello(edge, &nonce);
        change(&mut hello);
        let envelope = Envelope::seal(&hello, &self.key);
        wire.send(&Up::Hello { credential: self.admission.credential.clone(), envelope }).await;
        let answer = wire.next().await;
        (wire, answer)
    }

    /// Connects as an honest probe does; the epoch of its session.
    pub async fn connect(&self) -> (Wire, u64) {
        let (wire, answer) = self.say_hello(|_| {}).await;
        match answer {
            Some(Down::Welcome { epoch, .. }) => (wire, epoch),
            other => panic!("a welcome belongs here, not {other:?}"),
        }
    }
}

/// Figures of a host that is well.
pub fn figures() -> Metrics {
    Metrics {
        cpus: 2,
        memory_total: 4 << 30,
        memory_available: 2 << 30,
        uptime_s: 1000,
        ..Metrics::default()
    }
}
