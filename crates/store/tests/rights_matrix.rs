//! Every kind of sealed row × every way to change it by hand: no right, no ban lifted, an alarm for each.
//!
//! Each case has a tenant of its own in one database. Proves each while the store runs, and found at the next start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_core::event::{About, NewEvent};
use legator_core::ids::{TenantId, TraceId};
use legator_store::{Audited, Kind, Op, Options, Sealed, Store, StoreError, sql};
use serde_json::{Value, json};
use std::path::Path;

/// What no row may say after it was changed by hand.
const GAIN: &str = "all-power";

const WAYS: [&str; 6] =
    ["edited", "deleted", "rolled back", "from another tenant", "under another id", "made up"];

struct Case {
    kind: Kind,
    way: &'static str,
    tenant: TenantId,
    donor: TenantId,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (row, kind) in Kind::ALL.into_iter().enumerate() {
        for (place, way) in WAYS.into_iter().enumerate() {
            let tenant = TenantId::new(1_000 + (row * WAYS.len() + place) as u128);
            cases.push(Case { kind, way, tenant, donor: TenantId::new(9_000 + row as u128) });
        }
    }
    cases
}

async fn put(store: &Store, tenant: TenantId, rows: &[(Kind, &str, &str)]) {
    let op = Op::system(tenant, "test", TraceId::new(7));
    let written = store.write(&op, async |tx| {
        for (kind, id, says) in rows {
            tx.seal_put(*kind, id, &json!({ "says": says })).await?;
        }
        Ok::<_, StoreError>(Audited::new((), NewEvent::new("thing.happened", About::nothing(), json!({}))))
    });
    written.await.unwrap();
}

/// Each tenant has one row that once said more, and each kind a tenant whose row says everything.
async fn prepared(path: &Path, cases: &[Case]) -> Store {
    let store = Store::open(Options::file(path, [7; 32])).await.unwrap();
    for case in cases {
        put(&store, case.tenant, &[(case.kind, "row", GAIN), (Kind::Person, "beside", "nothing")]).await;
    }
    for kind in Kind::ALL {
        let donor = cases.iter().find(|case| case.kind == kind).unwrap().donor;
        put(&store, donor, &[(kind, "donated", GAIN)]).await;
    }
    sql::execute(store.reader(), "CREATE TABLE old AS SELECT * FROM sealed", vec![]).await.unwrap();
    for case in cases {
        put(&store, case.tenant, &[(case.kind, "row", "little")]).await;
    }
    store
}

impl Case {
    fn id(&self) -> &'static str {
        match self.way {
            "edited" | "deleted" | "rolled back" => "row",
            "from another tenant" => "donated",
            _ => "other",
        }
    }

    fn statements(&self) -> Vec<String> {
        let (tenant, kind, donor) = (self.tenant, self.kind.word(), self.donor);
        let own = format!("tenant = '{tenant}' AND kind = '{kind}' AND id = 'row'");
        match self.way {
            "edited" => {
                vec![format!("UPDATE sealed SET content = replace(content, 'little', '{GAIN}') WHERE {own}")]
            }
            "deleted" => vec![format!("DELETE FROM sealed WHERE {own}")],
            "rolled back" => vec![
                format!("DELETE FROM sealed WHERE {own}"),
                format!("INSERT INTO sealed SELECT * FROM old WHERE {own}"),
            ],
            "from another tenant" => vec![format!(
                "INSERT INTO sealed SELECT '{tenant}', kind, id, version, content, key_id, mac FROM sealed \
                 WHERE tenant = '{donor}' AND kind = '{kind}' AND id = 'donated'"
            )],
            "under another id" => vec![format!(
                "INSERT INTO sealed SELECT tenant, kind, 'other', version, content, key_id, mac FROM old WHERE {own}"
            )],
            _ => vec![format!(
                "INSERT INTO sealed (tenant, kind, id, version, content, key_id, mac) SELECT '{tenant}', '{kind}', 'other', 99, \
                 '{{\"says\":\"{GAIN}\"}}', key_id, zeroblob(32) FROM sealed WHERE {own}"
            )],
        }
    }
}

async fn by_hand(path: &Path, cases: &[Case]) {
    let db = sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.unwrap();
    for case in cases {
        for statement in case.statements() {
            let touched = sql::execute(&db, &statement, vec![]).await.unwrap();
            assert_eq!(touched, 1, "{statement}");
        }
    }
    db.close().await.unwrap();
}

async fn alarms(store: &Store, tenant: TenantId) -> usize {
    let text = "SELECT body FROM events WHERE kind = 'rights.broken' AND tenant = ?";
    sql::all(store.reader(), text, vec![tenant.to_string().into()]).await.unwrap().len()
}

async fn nothing_gained(store: &Store, cases: &[Case]) {
    for case in cases {
        let (name, tenant) = (format!("{} {}", case.kind.word(), case.way), case.tenant);
        let whole = store.rights_whole(tenant).await;
        assert!(matches!(whole, Err(StoreError::RightsTampered { .. })), "{name}: not noticed");
        let row = store.seal_get::<Value>(tenant, case.kind, case.id()).await.unwrap();
        let says = serde_json::to_string(&row.clone().and_then(Sealed::grants)).unwrap();
        assert!(!says.contains(GAIN), "{name}: {says}");
        if case.kind.forbids() && case.id() == "row" {
            assert!(row.is_some(), "{name}: the ban is lifted");
        }
        assert!(alarms(store, tenant).await >= 1, "{name}: no alarm");
    }
    let donor = cases[0].donor;
    store.rights_whole(donor).await.expect("a tenant that nobody touched is whole");
    assert_eq!(alarms(store, donor).await, 0);
}

#[tokio::test]
async fn every_kind_changed_in_every_way_gives_nothing_while_the_store_runs() {
    let (folder, cases) = (tempfile::tempdir().unwrap(), cases());
    let path = folder.path().join("legator.db");
    let store = prepared(&path, &cases).await;
    for case in &cases {
        store.rights_whole(case.tenant).await.expect("whole before");
    }
    by_hand(&path, &cases).await;
    nothing_gained(&store, &cases).await;
    eprintln!(
        "rights: {} kinds in {} ways, {} cases while running",
        Kind::ALL.len(),
        WAYS.len(),
        cases.len()
    );
}

#[tokio::test]
async fn every_kind_changed_in_every_way_is_found_at_the_start() {
    let (folder, cases) = (tempfile::tempdir().unwrap(), cases());
    let path = folder.path().join("legator.db");
    prepared(&path, &cases).await.close().await.unwrap();
    by_hand(&path, &cases).await;
    let store = Store::open(Options::file(&path, [7; 32])).await.unwrap();
    nothing_gained(&store, &cases).await;
    eprintln!("rights: {} cases at the start", cases.len());
}
