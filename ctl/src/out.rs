//! Showing things: one record or many, as a table, JSON, YAML, JSON lines or names.
//!
//! Owns formats and colours. Invariant: text of a host reaches a terminal only with its control characters made visible.

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use legator_core::text::{shown, shown_line};
use serde_json::Value;

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

/// A column: its title, the path of its value, and whether it is for wide tables only.
pub struct Column {
    title: &'static str,
    path: &'static str,
    wide: bool,
}

/// A column of every table.
pub const fn col(title: &'static str, path: &'static str) -> Column {
    Column { title, path, wide: false }
}

/// A column of wide tables.
pub const fn wide(title: &'static str, path: &'static str) -> Column {
    Column { title, path, wide: true }
}

/// The value at a dotted path.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(value, |value, part| value.get(part)).unwrap_or(&Value::Null)
}

/// The text at a dotted path, safe for a terminal; empty when there is none.
pub fn word(value: &Value, path: &str) -> String {
    plain(at(value, path))
}

fn plain(value: &Value) -> String {
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

/// Prints to standard output, safe for a terminal.
pub fn say(text: &str) {
    anstream::println!("{text}");
}

/// Prints to standard error.
pub fn note(text: &str) {
    anstream::eprintln!("{text}");
}

/// Shows many records.
pub fn records(format: Format, items: &[Value], columns: &[Column]) {
    match format {
        Format::Json => say(&pretty(&Value::from(items.to_vec()))),
        Format::Yaml => print_raw(&crate::yaml::text(&Value::from(items.to_vec()))),
        Format::Jsonl => items.iter().for_each(|item| say(&item.to_string())),
        Format::Name => items.iter().for_each(|item| say(&name(item))),
        Format::Table | Format::Wide => {
            if items.is_empty() {
                note("nothing");
            } else {
                say(&table(format, items, columns));
            }
        }
    }
}

/// Shows one record; `text` is its form for people.
pub fn record(format: Format, item: &Value, text: impl FnOnce() -> String) {
    match format {
        Format::Json => say(&pretty(item)),
        Format::Yaml => print_raw(&crate::yaml::text(item)),
        Format::Jsonl => say(&item.to_string()),
        Format::Name => say(&name(item)),
        Format::Table | Format::Wide => say(text().trim_end()),
    }
}

fn print_raw(text: &str) {
    anstream::print!("{text}");
}

/// JSON for people and programs; its strings are escaped as JSON demands.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn name(item: &Value) -> String {
    let found = ["name", "id", "version", "number"]
        .iter()
        .map(|field| word(item, field))
        .find(|text| !text.is_empty());
    found.unwrap_or_default()
}

fn table(format: Format, items: &[Value], columns: &[Column]) -> String {
    let columns: Vec<&Column> =
        columns.iter().filter(|column| format == Format::Wide || !column.wide).collect();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.title));
    for item in items {
        table.add_row(columns.iter().map(|column| word(item, column.path)));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A list of `name: value` lines, without those that have no value.
pub fn fields(item: &Value, names: &[(&str, &str)]) -> String {
    let width = names.iter().map(|(title, _)| title.len()).max().unwrap_or(0);
    let lines =
        names.iter().map(|(title, path)| (title, word(item, path))).filter(|(_, text)| !text.is_empty());
    lines.map(|(title, text)| format!("{title:width$}  {text}\n")).collect()
}

/// Text of a host, of several lines, each indented by two blanks.
pub fn indented(text: &str) -> String {
    shown(text).lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_aligned_and_hostile_names_are_visible() {
        let items = [
            json!({"name": "a\u{1b}[2J", "health": {"score": 90}}),
            json!({"name": "bb", "health": {"score": 7}}),
        ];
        let text = table(
            Format::Table,
            &items,
            &[col("NAME", "name"), col("HEALTH", "health.score"), wide("ID", "id")],
        );
        assert!(!text.contains('\u{1b}'));
        assert!(text.lines().next().is_some_and(|line| line.contains("NAME") && !line.contains("ID")));
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        assert_eq!(fields(&json!({"a": 1}), &[("a", "a"), ("long", "b")]), "a     1\n");
    }
}
