//! JSON as strictly as a door needs it: what two parsers could read differently is refused.
//!
//! Owns the reading of bodies into values: no member twice, no NUL in a text, no deeper than 32 levels.
//! The size was bounded before; `serde_json` refuses bad UTF-8, half surrogates, numbers out of range and a second document.

use legator_core::error::Failure;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

const DEPTH_MAX: u8 = 32;

/// The value that these bytes are.
///
/// Fails with `bad-json` when they are no strict JSON, and with `bad-body` when they are not of this form.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let value = read_value(bytes)
        .map_err(|error| Failure::invalid("bad-json", format!("the body is not JSON: {error}")))?;
    // A list would be read as a struct's fields in their order.
    if !value.is_object() {
        return Err(Failure::invalid("bad-body", "the body does not fit: it is not an object"));
    }
    serde_json::from_value(value)
        .map_err(|error| Failure::invalid("bad-body", format!("the body does not fit: {error}")))
}

fn read_value(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict {
    depth: u8,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth < DEPTH_MAX {
            true => Ok(Self { depth: self.depth + 1 }),
            false => Err(E::custom(format!("nested deeper than {DEPTH_MAX} levels"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        text(value).map(|()| Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        text(&value).map(|()| Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            text(&name)?;
            let value = map.next_value_seed(inner)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

fn text<E: Error>(text: &str) -> Result<(), E> {
    match text.contains('\0') {
        true => Err(E::custom("a text with a NUL")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_parsers_read_differently_is_refused() {
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        let very_deep = "[".repeat(6000);
        let bad: [&[u8]; 12] = [
            br#"{"a":1,"a":2}"#,
            br#"{"b":{"a":1,"a":2}}"#,
            br#"{"a":"x\u0000y"}"#,
            br#"{"a\u0000":1}"#,
            br#"{"a":1}{"a":1}"#,
            br#"{"a":1e400}"#,
            br#"{"a":"\ud800"}"#,
            b"{\"a\":\"\xff\"}",
            br#"{"a":"#,
            b"",
            deep.as_bytes(),
            very_deep.as_bytes(),
        ];
        for bytes in bad {
            assert!(read::<Value>(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn what_is_plain_is_read_as_it_is() {
        let value = serde_json::json!({"a": [1, -2, 1.5, true, null, "x"], "b": {"a": {}}});
        assert_eq!(read::<Value>(value.to_string().as_bytes()), Ok(value));
    }
}
