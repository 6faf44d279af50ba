//! Rows that give rights, changed by hand: nobody gets a right, no ban is lifted, an alarm tells of it.
//!
//! Proves each way twice: while the store runs, and found at the next start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_core::event::{About, Event, NewEvent};
use legator_core::ids::{TenantId, TraceId};
use legator_store::rights::{self, How};
use legator_store::{Audited, Kind, Op, Options, Sealed, Store, StoreError, sql};
use serde_json::{Value, json};
use std::path::Path;

const TENANT: TenantId = TenantId::DEFAULT;
const SEAL: [u8; 32] = [7; 32];

fn op() -> Op {
    Op::system(TENANT, "test", TraceId::new(7))
}

fn happened() -> NewEvent {
    NewEvent::new("thing.happened", About::nothing(), json!({}))
}

async fn put(store: &Store, kind: Kind, id: &str, content: Value) -> Result<(), StoreError> {
    store
        .write(&op(), async |tx| {
            tx.seal_put(kind, id, &content).await?;
            Ok(Audited::new((), happened()))
        })
        .await
}

async fn remove(store: &Store, kind: Kind, id: &str) {
    store
        .write(&op(), async |tx| {
            tx.seal_delete(kind, id).await?;
            Ok::<_, StoreError>(Audited::new((), happened()))
        })
        .await
        .unwrap();
}

/// A connection of somebody who has the file and no key.
async fn by_hand(path: &Path, statements: &[&str]) {
    let db = sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.unwrap();
    for statement in statements {
        let touched = sql::execute(&db, statement, vec![]).await.unwrap();
        assert!(touched > 0, "{statement}");
    }
    db.close().await.unwrap();
}

async fn open(path: &Path) -> Store {
    Store::open(Options::file(path, SEAL)).await.unwrap()
}

/// A tenant with a bit of everything, and the traces of what was taken back.
async fn prepared(path: &Path) -> Store {
    let store = open(path).await;
    put(&store, Kind::Person, "person_a", json!({"roles": ["admin"]})).await.unwrap();
    put(&store, Kind::Person, "person_v", json!({"roles": ["admin"]})).await.unwrap();
    let db = store.reader();
    sql::execute(db, "CREATE TABLE old AS SELECT * FROM sealed", vec![]).await.unwrap();
    put(&store, Kind::Person, "person_v", json!({"roles": ["viewer"]})).await.unwrap();
    put(&store, Kind::ApiKey, "key_gone", json!({"person": "person_a"})).await.unwrap();
    sql::execute(db, "INSERT INTO old SELECT * FROM sealed WHERE id = 'key_gone'", vec![]).await.unwrap();
    sql::execute(db, "CREATE TABLE old_rights AS SELECT * FROM rights", vec![]).await.unwrap();
    remove(&store, Kind::ApiKey, "key_gone").await;
    put(&store, Kind::ApiKey, "key_a", json!({"person": "person_a"})).await.unwrap();
    put(&store, Kind::Host, "host_a", json!({"level": "observe", "key": "aa"})).await.unwrap();
    put(&store, Kind::Policy, "1", json!({"text": "forbid"})).await.unwrap();
    put(&store, Kind::Approval, "plan_a/person_a", json!({"vote": "reject"})).await.unwrap();
    put(&store, Kind::Freeze, "freeze_a", json!({"selector": "all"})).await.unwrap();
    put(&store, Kind::Revocation, "host_b", json!({})).await.unwrap();
    store
}

struct Case {
    name: &'static str,
    statements: &'static [&'static str],
    kind: Kind,
    id: &'static str,
    how: How,
    /// At the start nothing of the row's former self may be known.
    how_at_start: How,
}

const fn case(
    name: &'static str,
    statements: &'static [&'static str],
    kind: Kind,
    id: &'static str,
    hows: [How; 2],
) -> Case {
    let [how, how_at_start] = hows;
    Case { name, statements, kind, id, how, how_at_start }
}

