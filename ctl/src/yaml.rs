//! JSON values as YAML (1.2, block style, every string value quoted as JSON does).
//!
//! Owns this small emitter only; nothing reads YAML here. Hidden characters are escaped, as in `out::line`.

use crate::out;
use serde_json::Value;

/// The value as YAML text, ending with a line break.
pub fn text(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    }
}

/// A key without quotes where no reader could take it for something else.
fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    let taken = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if !name.is_empty() && name.chars().all(plain) && !taken.contains(&name) {
        return name.to_owned();
    }
    out::line(&Value::from(name))
}

fn write(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                text.push_str(&format!("{indent}{}:", key(name)));
                entry(value, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() => items.iter().for_each(|item| element(item, depth, text)),
        plain => text.push_str(&out::line(plain)),
    }
}

fn entry(value: &Value, depth: usize, text: &mut String) {
    if is_block(value) {
        text.push('\n');
        write(value, depth + 1, text);
    } else {
        text.push_str(&format!(" {}\n", out::line(value)));
    }
}

/// An element: its first line stands beside the dash.
fn element(value: &Value, depth: usize, text: &mut String) {
    let mut block = String::new();
    write(value, depth + 1, &mut block);
    text.push_str(&format!("{}- {}", "  ".repeat(depth), block.trim_start()));
    if !block.ends_with('\n') {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_values_are_blocks_and_strings_are_quoted() {
        let value =
            json!({"a": [1, {"b": "x: y", "c": [[2], []]}], "d": {}, "env/x": null, "no": "\u{202e}"});
        let expected = "a:\n  - 1\n  - b: \"x: y\"\n    c:\n      - - 2\n      - []\nd: {}\n\"env/x\": null\n\"no\": \"\\u202e\"\n";
        assert_eq!(text(&value), expected);
    }
}
