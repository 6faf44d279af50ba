//! The forms of texts in the document: ids, spans of time, names, cursors.
//!
//! Owns one table for all operations, so that the same member has the same form everywhere. Only describes: what is taken in is checked
//! by the types and checks of `input` and core. Invariant: a pattern here takes what those take, as far as a pattern can say it.

use serde_json::{Map, Value, json};

const SPAN: &str =
    "^([1-9][0-9]{0,9}ms|[1-9][0-9]{0,6}s|[1-9][0-9]{0,4}m|[1-9][0-9]{0,2}h|[1-9][0-9]?d|[1-3][0-9]{2}d)$";
const TOKEN_SPAN: &str =
    "^([1-9][0-9]{3,8}ms|[1-9][0-9]{0,5}s|[1-9][0-9]{0,4}m|[1-9][0-9]{0,2}h|[1-9]d|[1-8][0-9]d)$";
const WAIT: &str = "^([1-9]|[1-5][0-9]|60)s$";
const NAME: &str = concat!(
    "^[^\\x00-\\x20\\x7f-\\xa0\\xad\\u061c\\u1680\\u180e\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ufeff\u{e0000}-\u{e007f}]",
    "([^\\x00-\\x1f\\x7f-\\xa0\\xad\\u061c\\u1680\\u180e\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ufeff\u{e0000}-\u{e007f}]{0,98}",
    "[^\\x00-\\x20\\x7f-\\xa0\\xad\\u061c\\u1680\\u180e\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ufeff\u{e0000}-\u{e007f}])?$"
);
const NOTE: &str = "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$";
const CURSOR: &str = "^[A-Za-z0-9_-]{22,1024}$";
const DIGEST: &str = "^sha256:[0-9a-f]{64}$";
const KIND: &str = "^[a-z_-]{1,31}\\.([a-z_-]{1,31}|\\*)$";
const LABEL_KEY: &str = "^[A-Za-z0-9_./-]{1,63}$";
const LABEL_VALUE: &str = "^[A-Za-z0-9_./-]{0,253}$";
const VERB: &str = "^[a-z]+\\.[a-z]+$";

/// The form of a query parameter.
const QUERY: [(&str, &str); 7] = [
    ("cursor", CURSOR),
    ("wait", WAIT),
    ("kind", KIND),
    ("host", "host"),
    ("plan", "plan"),
    ("task", "task"),
    ("person", "person"),
];

/// The forms of members of bodies that are sent: schema, member, form. A form without `^` is the word of an id.
const MEMBERS: [(&str, &str, &str); 26] = [
    ("Acceptance", "reason", NOTE),
    ("Decision", "plan", "plan"),
    ("Decision", "reason", NOTE),
    ("HostChange", "name", NAME),
    ("NewApproverKey", "name", NAME),
    ("NewKey", "expires_in", SPAN),
    ("NewKey", "name", NAME),
    ("NewKey", "person", "person"),
    ("NewPerson", "name", NAME),
    ("NewPlan", "decide_in", SPAN),
    ("NewPlan", "expires_in", SPAN),
    ("NewPlan", "timeout", SPAN),
    ("NewPlan", "reason", NOTE),
    ("NewPlan", "verb", VERB),
    ("NewPolicy", "note", NOTE),
    ("NewTenant", "name", NAME),
    ("NewToken", "expires_in", TOKEN_SPAN),
    ("NewToken", "note", NOTE),
    ("PersonChange", "name", NAME),
    ("RevocationReason", "reason", NOTE),
    ("Rollout", "pause", SPAN),
    ("Simulation", "verb", VERB),
    ("Undo", "task", "task"),
    ("Undo", "reason", NOTE),
    ("Window", "reason", NOTE),
    ("Envelope", "payload", "^([A-Za-z0-9+/]{4})+([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"),
];

/// Writes the forms into a document.
pub(super) fn write(document: &mut Value) {
    for (path, item) in members(document, "/paths") {
        for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            parameters.into_iter().flatten().for_each(|parameter| of_parameter(path, parameter));
            of_stream(operation);
        }
    }
    for (schema, member, form) in MEMBERS {
        let at = format!("/components/schemas/{schema}/properties/{member}");
        if let Some(member) = document.pointer_mut(&at) {
            set(member, form);
        }
    }
    if let Some(change) =
        document.pointer_mut("/components/schemas/HostChange").and_then(Value::as_object_mut)
    {
        change.insert("minProperties".into(), json!(1));
    }
    for schema in ["HostChange", "NewToken"] {
        let at = format!("/components/schemas/{schema}/properties/labels");
        if let Some(labels) = document.pointer_mut(&at).and_then(Value::as_object_mut) {
            of_labels(labels);
        }
    }
}

