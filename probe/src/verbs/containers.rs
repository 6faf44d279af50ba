//! `container.list`: containers as their processes show them.
//!
//! Owns the reading of control groups. Never asks a container daemon, whose socket would give everything.
//! Invariant: a container is told when a process of it runs; stopped ones are not seen.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::{Step, proc};

const CONTAINERS_MAX: usize = 2000;

/// The id of 64 hex digits, and the runtime, that a line of `/proc/<pid>/cgroup` names.
pub(super) fn of_group(text: &str) -> Option<(String, &'static str)> {
    let id = text
        .split(['/', '-', '.', ':', '\n'])
        .find(|part| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let runtimes = [
        ("docker", "docker"),
        ("libpod", "podman"),
        ("crio", "cri-o"),
        ("containerd", "containerd"),
        ("kubepods", "kubernetes"),
    ];
    let runtime = runtimes.iter().find(|(mark, _)| text.contains(mark)).map_or("unknown", |(_, name)| name);
    Some((id.to_owned(), runtime))
}

pub(super) fn list() -> Step<Value> {
    let mut containers: BTreeMap<String, (&'static str, Vec<proc::Process>)> = BTreeMap::new();
    for process in proc::processes().into_values() {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).unwrap_or_default();
        let Some((id, runtime)) = of_group(&text) else { continue };
        if containers.len() < CONTAINERS_MAX || containers.contains_key(&id) {
            containers.entry(id).or_insert_with(|| (runtime, Vec::new())).1.push(process);
        }
    }
    let told: Vec<Value> = containers
        .into_iter()
        .map(|(id, (runtime, processes))| {
            let main = processes.iter().min_by_key(|process| (process.start, process.pid));
            let memory: u64 = processes.iter().map(|process| process.memory_bytes).sum();
            json!({ "id": id, "runtime": runtime, "processes": processes.len(), "memory_bytes": memory,
                "main_pid": main.map(|main| main.pid), "name": main.map(|main| &main.name) })
        })
        .collect();
    Ok(json!({ "containers": told }))
}

#[cfg(test)]
mod tests {
    use super::of_group;

    #[test]
    fn groups_of_containers() {
        let id = "a".repeat(64);
        let rows = [
            (format!("0::/system.slice/docker-{id}.scope\n"), Some("docker")),
            (format!("12:pids:/docker/{id}\n"), Some("docker")),
            (format!("0::/machine.slice/libpod-{id}.scope"), Some("podman")),
            (format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"), Some("containerd")),
            ("0::/system.slice/nginx.service\n".to_owned(), None),
            (String::new(), None),
        ];
        for (text, runtime) in rows {
            assert_eq!(of_group(&text).map(|(_, runtime)| runtime), runtime, "{text}");
        }
    }
}
