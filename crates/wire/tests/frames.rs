//! Frames of version 1 as they were once written: they must parse for ever, and mean the same.
//!
//! The files in `frames/v1` are never changed; a new form gets a new file beside them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_wire::frame::{Down, Up, text};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The frame in a file, parsed in its direction and written again.
fn again(name: &str, content: &str) -> String {
    match name.split('-').next() {
        Some("down") => text(&Down::parse(content).unwrap_or_else(|error| panic!("{name}: {error}"))),
        Some("up") => text(&Up::parse(content).unwrap_or_else(|error| panic!("{name}: {error}"))),
        _ => panic!("{name}: the name begins with down- or up-"),
    }
}

#[test]
fn old_frames_parse_and_mean_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames/v1");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let content = fs::read_to_string(&path).unwrap();
        let before: Value = serde_json::from_str(&content).unwrap();
        let after: Value = serde_json::from_str(&again(&name, content.trim())).unwrap();
        assert_eq!(before, after, "{name}");
        seen += 1;
    }
    assert!(seen >= 15, "{seen}");
    eprintln!("frames: {seen} old ones parse and mean the same");
}

#[test]
fn a_frame_with_an_unknown_kind_or_too_many_bytes_is_none() {
    for frame in ["{}", "[]", "null", "{\"kind\":\"sudo\"}", "{\"kind\":\"welcome\"}", "{\"kind\":[]}"] {
        assert!(Down::parse(frame).is_err() && Up::parse(frame).is_err(), "{frame}");
    }
    let long = format!("{{\"kind\":\"denied\",\"code\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
    assert!(Down::parse(&long).is_err());
}
