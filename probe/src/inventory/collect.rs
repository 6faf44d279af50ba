//! All parts of an inventory, each collected on its own: one that cannot be read leaves the others.
//!
//! Owns the list of parts and what is asked of the verbs. Never changes anything on the host.

use legator_core::ids::{Ids as _, TaskId};
use legator_core::inventory::Updates;
use legator_core::verbs;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

use super::{Parts, net, people, place, software, system};
use crate::probe::Probe;
use crate::system::SystemIds;
use crate::verbs::{HostServices, Work, run};

/// What takes long to find out, and is kept in between.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slow {
    /// What is not installed yet.
    pub updates: Updates,
    /// What the cloud's metadata service says.
    pub cloud: Option<legator_core::inventory::Cloud>,
}

/// Looks at what takes long.
pub(super) async fn slow(probe: &Probe) -> Slow {
    let updates = match host(probe) {
        Some(host) => software::pending(&host).await,
        None => Updates::default(),
    };
    Slow { updates, cloud: place::cloud().await }
}

fn host(probe: &Probe) -> Option<Arc<HostServices>> {
    probe.services(&probe.source.now().ok()?).ok()
}

/// All parts, as they are now.
pub async fn collect(probe: &Probe, slow: &Slow) -> Parts {
    let mut parts = Parts::new();
    let offset = probe.session().map(|_| probe.ahead_ms());
    let (updates, cloud) = (slow.updates.clone(), slow.cloud.clone());
    let read = tokio::task::spawn_blocking(move || of_files(offset, updates));
    if let Ok(read) = read.await {
        parts.extend(read);
    }
    put(&mut parts, "cloud", &cloud.unwrap_or_else(place::cloud_of_firmware));
    put(&mut parts, "services", &software::services(host(probe).as_deref()).await);
    if let Some(host) = host(probe) {
        of_verbs(&mut parts, &host).await;
    }
    parts
}

fn put(parts: &mut Parts, name: &str, part: &impl Serialize) {
    parts.insert(name.to_owned(), json!(part));
}

fn of_files(offset: Option<i64>, updates: Updates) -> Parts {
    let mut parts = Parts::new();
    put(&mut parts, "os", &system::os());
    put(&mut parts, "cpu", &system::cpu());
    put(&mut parts, "memory", &system::memory());
    put(&mut parts, "disks", &system::disks());
    put(&mut parts, "sockets", &net::sockets());
    put(&mut parts, "users", &people::users());
    put(&mut parts, "sudo", &people::sudo_rules());
    put(&mut parts, "ssh", &people::ssh());
    put(&mut parts, "schedules", &people::schedules());
    put(&mut parts, "updates", &software::updates(updates));
    put(&mut parts, "clock", &place::clock(offset));
    put(&mut parts, "kubernetes", &place::kubernetes());
    parts
}

async fn of_verbs(parts: &mut Parts, host: &HostServices) {
    put(parts, "packages", &software::packages(host).await);
    if let Some(value) = ask(host, "network.interfaces").await {
        put(parts, "interfaces", &net::interfaces(&value));
    }
    if let Some(value) = ask(host, "container.list").await {
        put(parts, "containers", &place::containers(&value));
    }
    if let Some(value) = ask(host, "cert.list").await {
        put(parts, "certificates", &place::certificates(&value));
    }
}

/// The result of an observe verb without arguments, as the probe itself asks it.
pub(super) async fn ask(host: &HostServices, verb: &str) -> Option<Value> {
    let call = verbs::parse(verb, &json!({}), None).ok()?;
    let (output, mut nobody) = mpsc::channel(4);
    let drain = tokio::spawn(async move { while nobody.recv().await.is_some() {} });
    let (_keep, cancel) = watch::channel(false);
    let task = TaskId::new(SystemIds.fresh());
    let done =
        run(Work { task, call: &call, secrets: &verbs::Secrets::new(), shown: None, host }, output, cancel)
            .await;
    drain.abort();
    done.result
}
