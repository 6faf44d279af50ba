//! What reads a caller's bytes before any right is known, as pure functions: what a fuzzer and its replay drive.
//!
//! Owns nothing new: each is the reader that requests go through. Never sees a store.

use crate::page::{self, List};
use crate::{routes, strict};
use legator_core::ids::TenantId;
use serde_json::{Map, Value};

/// The place that a cursor names, if it was made under this key for this list of this tenant.
pub fn cursor_place(key: &[u8; 32], list: (&'static str, TenantId), cursor: &str) -> Option<String> {
    page::read(key, List { name: list.0, tenant: list.1 }, cursor).ok()
}

/// The cursor of a place.
pub fn cursor_of(key: &[u8; 32], list: (&'static str, TenantId), place: &str) -> String {
    page::written(key, List { name: list.0, tenant: list.1 }, place)
}

/// The body of a request.
pub fn body(bytes: &[u8]) -> Option<Map<String, Value>> {
    strict::read(bytes).ok()
}

/// The filter that a query of `/api/v1/events` is, as text.
pub fn events_filter(query: &str) -> Option<String> {
    routes::events::filter(query)
}
