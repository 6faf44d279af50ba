//! What changed between two states of a part, in lines for people.
//!
//! Owns the nouns and the keys of each part. Never says what moves all the time (free bytes, process ids, the clock's drift).

use serde_json::{Map, Value};
use std::collections::BTreeMap;

use super::text;

/// Lines of one change, at most; a last one says how many more there are.
pub const DIFFERENCES_MAX: usize = 200;

/// Fields that move all the time.
const QUIET: [&str; 4] = ["available", "pid", "offset_ms", "lists_at"];

/// The noun of a part's item and the fields that name it.
fn keys(part: &str) -> (&str, &'static [&'static str]) {
    match part {
        "disks" => ("mount", &["path"]),
        "interfaces" => ("interface", &["name"]),
        "sockets" => ("socket", &["protocol", "address", "port"]),
        "services" => ("service", &["name"]),
        "packages" => ("package", &["name", "arch"]),
        "users" => ("user", &["name"]),
        "sudo" => ("sudo rule", &["file", "rule"]),
        "schedules" => ("schedule", &["source", "when", "what"]),
        "containers" => ("container", &["name", "id"]),
        "certificates" => ("certificate", &["path"]),
        other => (other, &[]),
    }
}

/// What changed in a part, one line a change; nothing when there was no state before (`old` is null).
pub fn differences(part: &str, old: &Value, new: &Value) -> Vec<String> {
    if old.is_null() || old == new {
        return Vec::new();
    }
    let (noun, fields) = keys(part);
    let lines = match (items(old), items(new)) {
        (Some(old), Some(new)) => of_lists(noun, fields, (old, new)),
        _ => of_objects(noun, old, new),
    };
    bounded(lines)
}

fn bounded(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > DIFFERENCES_MAX {
        let more = lines.len() - (DIFFERENCES_MAX - 1);
        lines.truncate(DIFFERENCES_MAX - 1);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn items(part: &Value) -> Option<&Vec<Value>> {
    part.get("items")?.as_array()
}

fn word(value: &Value) -> String {
    match value {
        Value::String(raw) if raw.is_empty() => "-".to_owned(),
        Value::String(raw) => text(raw),
        Value::Null => "-".to_owned(),
        other => text(&other.to_string()),
    }
}

/// The items under what names them; of two of one name the later one counts.
fn by_key<'a>(items: &'a [Value], fields: &[&str]) -> BTreeMap<Vec<String>, &'a Value> {
    let key =
        |item: &Value| fields.iter().map(|field| item.get(*field).map(word).unwrap_or_default()).collect();
    items.iter().map(|item| (key(item), item)).collect()
}

fn of_lists(noun: &str, fields: &[&str], (old, new): (&[Value], &[Value])) -> Vec<String> {
    let (old, new) = (by_key(old, fields), by_key(new, fields));
    let mut lines = Vec::new();
    for (key, item) in &new {
        match old.get(key) {
            None => lines.push(format!("{noun} {} added", title(key, item))),
            Some(before) => lines.extend(of_item(&format!("{noun} {}", key_text(key)), before, item)),
        }
    }
    let gone = old.iter().filter(|(key, _)| !new.contains_key(*key));
    lines.extend(gone.map(|(key, item)| format!("{noun} {} removed", title(key, item))));
    lines
}

/// The name; of a package only its first part, for the architecture seldom matters.
fn key_text(key: &[String]) -> String {
    key.iter().filter(|part| !part.is_empty() && *part != "-").cloned().collect::<Vec<_>>().join(" ")
}

fn title(key: &[String], item: &Value) -> String {
    match item.get("version").and_then(Value::as_str) {
        Some(version) => format!("{} {}", key.first().map_or("", String::as_str), text(version)),
        None => key_text(key),
    }
}

/// `package openssl 3.0.1 → 3.0.2` for a version, `service nginx state: active → failed` for anything else.
fn of_item(what: &str, old: &Value, new: &Value) -> Vec<String> {
    let version = |item: &Value| item.get("version").map(word);
    match (version(old), version(new), new.get("name").map(word)) {
        (Some(before), Some(after), Some(name)) if before != after => {
            let noun = what.split(' ').next().unwrap_or_default();
            vec![format!("{noun} {name} {before} → {after}")]
        }
        _ => of_objects(what, old, new),
    }
}

fn of_objects(what: &str, old: &Value, new: &Value) -> Vec<String> {
    let nothing = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&nothing), new.as_object().unwrap_or(&nothing));
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed =
        names.into_iter().filter(|name| !QUIET.contains(&name.as_str()) && old.get(*name) != new.get(*name));
    let side = |of: &Map<String, Value>, name: &str| of.get(name).map_or_else(|| "-".to_owned(), word);
    changed.map(|name| format!("{what} {}: {} → {}", text(name), side(old, name), side(new, name))).collect()
}
