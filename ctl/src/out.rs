//! Showing things: one record or many, as a table, JSON, YAML, JSON lines or names.
//!
//! Owns both streams, formats and colours. Invariant: text of a host reaches a terminal only with its control characters made visible;
//! a reader who went away (a broken pipe) is no fault, and is remembered.

use crate::table;
use clap::ValueEnum;
use legator_core::text::{is_hidden, shown, shown_line};
use owo_colors::{OwoColorize as _, Style};
use serde_json::Value;
use std::io::{IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};

pub use crate::table::{Column, col, state, wide};

/// How output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    Table,
    /// A table with more columns.
    Wide,
    /// One JSON document.
    Json,
    /// YAML.
    Yaml,
    /// Names or ids, one a line.
    Name,
    /// JSON, one record a line.
    Jsonl,
}

impl Format {
    /// Whether people read it, not programs.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// The value at a dotted path.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(value, |value, part| value.get(part)).unwrap_or(&Value::Null)
}

/// The text at a dotted path, safe for a terminal; empty when there is none.
pub fn word(value: &Value, path: &str) -> String {
    plain(at(value, path))
}

/// A value on one line, safe for a terminal.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => shown_line(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(name, value)| format!("{}={}", shown_line(name), plain(value)));
            pairs.collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// The list at a dotted path; empty when there is none.
pub fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

static READER_GONE: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads standard output any more, as after `| head -1`.
pub fn reader_is_gone() -> bool {
    READER_GONE.load(Ordering::Relaxed)
}

/// Prints a line to standard output. The text is safe for a terminal already.
pub fn say(text: &str) {
    write(&mut anstream::stdout(), format!("{text}\n").as_bytes());
}

/// Prints bytes to standard output as they are: what a command wrote, for a file or another program.
pub fn raw(bytes: &[u8]) {
    write(&mut std::io::stdout(), bytes);
}

/// Prints to standard output without a line break. The text is safe for a terminal already.
pub fn print(text: &str) {
    write(&mut anstream::stdout(), text.as_bytes());
}

fn write(stream: &mut impl Write, bytes: &[u8]) {
    if stream.write_all(bytes).and_then(|()| stream.flush()).is_err() {
        READER_GONE.store(true, Ordering::Relaxed);
    }
}

/// Prints a line to standard error.
pub fn note(text: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Prints a question to standard error, without a line break.
pub fn ask(text: &str) {
    let mut stream = anstream::stderr();
    let _ = write!(stream, "{text}").and_then(|()| stream.flush());
}

/// Whether standard output is a terminal.
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// A word that tells how something stands, in the colour that it has everywhere.
pub fn tinted(word: &str) -> String {
    let style = match word {
        "online" | "succeeded" | "finished" | "approved" | "allow" | "allowed" | "verified" | "approve" => {
            Style::new().green()
        }
        "stale" | "pending" | "waiting" | "preparing" | "running" | "sent" | "needs_approval" | "medium"
        | "unreachable" | "cancelled" | "expired" | "partial" => Style::new().yellow(),
        "offline" | "revoked" | "failed" | "refused" | "rejected" | "unknown" | "high" | "critical"
        | "refuse" | "reject" | "none" | "NOT verified" => Style::new().red(),
        _ => return word.to_owned(),
    };
    word.style(style).to_string()
}

/// Shows many records.
pub fn records(format: Format, items: &[Value], columns: &[Column]) {
    match format {
        Format::Json => say(&pretty(&Value::from(items.to_vec()))),
        Format::Yaml => print(&crate::yaml::text(&Value::from(items.to_vec()))),
        Format::Jsonl => items.iter().for_each(|item| say(&line(item))),
        Format::Name => items.iter().for_each(|item| say(&name(item))),
        Format::Table | Format::Wide if items.is_empty() => note("nothing"),
        Format::Table | Format::Wide => print(&table::text(items, columns, format)),
    }
}

/// Shows one record; `text` is its form for people.
pub fn record(format: Format, item: &Value, text: impl FnOnce() -> String) {
    match format {
        Format::Json => say(&pretty(item)),
        Format::Yaml => print(&crate::yaml::text(item)),
        Format::Jsonl => say(&line(item)),
        Format::Name => say(&name(item)),
        Format::Table | Format::Wide => say(text().trim_end()),
    }
}

/// Tells that something was done: for people on standard error, for programs as a record.
pub fn done(format: Format, item: &Value, text: &str) {
    match format.is_for_people() {
        true => note(text),
        false => record(format, item, String::new),
    }
}

/// JSON for people and programs. What JSON may leave as it is, but a terminal must not get, is escaped.
pub fn pretty(value: &Value) -> String {
    escaped(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// JSON on one line, as safe.
pub fn line(value: &Value) -> String {
    escaped(&value.to_string())
}

/// Hidden characters as `\uXXXX` (RFC 8259 §7): outside strings JSON has none but line breaks.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => out.push(c),
            c if is_hidden(c) => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
            c => out.push(c),
        }
    }
    out
}

fn name(item: &Value) -> String {
    let found = ["name", "id", "version", "number"]
        .iter()
        .map(|field| word(item, field))
        .find(|text| !text.is_empty());
    found.unwrap_or_default()
}

/// A list of `name  value` lines, without those that have no value.
pub fn fields(item: &Value, names: &[(&str, &str)]) -> String {
    let pairs: Vec<(&str, String)> = names.iter().map(|(title, path)| (*title, word(item, path))).collect();
    pairs_text(&pairs)
}

/// The same of values that are made already. A state has its colour.
pub fn pairs_text(pairs: &[(&str, String)]) -> String {
    let present = pairs.iter().filter(|(_, text)| !text.is_empty());
    let width = pairs.iter().map(|(title, _)| title.len()).max().unwrap_or(0);
    present.map(|(title, text)| format!("{title:width$}  {}\n", tinted(text))).collect()
}

/// Text of a host, of several lines, each indented by two blanks.
pub fn indented(text: &str) -> String {
    shown(text).lines().map(|line| format!("  {line}\n")).collect()
}

/// `1 host`, `2 hosts`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_without_a_value_are_left_out() {
        assert_eq!(fields(&json!({"a": 1}), &[("a", "a"), ("long", "b")]), "a     1\n");
    }

    #[test]
    fn json_is_safe_for_a_terminal_and_still_the_same() {
        let value = json!({"name": "a\u{1b}[2J\u{9b}31m\u{202e}\u{e0041}é"});
        for text in [line(&value), pretty(&value)] {
            assert!(!text.chars().any(|c| c != '\n' && is_hidden(c)), "{text:?}");
            assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value.clone()));
        }
    }
}
