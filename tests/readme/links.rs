//! Documents name what is there: every relative link and every path in code marks exists.

use std::path::{Path, PathBuf};

/// All documents for people.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for dir in ["", "docs", "docs/decisions"] {
        let entries = std::fs::read_dir(root.join(dir)).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.extension().is_some_and(|ext| ext == "md")));
    }
    found
}

/// Targets of `[text](target)` that are no address.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://"))
}

/// Texts in code marks outside code blocks that are paths of this repository.
fn paths(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2).collect::<Vec<_>>().join("\n");
    let marked: Vec<String> = prose.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let roots = [
        "api",
        "edge",
        "worker",
        "brain",
        "probe",
        "ctl",
        "crates",
        "migrations",
        "docs",
        "scripts",
        "tests",
        "src",
        ".ci",
        ".config",
        "charts",
        "web",
    ];
    let is_path = |word: &String| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-*".contains(c));
        plain && word.split_once('/').is_some_and(|(first, _)| roots.contains(&first))
    };
    marked.into_iter().filter(is_path).collect()
}

fn exists(root: &Path, word: &str) -> bool {
    match word.strip_suffix('*') {
        None => root.join(word).exists(),
        Some(begin) => {
            let whole = root.join(begin);
            let (dir, name) =
                (whole.parent().unwrap(), whole.file_name().unwrap().to_string_lossy().into_owned());
            let mut names = std::fs::read_dir(dir).into_iter().flatten().flatten();
            begin.ends_with('/') && whole.is_dir()
                || names.any(|entry| entry.file_name().to_string_lossy().starts_with(&name))
        }
    }
}

#[test]
fn every_link_and_every_path_in_the_documents_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut faults, mut count) = (Vec::new(), 0);
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let dir = document.parent().unwrap();
        for target in links(&text) {
            count += 1;
            let file = target.split('#').next().unwrap();
            if !file.is_empty() && !dir.join(file).exists() {
                faults.push(format!("{}: {target}", document.display()));
            }
        }
        for path in paths(&text) {
            count += 1;
            if !exists(root, &path) {
                faults.push(format!("{}: {path}", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(count > 20, "{count} links and paths are too few: they are not found");
    eprintln!("documents: {count} links and paths");
}

/// Names of tests that SECURITY.md gives for its promises.
#[test]
fn every_test_that_security_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let marked: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let mut count = 0;
    for word in marked.iter().filter(|word| word.contains("::")) {
        let (file, test) = word.split_once("::").unwrap();
        let source = std::fs::read_to_string(root.join(file))
            .unwrap_or_else(|error| panic!("SECURITY.md names {file}: {error}"));
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}");
        count += 1;
    }
    assert!(count >= 10, "SECURITY.md names {count} tests");
    eprintln!("security: {count} tests named");
}
