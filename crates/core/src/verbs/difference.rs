//! The difference that an approver is shown.
//!
//! Owns its text: a unified diff, or a sentence where there is no text to compare. Invariant: its size is bounded.

use base64::Engine as _;
use serde_json::Value;
use similar::TextDiff;

use super::{Call, Verb};
use crate::digest::Digest;

/// The longest difference, in bytes.
const DIFF_BYTES_MAX: usize = 256 * 1024;
/// More lines than this are not compared: the comparison is quadratic at worst.
const LINES_MAX: usize = 20_000;

/// What the call would change, given the present state as `before` of the preparation's receipt gives it.
///
/// Empty for a verb that shows no difference.
pub fn difference(call: &Call, present: &Value) -> String {
    match &call.verb {
        Verb::FileWrite(write) => {
            let mut text = compare(&write.path, present, Some(&write.bytes()));
            text.push_str(&mode_line(present, write.permissions()));
            text
        }
        Verb::FileDelete(delete) => compare(&delete.path, present, None),
        _ => String::new(),
    }
}

/// The bytes that a state holds; none when they were too many to be kept.
fn content(state: &Value) -> Option<Vec<u8>> {
    let field = |name: &str| state.get(name).and_then(Value::as_str);
    if field("kind") == Some("absent") {
        return Some(Vec::new());
    }
    match field("content") {
        Some(text) => Some(text.as_bytes().to_vec()),
        None => base64::engine::general_purpose::STANDARD.decode(field("content_b64")?).ok(),
    }
}

fn compare(path: &str, present: &Value, new: Option<&[u8]>) -> String {
    let absent = present.get("kind").and_then(Value::as_str) == Some("absent");
    let bytes = present.get("bytes").and_then(Value::as_u64).unwrap_or(0);
    let old = content(present);
    let texts =
        old.as_deref().map(std::str::from_utf8).zip(Some(std::str::from_utf8(new.unwrap_or_default())));
    if let Some((Ok(old), Ok(text))) = texts
        && old.lines().count().max(text.lines().count()) <= LINES_MAX
        && !old.contains('\0')
        && !text.contains('\0')
    {
        let names = (if absent { "/dev/null" } else { path }, if new.is_some() { path } else { "/dev/null" });
        return unified(old, text, names);
    }
    let before = match absent {
        true => "no file".to_owned(),
        false => {
            format!("{bytes} bytes, {}", present.get("digest").and_then(Value::as_str).unwrap_or("unknown"))
        }
    };
    let after = match new {
        Some(new) => format!("{} bytes, {}", new.len(), Digest::of(new)),
        None => "no file".to_owned(),
    };
    format!("{path} is not shown line by line\n- {before}\n+ {after}\n")
}

fn unified(old: &str, new: &str, names: (&str, &str)) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut text = diff.unified_diff().context_radius(3).header(names.0, names.1).to_string();
    if text.len() > DIFF_BYTES_MAX {
        let end = (0..=DIFF_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let left_out = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("\n… {left_out} bytes of the difference are left out\n"));
    }
    text
}

fn mode_line(present: &Value, asked: Option<u32>) -> String {
    let Some(asked) = asked.map(|mode| format!("{mode:04o}")) else { return String::new() };
    let old = present.get("mode").and_then(Value::as_str);
    match old {
        Some(old) if old == asked => String::new(),
        Some(old) => format!("mode {old} → {asked}\n"),
        None => format!("mode {asked}\n"),
    }
}