const CASES: &[Case] = &[
    case(
        "a person made admin",
        &["UPDATE sealed SET content = replace(content, 'viewer', 'admin') WHERE id = 'person_v'"],
        Kind::Person,
        "person_v",
        [How::Edited; 2],
    ),
    case(
        "a new person",
        &[
            "INSERT INTO sealed SELECT tenant, kind, 'person_x', version, content, key_id, mac FROM sealed WHERE id = 'person_a'",
        ],
        Kind::Person,
        "person_x",
        [How::Inserted, How::Edited],
    ),
    case(
        "a new key with a made-up seal",
        &[
            "INSERT INTO sealed VALUES ('tenant_00000000000000000000000000000001', 'api_key', 'key_x', 1, '{\"person\":\"person_a\"}', 'x', zeroblob(32))",
        ],
        Kind::ApiKey,
        "key_x",
        [How::Inserted, How::Edited],
    ),
    case(
        "a role rolled back",
        &["INSERT OR REPLACE INTO sealed SELECT * FROM old WHERE id = 'person_v'"],
        Kind::Person,
        "person_v",
        [How::RolledBack; 2],
    ),
    case(
        "a withdrawn key put back",
        &["INSERT INTO sealed SELECT * FROM old WHERE id = 'key_gone'"],
        Kind::ApiKey,
        "key_gone",
        [How::Inserted; 2],
    ),
    case(
        "a withdrawn key put back with the seal of its set",
        &[
            "INSERT INTO sealed SELECT * FROM old WHERE id = 'key_gone'",
            "INSERT OR REPLACE INTO rights SELECT * FROM old_rights",
        ],
        Kind::ApiKey,
        "key_gone",
        [How::Inserted; 2],
    ),
    case(
        "another key of a host",
        &["UPDATE sealed SET content = replace(content, 'aa', 'bb') WHERE id = 'host_a'"],
        Kind::Host,
        "host_a",
        [How::Edited; 2],
    ),
    case(
        "a host raised to remediate",
        &["UPDATE sealed SET content = replace(content, 'observe', 'remediate') WHERE id = 'host_a'"],
        Kind::Host,
        "host_a",
        [How::Edited; 2],
    ),
    case(
        "a looser policy",
        &["UPDATE sealed SET content = replace(content, 'forbid', 'permit') WHERE kind = 'policy'"],
        Kind::Policy,
        "1",
        [How::Edited; 2],
    ),
    case(
        "a forged approval",
        &["UPDATE sealed SET content = replace(content, 'reject', 'approve') WHERE kind = 'approval'"],
        Kind::Approval,
        "plan_a/person_a",
        [How::Edited; 2],
    ),
    case(
        "an approval copied to another plan",
        &[
            "INSERT INTO sealed SELECT tenant, kind, 'plan_b/person_a', version, content, key_id, mac FROM sealed WHERE kind = 'approval'",
        ],
        Kind::Approval,
        "plan_b/person_a",
        [How::Inserted, How::Edited],
    ),
    case(
        "a freeze deleted",
        &["DELETE FROM sealed WHERE kind = 'freeze'"],
        Kind::Freeze,
        "freeze_a",
        [How::Deleted; 2],
    ),
    case(
        "a freeze edited",
        &["UPDATE sealed SET content = '{\"selector\":\"none\"}' WHERE kind = 'freeze'"],
        Kind::Freeze,
        "freeze_a",
        [How::Edited; 2],
    ),
    case(
        "a revocation deleted",
        &["DELETE FROM sealed WHERE kind = 'revocation'"],
        Kind::Revocation,
        "host_b",
        [How::Deleted; 2],
    ),
    case(
        "a version raised",
        &["UPDATE sealed SET version = version + 100 WHERE id = 'key_a'"],
        Kind::ApiKey,
        "key_a",
        [How::Edited; 2],
    ),
    case(
        "a seal replaced by another row's",
        &["UPDATE sealed SET mac = (SELECT mac FROM sealed WHERE id = 'person_a') WHERE id = 'key_a'"],
        Kind::ApiKey,
        "key_a",
        [How::Edited; 2],
    ),
    case(
        "a seal of another type",
        &["UPDATE sealed SET mac = 'text', version = 'x' WHERE id = 'key_a'"],
        Kind::ApiKey,
        "key_a",
        [How::Edited; 2],
    ),
    case(
        "a key moved to another kind",
        &["UPDATE sealed SET kind = 'token' WHERE id = 'key_a'"],
        Kind::Token,
        "key_a",
        [How::Inserted, How::Edited],
    ),
];

async fn alarms(store: &Store) -> Vec<Value> {
    let rows =
        sql::all(store.reader(), "SELECT body FROM events WHERE kind = 'rights.broken' ORDER BY seq", vec![])
            .await
            .unwrap();
    let event = |row| serde_json::from_str::<Event>(&sql::column::<String>(row, 0).unwrap()).unwrap();
    rows.iter().map(|row| event(row).data).collect()
}

