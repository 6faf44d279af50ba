//! The store over SQLite, in a file and in memory: acts, groups, the schema.
//!
//! Proves that an act and its event stand or fall together, also when many wait for each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_core::event::{About, Event, NewEvent};
use legator_core::ids::{TenantId, TraceId};
use legator_store::{Audited, Kind, Op, Options, Store, StoreError, sql};

fn op() -> Op {
    Op::system(TenantId::DEFAULT, "test", TraceId::new(7))
}

fn happened() -> NewEvent {
    NewEvent::new("thing.happened", About::nothing(), serde_json::json!({"n": 1}))
}

async fn both() -> Vec<(Store, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let file = Store::open(Options::file(folder.path().join("legator.db"), [1; 32])).await.unwrap();
    let memory = Store::open(Options::memory([1; 32])).await.unwrap();
    vec![(file, Some(folder)), (memory, None)]
}

async fn events(store: &Store) -> Vec<Event> {
    let rows = sql::all(store.reader(), "SELECT body FROM events ORDER BY seq", vec![]).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(&sql::column::<String>(row, 0).unwrap()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_and_its_event_stand_or_fall_together() {
    for (store, _folder) in both().await {
        let value: i32 = store
            .write(&op(), async |tx| {
                tx.execute("INSERT INTO meta VALUES ('a', '1')", vec![]).await?;
                Ok::<_, StoreError>(Audited::new(5, happened()).and(happened()))
            })
            .await
            .unwrap();
        assert_eq!(value, 5);
        let failed: Result<(), StoreError> = store
            .write(&op(), async |tx| {
                tx.execute("INSERT INTO meta VALUES ('b', '1')", vec![]).await?;
                Err(StoreError::Fenced("test".into()))
            })
            .await;
        assert!(failed.is_err());
        assert_eq!(legator_store::meta::get(&store, "a").await.unwrap().as_deref(), Some("1"));
        assert_eq!(legator_store::meta::get(&store, "b").await.unwrap(), None);
        let events = events(&store).await;
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].kind, "thing.happened");
        assert_ne!(events[0].id, events[1].id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_acts_at_once_are_all_durable_and_failures_take_nothing_with_them() {
    for (store, _folder) in both().await {
        let mut tasks = Vec::new();
        for n in 0..200u32 {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                let id = format!("person-{n}");
                let result: Result<u32, StoreError> = store
                    .write(&op(), async |tx| {
                        tx.seal_put(Kind::Person, &id, &n).await?;
                        if n % 5 == 0 {
                            return Err(StoreError::Fenced("test".into()));
                        }
                        Ok(Audited::new(n, happened()))
                    })
                    .await;
                if result.is_ok() {
                    let there = store.seal_get::<u32>(TenantId::DEFAULT, Kind::Person, &id).await.unwrap();
                    assert_eq!(there.and_then(legator_store::Sealed::grants), Some(n));
                }
                result.is_ok()
            }));
        }
        // Some callers go away in the middle.
        for n in (1..200).step_by(17) {
            tasks[n].abort();
        }
        let mut done = 0;
        for task in tasks {
            done += usize::from(task.await.unwrap_or(false));
        }
        // An act whose caller went away may still be under way: this one comes after all of them.
        store.write::<_, StoreError, _>(&op(), async |_| Ok(Audited::new((), happened()))).await.unwrap();
        let events = events(&store).await.len() - 1;
        assert!(done >= 140 && events >= done, "{done} {events}");
        let people = store.seal_list::<u32>(TenantId::DEFAULT, Kind::Person).await.unwrap();
        assert_eq!(people.len(), events);
        let status = legator_store::rights::status(&store, TenantId::DEFAULT).await.unwrap();
        assert!(status.whole, "{status:?}");
        assert_eq!(status.rows as usize, events);
    }
}

/// A caller that goes away at any moment, also between the commit and what follows it, leaves rows, events and rights in step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_takes_no_right_along() {
    const CALLERS: u64 = 400;
    for (store, _folder) in both().await {
        let mut kept = 0;
        for n in 0..CALLERS {
            let (ours, id) = (store.clone(), format!("person-{n}"));
            let act = tokio::spawn(async move {
                let act = async |tx: &legator_store::Tx| {
                    tx.seal_put(Kind::Person, &id, &n).await?;
                    Ok(Audited::new((), happened()))
                };
                ours.write::<_, StoreError, _>(&op(), act).await
            });
            tokio::time::sleep(std::time::Duration::from_micros(n * 5)).await;
            act.abort();
            kept += u64::from(act.await.is_ok());
        }
        store.write::<_, StoreError, _>(&op(), async |_| Ok(Audited::new((), happened()))).await.unwrap();
        let events = events(&store).await.len() - 1;
        let people = store.seal_list::<u64>(TenantId::DEFAULT, Kind::Person).await.unwrap();
        eprintln!("callers gone: {} of {CALLERS}, {events} acts durable", CALLERS - kept);
        assert_eq!(people.len(), events);
        let status = legator_store::rights::status(&store, TenantId::DEFAULT).await.unwrap();
        assert!(status.whole && status.rows as usize == events, "{status:?} {events}");
    }
}

#[tokio::test]
async fn a_newer_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("legator.db");
    let store = Store::open(Options::file(&path, [1; 32])).await.unwrap();
    store
        .keep(legator_store::Keeping::Meta, async |tx| {
            tx.execute(
                "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)",
                vec![],
            )
            .await
        })
        .await
        .unwrap();
    drop(store);
    let refused = Store::open(Options::file(&path, [1; 32])).await.err().unwrap();
    assert!(matches!(&refused, StoreError::Newer { step } if step == "m9999_future"), "{refused}");
}

#[tokio::test]
async fn bookkeeping_cannot_seal() {
    let store = Store::open(Options::memory([1; 32])).await.unwrap();
    let result = store
        .keep(legator_store::Keeping::Meta, async |tx| tx.seal_put(Kind::Person, "person_x", &1).await)
        .await;
    assert!(matches!(result, Err(StoreError::Unaudited)));
}
