//! Every trust setting absent, empty, of the wrong type, or unreadable: refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr)]

use super::*;
use legator_wire::keys::{ApproverKey, Signer as _};

fn key(seed: u8) -> String {
    ApproverKey::from_secret(&[seed; 32]).public().hex()
}

fn listed() -> String {
    format!(
        "max_level = \"remediate\"\nquorum = 1\n[[approver]]\nperson = \"alice\"\nkeys = [\"{}\"]\n[[approver]]\nperson = \"bob\"\nkeys = [\"{}\"]\n",
        key(1),
        key(2)
    )
}

#[test]
fn good_files_are_read() {
    let full = format!(
        "server = \"https://legator.example\"\nname = \"web-03\"\nstate_dir = \"/var/lib/x\"\nca = \"/etc/ca.pem\"\nsecrets = [\"/srv/secret\"]\n{}[labels]\nenv = \"prod\"\n",
        listed()
    );
    let settings = Settings::parse(&full).unwrap();
    assert_eq!((settings.approvers.len(), settings.quorum, settings.max_level), (2, 1, Level::Remediate));
    assert_eq!(settings.labels["env"], "prod");
    assert_eq!(Settings::parse("max_level = \"observe\"").unwrap().max_level, Level::Observe);
}

#[test]
fn a_trust_setting_that_is_absent_empty_or_of_the_wrong_type_is_refused() {
    let good = listed();
    let swap = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let keys = format!("keys = [\"{}\"]", key(1));
    let cases = [
        String::new(),
        swap("max_level = \"remediate\"\n", ""),
        swap("\"remediate\"", "\"\""),
        swap("\"remediate\"", "2"),
        swap("\"remediate\"", "\"Remediate\""),
        swap("\"remediate\"", "[]"),
        swap("quorum = 1\n", ""),
        swap("quorum = 1", "quorum = 0"),
        swap("quorum = 1", "quorum = 3"),
        swap("quorum = 1", "quorum = \"1\""),
        swap("quorum = 1", "quorum = -1"),
        swap("quorum = 1", "quorum = 256"),
        swap(&keys, "keys = []"),
        swap(&keys, "keys = \"\""),
        swap(&keys, "keys = [\"\"]"),
        swap(&keys, "keys = [1]"),
        swap(&keys, ""),
        swap(&keys, &format!("keys = [\"{}\"]", "00".repeat(32))),
        swap(&key(1), &key(2)),
        swap(&key(1), &key(1).to_uppercase()),
        swap("person = \"alice\"", "person = \"\""),
        swap("person = \"alice\"", "person = \"bob\""),
        swap("person = \"alice\"", "person = \"Bob\""),
        swap("person = \"alice\"", ""),
        "max_level = \"observe\"\nquorum = 1".to_owned(),
        "max_level = \"observe\"\nquorum = 1\napprover = []".to_owned(),
        "max_level = \"observe\"\nquorum = 1\napprover = \"alice\"".to_owned(),
        "max_level = \"observe\"\napprovers = []".to_owned(),
        "max_level = \"observe\"\nsecrets = []".to_owned(),
        "max_level = \"observe\"\nsecrets = \"/a\"".to_owned(),
        "max_level = \"observe\"\nsecrets = [\"relative\"]".to_owned(),
        "max_level = \"observe\"\nca = \"\"".to_owned(),
        "max_level = \"observe\"\nca = 3".to_owned(),
        "max_level = \"observe\"\nserver = \"\"".to_owned(),
        "max_level = \"observe\"\nstate_dir = \"here\"".to_owned(),
        "max_level = \"observe\"\nmax_levle = \"observe\"".to_owned(),
        "max_level = \"observe\"\nmax_level = \"remediate\"".to_owned(),
        "not toml at all".to_owned(),
    ];
    for case in &cases {
        assert!(Settings::parse(case).is_err(), "accepted:\n{case}");
    }
    eprintln!("probe.toml: {} bad files refused", cases.len());
}

#[test]
fn a_file_that_is_no_file_not_text_too_large_or_gone_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.toml");
    assert!(Settings::read(&path).unwrap().is_none());
    assert!(Source::File(path.clone()).now().is_err());
    assert!(Settings::read(folder.path()).is_err());
    std::fs::write(&path, b"max_level = \"observe\"\n#\xff").unwrap();
    assert!(Settings::read(&path).is_err());
    std::fs::write(&path, " ".repeat(300_000)).unwrap();
    assert!(Settings::read(&path).is_err());
    std::fs::write(&path, "max_level = \"observe\"").unwrap();
    assert_eq!(Source::File(path).now().unwrap().max_level, Level::Observe);
}