/// What everybody is promised about a row that was changed by hand.
async fn nothing_gained(store: &Store, case: &Case, how: How, running: bool) {
    let name = case.name;
    assert!(
        matches!(store.rights_whole(TENANT).await, Err(StoreError::RightsTampered { .. })),
        "{name}: not noticed"
    );
    let refused = put(store, Kind::Person, "person_n", json!({})).await;
    assert!(matches!(refused, Err(StoreError::RightsTampered { .. })), "{name}: granted");
    put(store, Kind::Freeze, "freeze_n", json!({}))
        .await
        .unwrap_or_else(|error| panic!("{name}: cannot forbid: {error}"));
    let row = store.seal_get::<Value>(TENANT, case.kind, case.id).await.unwrap();
    let text = serde_json::to_string(&row.clone().and_then(Sealed::grants)).unwrap();
    for gain in ["permit", "approve\"", "remediate", "bb"] {
        assert!(!text.contains(gain), "{name}: {text}");
    }
    if case.id == "person_v" {
        assert!(!text.contains("admin"), "{name}: {text}");
    }
    if matches!(case.how, How::Inserted) {
        assert_eq!(text, "null", "{name}");
    }
    if case.kind.forbids() {
        assert!(row.is_some(), "{name}: the ban is lifted");
    }
    let wanted = json!({ "row": case.kind.word(), "id": case.id, "how": how });
    let alarms = alarms(store).await;
    assert!(alarms.contains(&wanted), "{name} (running: {running}): {wanted} not in {alarms:?}");
}

#[tokio::test]
async fn a_row_changed_by_hand_gives_nobody_anything_and_alarms() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("legator.db");
        let store = prepared(&path).await;
        store.rights_whole(TENANT).await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        by_hand(&path, case.statements).await;
        nothing_gained(&store, case, case.how, true).await;
        let told = alarms(&store).await.len();
        rights::watch(&store).await.unwrap();
        assert_eq!(alarms(&store).await.len(), told, "{}: once", case.name);
        drop(store);
    }
    eprintln!("rights: {} changes by hand found while running", CASES.len());
}

#[tokio::test]
async fn the_same_is_found_at_the_next_start_and_ends_only_by_acceptance() {
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("legator.db");
        drop(prepared(&path).await);
        by_hand(&path, case.statements).await;
        let store = open(&path).await;
        nothing_gained(&store, case, case.how_at_start, false).await;
        drop(store);
        let store = open(&path).await;
        assert!(
            !rights::status(&store, TENANT).await.unwrap().whole,
            "{}: forgotten by a restart",
            case.name
        );
        let accepted = rights::accept(&store, &op()).await.unwrap();
        assert!(accepted.whole, "{}", case.name);
        store.rights_whole(TENANT).await.unwrap();
        put(&store, Kind::Person, "person_n", json!({})).await.unwrap();
        drop(store);
        let store = open(&path).await;
        let status = rights::status(&store, TENANT).await.unwrap();
        assert!(status.whole, "{}: {status:?}", case.name);
    }
    eprintln!("rights: {} changes by hand found at the start", CASES.len());
}

#[tokio::test]
async fn another_key_opens_nothing_and_an_older_one_still_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("legator.db");
    drop(prepared(&path).await);
    let wrong = Store::open(Options::file(&path, [8; 32])).await.unwrap();
    assert!(wrong.rights_whole(TENANT).await.is_err());
    assert_eq!(
        wrong.seal_get::<Value>(TENANT, Kind::Person, "person_a").await.unwrap(),
        Some(Sealed::Broken)
    );
    drop(wrong);
    let mut rotated = Options::file(&path, [9; 32]);
    rotated.older_seal_keys = vec![SEAL];
    let store = Store::open(rotated.clone()).await.unwrap();
    store.rights_whole(TENANT).await.unwrap();
    put(&store, Kind::Person, "person_new", json!({})).await.unwrap();
    drop(store);
    let store = Store::open(rotated).await.unwrap();
    assert!(rights::status(&store, TENANT).await.unwrap().whole);
    assert_eq!(rights::reseal(&store, &op()).await.unwrap(), 8, "all but the new one");
    assert_eq!(rights::reseal(&store, &op()).await.unwrap(), 0);
    drop(store);
    let store = Store::open(Options::file(&path, [9; 32])).await.unwrap();
    assert!(rights::status(&store, TENANT).await.unwrap().whole, "the older key is not needed any more");
    let row = store.seal_get::<Value>(TENANT, Kind::Approval, "plan_a/person_a").await.unwrap();
    assert_eq!(row.and_then(Sealed::grants), Some(json!({"vote": "reject"})));
}

#[tokio::test]
async fn another_process_with_the_key_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("legator.db");
    let first = prepared(&path).await;
    let second = open(&path).await;
    put(&second, Kind::Person, "person_second", json!({"n": 2})).await.unwrap();
    rights::watch(&first).await.unwrap();
    let seen = first.seal_get::<Value>(TENANT, Kind::Person, "person_second").await.unwrap();
    assert_eq!(seen.and_then(Sealed::grants), Some(json!({"n": 2})));
    put(&first, Kind::Person, "person_first", json!({})).await.unwrap();
    second.rights_whole(TENANT).await.unwrap();
    assert!(second.seal_get::<Value>(TENANT, Kind::Person, "person_first").await.unwrap().is_some());
}
