//! `/metrics` and `docs/metrics.md` name the same figures.

use super::world::{Who, World};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The documented names and their kinds.
fn documented() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned())).collect()
}

/// The names that the sources record, outside the probe, which has no such door.
fn recorded() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut folders: Vec<_> = ["src", "api/src", "edge/src", "worker/src", "brain/src", "crates"]
        .map(|folder| root.join(folder))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                of_source(&fs::read_to_string(path).unwrap(), &mut found);
            }
        }
    }
    found
}

fn of_source(text: &str, found: &mut BTreeMap<String, String>) {
    for kind in ["counter", "gauge", "histogram"] {
        for rest in text.split(&format!("metrics::{kind}!(")).skip(1) {
            let rest = rest.trim_start().trim_start_matches('"');
            let end = rest.find('"').unwrap_or(0);
            found.insert(rest[..end].to_owned(), kind.to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_figures_are_those_that_are_shown() {
    let documented = documented();
    assert_eq!(documented, recorded(), "docs/metrics.md and the sources differ");
    let world = World::new().await;
    let text = world.caller(Who::Nobody).get("/metrics").await.as_str().unwrap().to_owned();
    let mut shown = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let told = documented.get(name).unwrap_or_else(|| panic!("{name} is not documented"));
        let kind = if kind == "summary" { "histogram" } else { kind };
        assert_eq!(told, kind, "{name}");
        shown += 1;
    }
    for name in ["legator_http_requests_total", "legator_http_connections", "legator_edge_sessions"] {
        assert!(text.contains(name), "{name} is not shown");
    }
    eprintln!("figures: {} documented, {shown} shown after a few requests", documented.len());
    world.end().await;
}
