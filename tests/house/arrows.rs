//! Which crate may see which, over `cargo metadata`.
//!
//! Invariant: an arrow that is not in the table fails, and so does a crate without a row.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// A crate, the crates of this workspace that it may import, and what may be nowhere in its closure.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const PURE: &[&str] = &["tokio", "sea-orm", "axum", "async-nats", "reqwest", "rand"];

const ARROWS: &[Row] = &[
    ("core", &[], PURE),
    ("wire", &["core"], &["tokio", "sea-orm", "axum", "async-nats", "reqwest"]),
    ("policy", &["core"], &["tokio", "sea-orm", "axum", "async-nats", "reqwest"]),
    ("migrations", &[], &["axum", "async-nats"]),
    ("store", &["core", "migrations", "wire"], &["axum", "async-nats"]),
    ("bus", &["core"], &["sea-orm", "axum", "legator-wire"]),
    ("gate", &["core", "wire", "policy", "store"], &["axum", "legator-bus"]),
    ("api", &["core", "wire", "gate", "store", "bus"], &["legator-worker", "legator-edge", "legator-brain"]),
    ("worker", &["core", "wire", "gate", "store", "bus"], &["axum"]),
    ("edge", &["core", "wire", "bus"], &["legator-store", "sea-orm", "legator-gate"]),
    ("brain", &["core", "bus"], &["legator-store", "legator-wire", "legator-gate", "sea-orm"]),
    (
        "probe",
        &["core", "wire"],
        &["sea-orm", "axum", "async-nats", "cedar-policy", "legator-store", "legator-bus"],
    ),
    (
        "ctl",
        &["core", "wire"],
        &["sea-orm", "axum", "async-nats", "cedar-policy", "legator-store", "legator-bus"],
    ),
    ("testkit", &["core", "wire", "bus", "store"], &[]),
    // For development only, as the test kit: nothing may import it.
    (
        "fuzz",
        &["api", "brain", "core", "ctl", "edge", "gate", "policy", "probe", "store", "wire", "worker"],
        &["legator-testkit"],
    ),
];

/// The most packages that a probe is made of.
const PROBE_PACKAGES_MAX: usize = 190;

struct Graph {
    /// Package id → name.
    names: BTreeMap<String, String>,
    /// Package id → ids of its normal dependencies, on Linux.
    edges: BTreeMap<String, BTreeSet<String>>,
}

fn graph() -> Graph {
    let args =
        ["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let output =
        Command::new(env!("CARGO")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    let names = packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let normal =
        |dep: &&Value| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let edges = nodes
        .iter()
        .map(|node| {
            let deps = node["deps"].as_array().unwrap().iter().filter(normal).map(|dep| text(&dep["pkg"]));
            (text(&node["id"]), deps.collect())
        })
        .collect();
    Graph { names, edges }
}

impl Graph {
    fn id(&self, name: &str) -> &String {
        self.names.iter().find(|(_, known)| *known == name).unwrap_or_else(|| panic!("no crate {name}")).0
    }

    fn direct(&self, name: &str) -> BTreeSet<&str> {
        self.edges[self.id(name)].iter().map(|id| self.names[id].as_str()).collect()
    }

    fn closure(&self, name: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![self.id(name).clone()];
        while let Some(id) = open.pop() {
            if seen.insert(id.clone()) {
                open.extend(self.edges.get(&id).into_iter().flatten().cloned());
            }
        }
        seen
    }

    fn closure_names(&self, name: &str) -> BTreeSet<&str> {
        self.closure(name).iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn every_crate_sees_only_what_its_row_allows() {
    let graph = graph();
    let mut arrows = 0;
    for (name, may, never) in ARROWS {
        let full = format!("legator-{name}");
        for seen in graph.direct(&full).iter().filter_map(|dep| dep.strip_prefix("legator-")) {
            assert!(may.contains(&seen), "{name} must not import {seen}");
            arrows += 1;
        }
        let closure = graph.closure_names(&full);
        for banned in *never {
            assert!(!closure.contains(banned), "{name} must never see {banned}");
        }
    }
    let rows: BTreeSet<String> = ARROWS.iter().map(|(name, ..)| format!("legator-{name}")).collect();
    let crates = graph.names.values().filter(|name| name.starts_with("legator-"));
    crates.for_each(|name| assert!(rows.contains(name), "{name} has no row in the table of arrows"));
    eprintln!("house: {} crates, {arrows} arrows", ARROWS.len());
}

/// Packages of a build of the probe alone: features that other crates of the workspace ask for do not count.
fn probe_packages() -> BTreeSet<String> {
    let args = ["tree", "-p", "legator-probe", "-e", "normal", "--prefix", "none", "--locked", "--no-dedupe"];
    let output = Command::new(env!("CARGO"))
        .env_remove("RUSTC_BOOTSTRAP")
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let name = |line: &str| line.split(" (").next().unwrap_or(line).to_owned();
    String::from_utf8(output.stdout).unwrap().lines().map(name).collect()
}

#[test]
fn a_probe_is_made_of_few_packages() {
    let count = probe_packages().len();
    eprintln!("house: the probe is made of {count} packages");
    assert!((50..=PROBE_PACKAGES_MAX).contains(&count), "{count} packages, at most {PROBE_PACKAGES_MAX}");
}

#[test]
fn one_owner_for_each_technology() {
    let graph = graph();
    for (owner, technology) in [("policy", "cedar-policy"), ("store", "sea-orm")] {
        for (name, ..) in ARROWS.iter().filter(|(name, ..)| *name != owner && *name != "migrations") {
            let direct = graph.direct(&format!("legator-{name}"));
            assert!(!direct.contains(technology), "{name} uses {technology}, which is {owner}'s");
        }
    }
}
