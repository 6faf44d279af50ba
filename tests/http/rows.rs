//! What each route needs, written down by hand and apart from the code: the table that the routes are held against.

use super::world::{Own, Who};
use serde_json::{Value, json};

/// Who gets through.
#[derive(Clone, Copy)]
pub enum Needs {
    /// Whoever comes.
    Nothing,
    /// Whoever has a key that counts.
    AKey,
    /// Only these.
    Roles(&'static [Who]),
}

use Needs::{AKey, Nothing, Roles};
use Who::{Admin, Approver, Auditor, Operator, Viewer};

const READERS: Needs = Roles(&[Viewer, Operator, Approver, Admin, Auditor]);
const ASKERS: Needs = Roles(&[Operator, Admin]);
const DECIDERS: Needs = Roles(&[Approver, Admin]);
const ADMINS: Needs = Roles(&[Admin]);
const AUDITORS: Needs = Roles(&[Admin, Auditor]);

/// One route: what it needs, how to call it, and what those who get through are answered.
pub struct Row {
    pub route: &'static str,
    pub needs: Needs,
    pub path: String,
    pub body: Option<Value>,
    pub good: &'static [u16],
}

fn row(route: &'static str, needs: Needs, path: impl Into<String>, good: &'static [u16]) -> Row {
    Row { route, needs, path: path.into(), body: None, good }
}

fn send(
    route: &'static str,
    needs: Needs,
    path: impl Into<String>,
    body: Value,
    good: &'static [u16],
) -> Row {
    Row { body: Some(body), ..row(route, needs, path, good) }
}

/// An id of this kind that names nothing.
fn none(kind: &str) -> String {
    format!("{kind}_{:032x}", 0xdead_u32)
}

/// All rows. What would destroy something names something that is not there: its right is checked before.
pub fn rows(own: &Own) -> Vec<Row> {
    let mut rows = server();
    rows.extend(people(own));
    rows.extend(work(own));
    rows.extend(decisions(own));
    rows
}

fn api(path: &str) -> String {
    format!("/api/v1/{path}")
}

/// Hosts, verbs, plans and tasks.
fn work(own: &Own) -> Vec<Row> {
    let host = api(&format!("hosts/{}", own.host));
    let plan = api(&format!("plans/{}", own.plan));
    let selector = format!("id={}", own.host);
    vec![
        row("GET /api/v1/hosts", READERS, api("hosts"), &[200]),
        row("GET /api/v1/hosts/{id}", READERS, &host, &[200]),
        send("PATCH /api/v1/hosts/{id}", ADMINS, &host, json!({"labels": {"env": "prod"}}), &[200]),
        row("DELETE /api/v1/hosts/{id}", ADMINS, api(&format!("hosts/{}", none("host"))), &[404]),
        row("POST /api/v1/hosts/{id}/revoke", ADMINS, api(&format!("hosts/{}/revoke", none("host"))), &[404]),
        row("POST /api/v1/hosts/{id}/clear-clone", ADMINS, format!("{host}/clear-clone"), &[409]),
        row("GET /api/v1/hosts/{id}/inventory", READERS, format!("{host}/inventory"), &[200]),
        row("GET /api/v1/hosts/{id}/inventory/{part}", READERS, format!("{host}/inventory/os"), &[200, 404]),
        row("GET /api/v1/hosts/{id}/activity", READERS, format!("{host}/activity"), &[200]),
        row("GET /api/v1/hosts/{id}/metrics", READERS, format!("{host}/metrics"), &[200]),
        row("GET /api/v1/fleet", READERS, api("fleet"), &[200]),
        row("GET /api/v1/verbs", READERS, api("verbs"), &[200]),
        send(
            "POST /api/v1/plans",
            ASKERS,
            api("plans"),
            json!({"verb": "service.restart", "args": {"name": "cron"}, "selector": selector}),
            &[201],
        ),
        row("GET /api/v1/plans", READERS, api("plans"), &[200]),
        row("GET /api/v1/plans/{id}", READERS, &plan, &[200]),
        row("GET /api/v1/plans/{id}/bytes", READERS, format!("{plan}/bytes"), &[200]),
        row("GET /api/v1/plans/{id}/why", READERS, format!("{plan}/why"), &[200]),
        row("GET /api/v1/plans/{id}/stream", READERS, format!("{plan}/stream"), &[200]),
        row(
            "POST /api/v1/plans/{id}/cancel",
            Roles(&[Viewer, Operator, Approver, Admin, Auditor]),
            api(&format!("plans/{}/cancel", none("plan"))),
            &[404],
        ),
        row("POST /api/v1/plans/{id}/undo", ASKERS, format!("{plan}/undo"), &[409, 422]),
        row("GET /api/v1/tasks/{id}", READERS, api(&format!("tasks/{}", own.task)), &[200]),
    ]
}

/// Approvals, policies, freezes, the audit log and chats.
fn decisions(own: &Own) -> Vec<Row> {
    let chat = api(&format!("chats/{}", own.chat));
    let selector = format!("id={}", own.host);
    let digest = format!("sha256:{}", "0".repeat(64));
    vec![
        send(
            "POST /api/v1/approvals",
            DECIDERS,
            api("approvals"),
            json!({"plan": own.plan, "digest": digest, "decision": "approve"}),
            &[409],
        ),
        row("GET /api/v1/approvals", READERS, api("approvals"), &[200]),
        row("DELETE /api/v1/approvals/{plan}", DECIDERS, api(&format!("approvals/{}", none("plan"))), &[404]),
        row("GET /api/v1/policies", READERS, api("policies"), &[200]),
        row("GET /api/v1/policies/{version}", READERS, api("policies/0"), &[200]),
        send("POST /api/v1/policies", ADMINS, api("policies"), json!({"text": "no policy"}), &[422]),
        row("POST /api/v1/policies/{version}/activate", ADMINS, api("policies/999/activate"), &[404]),
        send(
            "POST /api/v1/policies/simulate",
            READERS,
            api("policies/simulate"),
            json!({"verb": "host.facts", "selector": selector}),
            &[200],
        ),
        send(
            "POST /api/v1/freezes",
            ADMINS,
            api("freezes"),
            json!({"selector": "*", "until": "2000-01-01T00:00:00Z", "reason": "x"}),
            &[422],
        ),
        row("GET /api/v1/freezes", READERS, api("freezes"), &[200]),
        row("DELETE /api/v1/freezes/{id}", ADMINS, api(&format!("freezes/{}", none("freeze"))), &[404]),
        row("GET /api/v1/events", AUDITORS, api("events"), &[200]),
        row("GET /api/v1/events/stream", AUDITORS, api("events/stream"), &[200]),
        row("GET /api/v1/audit/checkpoint", AUDITORS, api("audit/checkpoint"), &[200]),
        row(
            "GET /api/v1/audit/proof/inclusion",
            AUDITORS,
            api("audit/proof/inclusion?number=1&size=1"),
            &[200],
        ),
        row(
            "GET /api/v1/audit/proof/consistency",
            AUDITORS,
            api("audit/proof/consistency?older=1&newer=2"),
            &[200],
        ),
        row("GET /api/v1/audit/export", AUDITORS, api("audit/export"), &[200]),
        row("GET /api/v1/audit/keys", AUDITORS, api("audit/keys"), &[200]),
        send("POST /api/v1/chats", READERS, api("chats"), json!({"host": own.host}), &[200, 201]),
        row("GET /api/v1/chats", READERS, api("chats"), &[200]),
        row("GET /api/v1/chats/{id}", READERS, &chat, &[200]),
        row("GET /api/v1/chats/{id}/stream", READERS, format!("{chat}/stream"), &[200]),
        send(
            "POST /api/v1/chats/{id}/turns",
            READERS,
            format!("{chat}/turns"),
            json!({"text": "hello"}),
            &[503],
        ),
    ]
}

fn server() -> Vec<Row> {
    let envelope = json!({"payloadType": "x", "payload": "", "signatures": []});
    vec![
        row("GET /healthz", Nothing, "/healthz", &[200]),
        row("GET /readyz", Nothing, "/readyz", &[200]),
        row("GET /metrics", Nothing, "/metrics", &[200]),
        row("GET /version", Nothing, "/version", &[200]),
        send("POST /api/v1/enrol", Nothing, "/api/v1/enrol", envelope.clone(), &[401, 422]),
        send("POST /api/v1/renew", Nothing, "/api/v1/renew", envelope, &[401, 422]),
    ]
}

fn people(own: &Own) -> Vec<Row> {
    let api = |path: &str| format!("/api/v1/{path}");
    let person = api(&format!("persons/{}", own.person));
    vec![
        row("GET /api/v1/me", AKey, api("me"), &[200]),
        row("POST /api/v1/tokens", ADMINS, api("tokens"), &[201]),
        row("GET /api/v1/tokens", ADMINS, api("tokens"), &[200]),
        row("DELETE /api/v1/tokens/{id}", ADMINS, api(&format!("tokens/{}", none("token"))), &[404]),
        send(
            "POST /api/v1/persons",
            ADMINS,
            api("persons"),
            json!({"name": "eve", "roles": ["viewer"]}),
            &[201],
        ),
        row("GET /api/v1/persons", ADMINS, api("persons"), &[200]),
        row("GET /api/v1/persons/{id}", ADMINS, &person, &[200]),
        send("PATCH /api/v1/persons/{id}", ADMINS, &person, json!({"name": "vera"}), &[200]),
        row("DELETE /api/v1/persons/{id}", ADMINS, api(&format!("persons/{}", none("person"))), &[404]),
        send(
            "POST /api/v1/persons/{id}/approver-keys",
            ADMINS,
            format!("{person}/approver-keys"),
            json!({"key": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}),
            &[201],
        ),
        row("GET /api/v1/persons/{id}/approver-keys", ADMINS, format!("{person}/approver-keys"), &[200]),
        row(
            "DELETE /api/v1/approver-keys/{fingerprint}",
            AKey,
            api(&format!("approver-keys/sha256:{}", "0".repeat(64))),
            &[404],
        ),
        send("POST /api/v1/keys", ADMINS, api("keys"), json!({"person": own.person}), &[201]),
        row("GET /api/v1/keys", AKey, api("keys"), &[200]),
        row("DELETE /api/v1/keys/{id}", AKey, api(&format!("keys/{}", none("key"))), &[404]),
        send("POST /api/v1/tenants", ADMINS, api("tenants"), json!({"name": ""}), &[422]),
        row("GET /api/v1/tenants", ADMINS, api("tenants"), &[200]),
        row("GET /api/v1/rights", ADMINS, api("rights"), &[200]),
        send("POST /api/v1/rights/accept", ADMINS, api("rights/accept"), json!({"reason": ""}), &[422]),
    ]
}
