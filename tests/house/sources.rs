//! How sources look: headers, sizes, and calls that only their owner makes.

use std::fs;
use std::path::{Path, PathBuf};

const ROOTS: &[&str] =
    &["src", "api", "edge", "worker", "brain", "probe", "ctl", "crates", "migrations", "tests", "fuzz"];
const FILE_LINES_MAX: usize = 500;
const FILE_LINES_MEDIAN_MAX: usize = 220;
const FUNCTION_LINES_MAX: usize = 70;

/// What must not be called, and the files that may.
const BANNED: &[(&str, &[&str])] = &[
    ("SystemTime::now", &["crates/store/src/system.rs", "probe/src/", "ctl/src/"]),
    ("Uuid::now_v7", &["crates/store/src/system.rs"]),
    ("unbounded_channel", &[]),
    ("#[ignore", &[]),
    ("process::exit", &["src/main.rs", "probe/src/main.rs", "ctl/src/main.rs", "probe/src/cage/"]),
    ("std::env::var", &["src/", "probe/src/main.rs", "ctl/src/", "brain/src/settings.rs", "probe/src/cage/"]),
    ("X-Forwarded-For\"", &[]),
];

struct Source {
    path: String,
    text: String,
}

fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    ROOTS.iter().for_each(|dir| walk(&root.join(dir), &mut paths));
    let read = |path: PathBuf| Source {
        path: path.strip_prefix(root).unwrap().to_string_lossy().into_owned(),
        text: fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().map(read).collect()
}

impl Source {
    /// Whether it is product code: not a test, an example or the test kit.
    fn is_product(&self) -> bool {
        let parts = ["tests/", "/tests.rs", "examples/", "crates/testkit/", "fuzz/", "tests.rs"];
        !parts.iter().any(|part| self.path.contains(part))
    }

    /// Its text without a `mod tests { … }` at its end and without comments.
    fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        let code = lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
        code.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn report(what: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_owns() {
    let all = sources();
    let faults =
        all.iter().filter(|source| !source.text.starts_with("//! ") || source.text.lines().count() < 3);
    report("files without a header", faults.map(|source| source.path.clone()).collect());
    eprintln!("house: {} files", all.len());
}

#[test]
fn files_are_short() {
    let mut counts: Vec<(usize, String)> =
        sources().into_iter().map(|source| (source.text.lines().count(), source.path)).collect();
    counts.sort();
    let long = counts.iter().filter(|(lines, _)| *lines > FILE_LINES_MAX);
    report("files that are too long", long.map(|(lines, path)| format!("{lines} {path}")).collect());
    let median = counts[counts.len() / 2].0;
    eprintln!("house: median file {median} lines, longest {}", counts.last().unwrap().0);
    assert!(median <= FILE_LINES_MEDIAN_MAX, "median file {median} lines");
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    let mut functions = 0;
    for source in sources() {
        let mut open: Option<(usize, usize)> = None;
        for (number, line) in source.text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if let Some((start, depth)) = open {
                if indent == depth && line.trim_start().starts_with('}') {
                    let length = number - start + 1;
                    if length > FUNCTION_LINES_MAX {
                        faults.push(format!("{length} {}:{}", source.path, start + 1));
                    }
                    open = None;
                }
            } else if is_function(line) && !line.trim_end().ends_with(['}', ';']) {
                functions += 1;
                open = Some((number, indent));
            }
        }
    }
    eprintln!("house: {functions} functions");
    report("functions that are too long", faults);
}

fn is_function(line: &str) -> bool {
    let words = line.trim_start();
    let starts = ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(crate) fn ", "pub(crate) async fn "];
    let more = ["pub(super) fn ", "pub(super) async fn ", "const fn ", "pub const fn ", "unsafe fn "];
    starts.iter().chain(more.iter()).any(|start| words.starts_with(start))
}

#[test]
fn owners_alone_call_what_is_banned() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.is_product()) {
        for (number, line) in source.product_lines() {
            for (call, owners) in BANNED {
                if line.contains(call) && !owners.iter().any(|owner| source.path.starts_with(owner)) {
                    faults.push(format!("{}:{} {call}", source.path, number + 1));
                }
            }
        }
    }
    report("calls outside their owner", faults);
}

#[test]
fn unsafe_stands_in_the_cage_alone() {
    let unsafe_line =
        |line: &str| line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl");
    let mut faults = Vec::new();
    let mut blocks = 0;
    for source in sources().iter().filter(|source| source.is_product()) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, _) in source.product_lines().filter(|(_, line)| unsafe_line(line)) {
            blocks += 1;
            let near = &lines[number.saturating_sub(6)..=number];
            let proven = near.iter().any(|line| line.contains("SAFETY"));
            if !source.path.starts_with("probe/src/cage") || !proven {
                faults.push(format!("{}:{}", source.path, number + 1));
            }
        }
    }
    eprintln!("house: {blocks} unsafe blocks");
    report("unsafe outside the cage or without its proof", faults);
}

#[test]
fn no_crate_or_module_is_a_drawer() {
    let names = ["common", "utils", "util", "helpers", "manager", "misc"];
    let drawer = |source: &&Source| {
        let stem = Path::new(&source.path).file_stem().unwrap().to_string_lossy().into_owned();
        names.contains(&stem.as_str()) || names.iter().any(|name| source.path.contains(&format!("/{name}/")))
    };
    report("drawers", sources().iter().filter(drawer).map(|source| source.path.clone()).collect());
}

#[test]
fn the_mandatory_files_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "deny.toml",
        "clippy.toml",
        "Makefile",
        "docs/ARCHITECTURE.md",
        ".ci/run",
        "scripts/setup.sh",
        "Cargo.lock",
    ];
    let missing = files.iter().filter(|file| !root.join(file).is_file());
    report("missing", missing.map(|file| (*file).to_owned()).collect());
    let map = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap().lines().count();
    assert!(map <= 400, "the map has {map} lines, at most 400");
}
