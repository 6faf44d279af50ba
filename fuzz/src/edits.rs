//! Changes of a JSON value, chosen by dice: a field, a bit, a type, another's value; also inside base64 that holds JSON.
//!
//! Owns the kinds of change. Never knows what the value means: whether a change matters is for the target to say.

use crate::dice::Dice;
use legator_wire::dsse::{from_b64, to_b64};
use serde_json::{Map, Value, json};

/// Changes of one input, at most.
const EDITS_MAX: usize = 4;
const DEPTH_MAX: u32 = 12;

/// Makes changes as long as there are dice, at least one.
pub fn edit(value: &mut Value, dice: &mut Dice<'_>) {
    let mut pool = Vec::new();
    gather(value, &mut pool, 0);
    for _ in 0..EDITS_MAX {
        walk(value, dice, (&pool, 0));
        if dice.is_used_up() {
            break;
        }
    }
}

/// Every plain value of a document, to be put where another stood.
fn gather(value: &Value, pool: &mut Vec<Value>, depth: u32) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, pool, depth)),
        Value::Object(fields) => fields.values().for_each(|field| gather(field, pool, depth)),
        Value::String(text) => {
            pool.push(value.clone());
            if let Some(inner) = inner(text).filter(|_| depth < 2) {
                gather(&inner, pool, depth + 1);
            }
        }
        plain => pool.push(plain.clone()),
    }
}

/// The JSON that a text holds as base64.
fn inner(text: &str) -> Option<Value> {
    serde_json::from_slice(&from_b64(text)?).ok().filter(Value::is_object)
}

fn walk(value: &mut Value, dice: &mut Dice<'_>, (pool, depth): (&[Value], u32)) {
    let stops = depth >= DEPTH_MAX || dice.of(8) == 0;
    match value {
        Value::Array(items) if !stops && !items.is_empty() => {
            let place = dice.of(items.len());
            match dice.of(8) {
                1 => drop(items.remove(place)),
                2 => items.push(items[place].clone()),
                3 => items.reverse(),
                _ => walk(&mut items[place], dice, (pool, depth + 1)),
            }
        }
        Value::Object(fields) if !stops && !fields.is_empty() => object(fields, dice, (pool, depth)),
        Value::String(text) if dice.of(4) != 0 => match inner(text) {
            Some(mut document) => {
                walk(&mut document, dice, (pool, depth + 1));
                *text = to_b64(document.to_string().as_bytes());
            }
            None => *text = self::text(text, dice),
        },
        _ => *value = other(value, dice, pool),
    }
}

fn object(fields: &mut Map<String, Value>, dice: &mut Dice<'_>, (pool, depth): (&[Value], u32)) {
    let names: Vec<String> = fields.keys().cloned().collect();
    let name = &names[dice.of(names.len())];
    match dice.of(12) {
        1 => drop(fields.remove(name)),
        2 => drop(fields.insert(format!("{name}x"), json!(1))),
        3 => {
            let value = fields.remove(name).unwrap_or_default();
            fields.insert(name.to_uppercase(), value);
        }
        _ => walk(fields.get_mut(name).unwrap(), dice, (pool, depth + 1)),
    }
}

/// A text that differs, also in the bytes that it holds as base64.
fn text(text: &str, dice: &mut Dice<'_>) -> String {
    let kind = dice.of(6);
    let place = dice.number();
    match (kind, from_b64(text).filter(|bytes| !bytes.is_empty())) {
        (0 | 1, Some(mut bytes)) => {
            let at = place % bytes.len();
            bytes[at] ^= 1 << dice.of(8);
            to_b64(&bytes)
        }
        (2, Some(mut bytes)) => {
            bytes.truncate(place % bytes.len());
            to_b64(&bytes)
        }
        (3, _) => format!("{text} "),
        (4, _) => text.to_uppercase(),
        _ => {
            let mut chars: Vec<char> = text.chars().collect();
            let at = place % (chars.len() + 1);
            let c = char::from(dice.byte());
            match chars.get_mut(at) {
                Some(found) => *found = c,
                None => chars.push(c),
            }
            chars.into_iter().collect()
        }
    }
}

fn other(value: &Value, dice: &mut Dice<'_>, pool: &[Value]) -> Value {
    let plain = [json!(null), json!(true), json!(""), json!([]), json!({}), json!(0), json!(u64::MAX)];
    match (dice.of(5), value.as_i64()) {
        (0, Some(number)) => json!(number.wrapping_add(1)),
        (1, Some(number)) => json!(number.wrapping_sub(1)),
        (2, Some(number)) => json!(number.wrapping_neg()),
        (3, _) if !pool.is_empty() => pool[dice.of(pool.len())].clone(),
        _ => plain[dice.of(plain.len())].clone(),
    }
}