fn members<'a>(document: &'a mut Value, at: &str) -> impl Iterator<Item = (&'a str, &'a mut Value)> {
    let object = document.pointer_mut(at).and_then(Value::as_object_mut);
    object.into_iter().flat_map(|object| object.iter_mut().map(|(name, value)| (name.as_str(), value)))
}

fn of_parameter(path: &str, parameter: &mut Value) {
    let text = |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (place, name) = (text("in"), text("name"));
    let form = match (place.as_str(), name.as_str()) {
        ("path", "part") => {
            if let Some(schema) = parameter.get_mut("schema") {
                *schema = json!({"type": "string", "enum": legator_core::inventory::PARTS});
            }
            return;
        }
        ("path", "fingerprint") => Some(DIGEST),
        ("path", _) => word_of(path),
        ("query", name) => QUERY.iter().find(|(of, _)| *of == name).map(|(_, form)| *form),
        ("header", "Last-Event-ID") => {
            if let Some(schema) = parameter.get_mut("schema") {
                *schema = json!({"type": "string", "pattern": "^(0|[1-9][0-9]{0,17})?$"});
            }
            return;
        }
        _ => None,
    };
    let Some(schema) = parameter.get_mut("schema") else { return };
    match form {
        Some(form) => set(schema, form),
        None => of_number(schema),
    }
}

/// Numbers of the log have 64 bits, without a sign.
fn of_number(schema: &mut Value) {
    if let Some(schema) =
        schema.as_object_mut().filter(|schema| schema.get("format") == Some(&json!("int64")))
    {
        schema.remove("format");
        schema.insert("maximum".into(), json!(u64::MAX));
    }
}

/// A stream's schema is that of one event.
fn of_stream(operation: &mut Value) {
    let at = "/responses/200/content/text~1event-stream/schema";
    if let Some(schema) = operation.pointer_mut(at) {
        let text = json!({"type": "string"});
        *schema = json!({"type": "object", "properties": {"id": text, "event": text, "data": text}});
    }
}

/// The word before an id of this address.
fn word_of(path: &str) -> Option<&'static str> {
    let words = [
        ("/hosts/", "host"),
        ("/plans/", "plan"),
        ("/approvals/", "plan"),
        ("/tasks/", "task"),
        ("/chats/", "chat"),
        ("/persons/", "person"),
        ("/keys/", "key"),
        ("/tokens/", "token"),
        ("/freezes/", "freeze"),
    ];
    words.iter().find(|(part, _)| path.contains(part)).map(|(_, word)| *word)
}

fn set(schema: &mut Value, form: &str) {
    let pattern = if form.starts_with('^') { form.to_owned() } else { format!("^{form}_[0-9a-f]{{32}}$") };
    if let Some(schema) = schema.as_object_mut() {
        // A length beside a pattern that bounds it says the same twice, and generators obey only one.
        if form == NAME {
            schema.remove("minLength");
            schema.remove("maxLength");
        }
        schema.insert("pattern".into(), json!(pattern));
    }
}

fn of_labels(labels: &mut Map<String, Value>) {
    labels.insert("maxProperties".into(), json!(32));
    let reserved = ["id", "name", "level", "os", "status", "cage"];
    labels.insert(
        "propertyNames".into(),
        json!({"type": "string", "pattern": LABEL_KEY, "not": {"enum": reserved}}),
    );
    if let Some(value) = labels.get_mut("additionalProperties").and_then(Value::as_object_mut) {
        value.insert("pattern".into(), json!(LABEL_VALUE));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn every_form_is_of_a_member_that_there_is() {
        let document = crate::openapi();
        for (schema, member, form) in MEMBERS {
            let found = document.pointer(&format!("/components/schemas/{schema}/properties/{member}"));
            let found = found.unwrap_or_else(|| panic!("{schema} has no {member}"));
            assert!(found.to_string().contains("pattern"), "{schema}.{member} was given no {form}: {found}");
        }
    }
}
