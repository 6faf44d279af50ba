//! What to do about a failure, where whoever refused did not say it better.
//!
//! Owns the hints by code and, behind them, by status. Invariant: every problem has a hint.

use axum::http::StatusCode;

/// What to do, by code.
const BY_CODE: &[(&str, &str)] = &[
    ("bad-json", "send one JSON document in UTF-8, without members that stand twice, at most 32 levels deep"),
    ("bad-body", "the schemas of all bodies are in GET /openapi.json"),
    (
        "bad-query",
        "the parameters of each address are in GET /openapi.json; a duration is written like 30s, 15m or 7d",
    ),
    ("bad-times", "a duration is written like 30s, 15m or 7d"),
    ("bad-expires-in", "a duration is written like 30s, 15m or 7d"),
    ("bad-limit", "limit is from 1 to 500"),
    ("bad-cursor", "take `next` of the page before as it is, or begin without a cursor"),
    ("bad-wait", "such as ?wait=30s"),
    ("no-route", "GET /openapi.json lists all addresses"),
    ("method-not-allowed", "the header Allow names the methods; GET /openapi.json lists them all"),
    ("reason-needed", "give a reason of some words"),
    ("reason-too-long", "say it in 1000 bytes, and keep the rest elsewhere"),
    ("plan-not-pending", "GET /api/v1/plans/{id} shows how it stands; ask for a new plan to do it again"),
    ("plan-over", "GET /api/v1/plans/{id} shows how it ended; ask for a new plan to do it again"),
    ("own-plan", "ask somebody else who may approve"),
    ("no-undo", "only changes that keep the state before can be taken back: GET /api/v1/verbs"),
    ("encoded-body", "send the body as it is, without Content-Encoding"),
    ("length-needed", "send the body with Content-Length instead of Transfer-Encoding"),
    ("foreign-origin", "use the API from a program, or from a page of this server"),
    ("bad-host", "send exactly one Host header with this server's name"),
    ("broken-body", "send it again, whole"),
    ("slow-body", "send it again, faster"),
    ("not-json", "add the header Content-Type: application/json"),
];

/// What to do about it.
pub fn hint(code: &str, status: StatusCode) -> &'static str {
    let known = BY_CODE.iter().find(|(of, _)| *of == code).map(|(_, hint)| *hint);
    known.unwrap_or_else(|| by_status(status))
}

fn by_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "send an API key as: Authorization: Bearer lk_…",
        403 => "ask somebody who has the right to it",
        404 => "look at the list above it for what is there, in this tenant and for your roles",
        405 => "the header Allow names the methods",
        409 => "read it again: it was changed meanwhile, or is in no state for this",
        410 => "its time is over: begin anew",
        413 => "send less",
        415 => "add the header Content-Type: application/json",
        429 => "wait as long as Retry-After says",
        503 | 504 => "try again in a moment; GET /readyz names what is away",
        500.. => "look for this request's id in the server's log",
        _ => "GET /openapi.json describes what this address takes",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    /// The source files below a folder, as one text.
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => sources(&path, text),
                false if path.ends_with("hints.rs") => {}
                false => text.push_str(&std::fs::read_to_string(&path).unwrap()),
            }
        }
    }

    #[test]
    fn every_code_with_a_hint_is_one_that_is_given() {
        let (root, mut text) = (Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap(), String::new());
        for folder in ["api/src", "src", "crates/core/src", "crates/gate/src", "crates/store/src"] {
            sources(&root.join(folder), &mut text);
        }
        for (code, _) in BY_CODE {
            assert!(text.contains(&format!("\"{code}\"")), "nothing is refused as {code}");
        }
    }

    #[test]
    fn every_status_has_a_hint() {
        for status in (400..600).filter_map(|status| StatusCode::from_u16(status).ok()) {
            assert!(!hint("unheard-of", status).is_empty(), "{status}");
        }
        assert!(hint("bad-limit", StatusCode::UNPROCESSABLE_ENTITY).contains("500"));
    }
}
