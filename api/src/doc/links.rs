//! What leads from one answer to the next request: links of the document (OpenAPI §4.8.20), and examples of bodies.
//!
//! Owns both tables. A program that reads the document finds ids that exist, and requests that can be sent as they stand.
//! Invariant: each entry names an operation that there is; a test looks.

use serde_json::{Map, Value, json};

/// An answer, where in it an id stands, and the addresses that take it.
struct Source {
    operation: &'static str,
    at: &'static str,
    /// The part of addresses before the parameter, and the parameter.
    leads: (&'static str, &'static str),
}

const fn source(operation: &'static str, at: &'static str, leads: (&'static str, &'static str)) -> Source {
    Source { operation, at, leads }
}

const SOURCES: [Source; 19] = [
    source("list_hosts", "/items/0/id", ("/api/v1/hosts/{id}", "id")),
    source("make_plan", "/id", ("/api/v1/plans/{id}", "id")),
    source("make_plan", "/id", ("/api/v1/approvals/{plan}", "plan")),
    source("make_plan", "/tasks/0/id", ("/api/v1/tasks/{id}", "id")),
    source("make_plan", "/tasks/0/host", ("/api/v1/hosts/{id}", "id")),
    source("list_plans", "/items/0/id", ("/api/v1/plans/{id}", "id")),
    source("decide", "/id", ("/api/v1/approvals/{plan}", "plan")),
    source("make_person", "/id", ("/api/v1/persons/{id}", "id")),
    source("list_persons", "/items/0/id", ("/api/v1/persons/{id}", "id")),
    source("register_approver_key", "/fingerprint", ("/api/v1/approver-keys/{fingerprint}", "fingerprint")),
    source("make_key", "/id", ("/api/v1/keys/{id}", "id")),
    source("make_token", "/id", ("/api/v1/tokens/{id}", "id")),
    source("open_freeze", "/id", ("/api/v1/freezes/{id}", "id")),
    source("list_freezes", "/items/0/id", ("/api/v1/freezes/{id}", "id")),
    source("begin_chat", "/id", ("/api/v1/chats/{id}", "id")),
    source("list_chats", "/items/0/id", ("/api/v1/chats/{id}", "id")),
    source("propose_policy", "/version", ("/api/v1/policies/{version}", "version")),
    source("list_policies", "/items/0/version", ("/api/v1/policies/{version}", "version")),
    source("list_tokens", "/items/0/id", ("/api/v1/tokens/{id}", "id")),
];

/// Bodies that can be sent as they stand.
fn examples() -> [(&'static str, Value); 9] {
    [
        (
            "make_plan",
            json!({"verb": "file.stat", "args": {"path": "/etc/hostname"}, "selector": "*", "reason": "is it there"}),
        ),
        ("simulate_policy", json!({"verb": "service.restart", "args": {"name": "nginx"}, "selector": "*"})),
        (
            "propose_policy",
            json!({"text": "@id(\"everything\")\npermit(principal, action, resource);\n", "note": "everything"}),
        ),
        (
            "make_person",
            json!({"name": "Ada", "roles": ["viewer", {"role": "operator", "selector": "env=test"}]}),
        ),
        ("make_key", json!({"name": "a script", "scope": ["viewer"], "expires_in": "30d"})),
        (
            "make_token",
            json!({"uses": 5, "expires_in": "1h", "labels": {"env": "test"}, "level": "observe", "note": "a rack"}),
        ),
        ("change_host", json!({"labels": {"env": "test"}})),
        ("begin_chat", json!({})),
        ("ask_in_chat", json!({"text": "why is web-03 slow?"})),
    ]
}

/// Writes links and examples into a document.
pub(super) fn write(document: &mut Value) {
    let operations = operations(document);
    for Source { operation, at, leads: (before, parameter) } in SOURCES {
        let links: Map<String, Value> = operations
            .iter()
            .filter(|known| known.path == before || known.path.starts_with(&format!("{before}/")))
            .map(|known| (known.id.clone(), link(&known.id, parameter, at)))
            .collect();
        add_links(document, &operations, (operation, links));
    }
    let decision = json!({"operationId": "decide", "requestBody": {
        "plan": "$response.body#/id", "digest": "$response.body#/digest", "decision": "approve", "reason": "as asked"
    }});
    add_links(document, &operations, ("make_plan", Map::from_iter([("decide".to_owned(), decision)])));
    for (operation, example) in examples() {
        let content = of(document, &operations, operation, "/requestBody/content/application~1json");
        if let Some(content) = content.and_then(Value::as_object_mut) {
            content.insert("example".into(), example);
        }
    }
}

fn link(operation: &str, parameter: &str, at: &str) -> Value {
    json!({"operationId": operation, "parameters": Map::from_iter([(parameter.to_owned(), json!(format!("$response.body#{at}")))])})
}

struct Known {
    id: String,
    path: String,
    method: String,
}

fn operations(document: &Value) -> Vec<Known> {
    let paths = document.get("paths").and_then(Value::as_object);
    let all = paths.into_iter().flatten().flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().map(move |(method, operation)| (path, method, operation))
    });
    all.filter_map(|(path, method, operation)| {
        let id = operation.get("operationId")?.as_str()?.to_owned();
        Some(Known { id, path: path.clone(), method: method.clone() })
    })
    .collect()
}

fn of<'a>(document: &'a mut Value, all: &[Known], operation: &str, at: &str) -> Option<&'a mut Value> {
    let Known { path, method, .. } = all.iter().find(|known| known.id == operation)?;
    document.get_mut("paths")?.get_mut(path)?.get_mut(method)?.pointer_mut(at)
}

fn add_links(document: &mut Value, all: &[Known], (operation, links): (&str, Map<String, Value>)) {
    for status in ["200", "201"] {
        let answer = of(document, all, operation, &format!("/responses/{status}"));
        let Some(answer) = answer.and_then(Value::as_object_mut) else { continue };
        let have = answer.entry("links").or_insert_with(|| json!({}));
        if let Some(have) = have.as_object_mut() {
            have.extend(links.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_link_and_example_is_of_an_operation_that_there_is() {
        let document = crate::openapi();
        let known = operations(&document);
        for source in SOURCES {
            assert!(known.iter().any(|one| one.id == source.operation), "{}", source.operation);
            assert!(known.iter().any(|one| one.path.starts_with(source.leads.0)), "{}", source.leads.0);
        }
        for (operation, example) in examples() {
            let mut document = document.clone();
            let content = of(&mut document, &known, operation, "/requestBody/content/application~1json");
            assert_eq!(content.unwrap()["example"], example, "{operation}");
        }
    }
}
