//! JSON values as YAML (1.2, block style, every string quoted as JSON does).
//!
//! Owns this small emitter only; nothing reads YAML here.

use serde_json::Value;

/// The value as YAML text, ending with a line break.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    }
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                out.push_str(&format!("{indent}{}:", Value::from(name.as_str())));
                entry(value, depth, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for value in items {
                out.push_str(&format!("{indent}-"));
                entry(value, depth, out);
            }
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn entry(value: &Value, depth: usize, out: &mut String) {
    if is_block(value) {
        out.push('\n');
        write(value, depth + 1, out);
    } else {
        out.push_str(&format!(" {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_values_are_blocks_and_strings_are_quoted() {
        let value = json!({"a": [1, {"b": "x: y"}], "c": {}, "d": null});
        assert_eq!(text(&value), "\"a\":\n  - 1\n  -\n    \"b\": \"x: y\"\n\"c\": {}\n\"d\": null\n");
    }
}
