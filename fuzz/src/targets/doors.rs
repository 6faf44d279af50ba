//! What a caller of the API sends before any right is known: cursors, bodies, queries.
//!
//! Promises: only a cursor of this very list and tenant names a place; a body that is taken has one meaning.

use super::{has_fraction, text};
use crate::Target;
use legator_api::foreign;
use legator_core::ids::TenantId;
use serde_json::Value;

pub(super) const CURSOR: Target =
    Target { name: "cursor", hold: cursor, examples: cursor_examples, words: &["-", "_", "AAAA", "="] };
pub(super) const BODY: Target = Target {
    name: "body",
    hold: body,
    examples: body_examples,
    words: &[
        "\"verb\":\"",
        "\"args\":{",
        "\\ud800",
        "\\u0000",
        "1e999",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "\"a\":1,\"a\":2",
        "\u{feff}",
    ],
};
pub(super) const QUERY: Target = Target {
    name: "query",
    hold: query,
    examples: query_examples,
    words: &[
        "kind=",
        "plan.*",
        "&",
        "%00",
        "%ff",
        "limit=",
        "since=2026-01-01T00:00:00Z",
        "host=host_",
        "after=",
    ],
};

const KEY: [u8; 32] = [7; 32];
const PLACES: [&str; 4] = ["", "17", "host_00000000000000000000000000000008", "søk"];

fn cursor(bytes: &[u8]) {
    let text = text(bytes);
    let list = ("hosts", TenantId::DEFAULT);
    if let Some(place) = foreign::cursor_place(&KEY, list, &text) {
        assert!(PLACES.contains(&place.as_str()), "a cursor that nobody made names {place:?}");
        assert_eq!(foreign::cursor_of(&KEY, list, &place), text, "a place has two cursors");
    }
    let made = foreign::cursor_of(&KEY, list, &text);
    assert_eq!(foreign::cursor_place(&KEY, list, &made).as_deref(), Some(text.as_str()));
    for other in [("plans", list.1), (list.0, TenantId::new(2))] {
        assert_eq!(foreign::cursor_place(&KEY, other, &made), None, "another list's cursor is taken");
    }
    assert_eq!(foreign::cursor_place(&[8; 32], list, &made), None, "a cursor of before the restart is taken");
}

fn cursor_examples() -> Vec<Vec<u8>> {
    let made = PLACES.iter().map(|place| foreign::cursor_of(&KEY, ("hosts", TenantId::DEFAULT), place));
    let others = PLACES.iter().map(|place| foreign::cursor_of(&KEY, ("plans", TenantId::new(3)), place));
    let plain = ["", "null", "AAAA", "====", "../..", "AAAAAAAAAAAAAAAAMTc"].map(str::to_owned);
    made.chain(others).chain(plain).map(String::into_bytes).collect()
}

fn body(bytes: &[u8]) {
    let Some(fields) = foreign::body(bytes) else { return };
    let plain: Value = serde_json::from_slice(bytes).expect("what is strict JSON is JSON");
    assert_eq!(plain, Value::Object(fields.clone()), "another reader reads it differently");
    let written = Value::Object(fields).to_string();
    let again = foreign::body(written.as_bytes()).expect("what was read can be written and read");
    let rewritten = Value::Object(again).to_string();
    assert!(has_fraction(&plain) || rewritten == written, "{written} changes");
    assert!(!has_nul(&plain), "a NUL came through");
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn body_examples() -> Vec<Vec<u8>> {
    let texts = [
        "{}",
        "{\"verb\":\"file.stat\",\"args\":{\"path\":\"/\"},\"selector\":\"*\"}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":{\"b\":1,\"b\":1}}",
        "[]",
        "null",
        "\"x\"",
        "{} {}",
        "{\"a\":\"\\u0000\"}",
        "{\"\\u0000\":1}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":1e999}",
        "{\"a\":-0.0}",
        "{\"a\":0.1}",
        "{\"a\":12345678901234567890}",
        "{\"a\":1.7976931348623157e308}",
        "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
        "\u{feff}{}",
        "{\"a\":NaN}",
        "{\"a\":1,}",
        "{'a':1}",
        "{\"a\" :\t[1 , 2.50]}",
        "{\"plan\":\"plan_x\",\"digest\":\"sha256:00\",\"decision\":\"approve\"}",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn query(bytes: &[u8]) {
    let text = text(bytes);
    if let Some(read) = foreign::events_filter(&text) {
        assert!(!read.is_empty() && read.len() <= text.len() * 8 + 512);
        assert_eq!(foreign::events_filter(&text).as_deref(), Some(read.as_str()));
    }
}

fn query_examples() -> Vec<Vec<u8>> {
    let texts = [
        "",
        "kind=plan.made",
        "kind=plan.*",
        "kind=plan.%2a",
        "kind=*.*",
        "kind=plan",
        "limit=1",
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=1&limit=2",
        "after=18446744073709551615",
        "after=1e3",
        "host=host_00000000000000000000000000000008",
        "host=web-03",
        "plan=plan_00000000000000000000000000000008",
        "since=2026-01-01T00%3A00%3A00Z",
        "since=yesterday",
        "x=1",
        "kind=plan.made&limit=10&after=5",
        "cursor=AAAA",
        "%",
        "%ff=1",
        "kind=%00",
        "&&&",
        "=",
        "kind",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
