//! Proves what the store says of hosts, sessions, limits, kept output, figures and inventory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_core::cage::{CageReport, CageState};
use legator_core::health::Metrics;
use legator_core::ids::{HostId, InstanceId, PlanId, TaskId, TenantId, TokenId, TraceId};
use legator_core::level::Level;
use legator_core::span::Span;
use legator_store::hosts::{self, Newcomer};
use legator_store::inventory::{self, Taken};
use legator_store::outputs::{self, NewOutput, Output};
use legator_store::sessions::{self, Opening, SaidHello, Seen};
use legator_store::{Audited, Keeping, Op, Options, Store, StoreError, limits, metrics, sql};
use serde_json::json;
use std::collections::BTreeMap;

const TENANT: TenantId = TenantId::DEFAULT;
const TRACE: TraceId = TraceId::new(1);

async fn store() -> Store {
    Store::open(Options::memory([7; 32])).await.unwrap()
}

fn op() -> &'static Op {
    static OP: std::sync::LazyLock<Op> = std::sync::LazyLock::new(|| Op::system(TENANT, "test", TRACE));
    &OP
}

fn newcomer(number: u8) -> Newcomer {
    Newcomer {
        id: HostId::new(u128::from(number)),
        tenant: TENANT,
        key: hex::encode([number; 32]),
        token: TokenId::new(1),
        name: "web".to_owned(),
        hostname: "web".to_owned(),
        labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
        level: Level::Observe,
        clashes: vec![],
    }
}

async fn enrolled(store: &Store, number: u8) -> HostId {
    store.write::<_, StoreError, _>(op(), async |tx| hosts::enrol(tx, newcomer(number)).await).await.unwrap()
}

fn opening(host: HostId, instance: u128) -> Opening {
    let cage = CageReport { state: CageState::Full, missing: vec![] };
    let said = SaidHello {
        hostname: "web".to_owned(),
        version: "0.1.0".to_owned(),
        cage,
        max_level: Level::Remediate,
        limits_version: 3,
        running: vec![],
    };
    let (edge, instance) = (InstanceId::new(100), InstanceId::new(instance));
    Opening { host, tenant: TENANT, edge, instance, clock_ahead_ms: 5, said }
}

async fn begin(store: &Store, host: HostId, instance: u128) -> sessions::Begun {
    sessions::begin(store, &[opening(host, instance)], TRACE).await.unwrap().remove(0)
}

async fn events(store: &Store, kind: &str) -> usize {
    sql::all(store.reader(), "SELECT body FROM events WHERE kind = ?", vec![kind.into()]).await.unwrap().len()
}

#[tokio::test]
async fn a_host_is_found_by_its_key_and_a_second_one_of_the_name_is_another() {
    let store = store().await;
    let (first, second) = (enrolled(&store, 1).await, enrolled(&store, 2).await);
    let fleet = hosts::facts(&store, TENANT).await.unwrap();
    assert_eq!(fleet.iter().map(|row| row.id).collect::<Vec<_>>(), vec![first, second]);
    assert!(
        fleet.iter().all(|row| row.facts.status == "offline" && !row.connected && row.facts.cage == "none")
    );
    let found = hosts::by_key(&store, &hex::encode([2; 32])).await.unwrap();
    assert_eq!(found, Some((TENANT, second, TokenId::new(1))));
    let again = store.write::<_, StoreError, _>(op(), async |tx| {
        hosts::enrol(tx, Newcomer { id: HostId::new(9), ..newcomer(1) }).await
    });
    assert!(again.await.is_err(), "one key is one host");
    assert_eq!(events(&store, "host.enrolled").await, 2);
    assert!(hosts::facts(&store, TenantId::new(2)).await.unwrap().is_empty(), "another tenant sees none");
}

#[tokio::test]
async fn labels_levels_and_revocations_are_sealed_acts() {
    let store = store().await;
    let host = enrolled(&store, 1).await;
    assert_eq!(limits::version(&store, TENANT).await.unwrap(), 0);
    let labels = BTreeMap::from([("role".to_owned(), "db".to_owned())]);
    let changed = |row: Option<Audited<hosts::Host>>| row.ok_or(StoreError::Fenced("no host".into()));
    store.write(op(), async |tx| changed(hosts::set_labels(tx, host, labels.clone()).await?)).await.unwrap();
    store.write(op(), async |tx| changed(hosts::set_level(tx, host, Level::Remediate).await?)).await.unwrap();
    let row = hosts::find(&store, TENANT, host).await.unwrap().unwrap();
    assert_eq!((row.facts.labels, row.facts.level), (labels, Level::Remediate));
    assert_eq!(limits::version(&store, TENANT).await.unwrap(), 1);
    let ended = store.write::<_, StoreError, _>(op(), async |tx| {
        hosts::revoke(tx, host, Some("stolen".into())).await?.ok_or(StoreError::Fenced("no host".into()))
    });
    ended.await.unwrap();
    let row = hosts::find(&store, TENANT, host).await.unwrap().unwrap();
    assert_eq!((row.revoked, row.facts.status.as_str()), (true, "revoked"));
    assert_eq!(hosts::revoked(&store, Span::from_secs(60)).await.unwrap(), vec![host]);
    let gone = store.write::<_, StoreError, _>(op(), async |tx| {
        hosts::remove(tx, host, None).await?.ok_or(StoreError::Fenced("no host".into()))
    });
    gone.await.unwrap();
    assert!(hosts::facts(&store, TENANT).await.unwrap().is_empty());
    assert!(hosts::is_revoked(&store, TENANT, host).await.unwrap());
    let kinds = ["host.labelled", "host.level_set", "host.revoked", "host.removed"];
    for kind in kinds {
        assert_eq!(events(&store, kind).await, 1, "{kind}");
    }
}

#[tokio::test]
async fn epochs_rise_and_only_the_current_session_ends() {
    let store = store().await;
    let host = enrolled(&store, 1).await;
    let first = begin(&store, host, 1).await;
    assert_eq!((first.session.epoch, first.fenced), (1, None));
    let second = begin(&store, host, 2).await;
    assert_eq!((second.session.epoch, second.fenced), (2, Some((InstanceId::new(100), 1))));
    assert_eq!(sessions::end(&store, &[(TENANT, host, 1)]).await.unwrap(), 0, "the old one's bye");
    let row = hosts::find(&store, TENANT, host).await.unwrap().unwrap();
    assert_eq!(
        (row.connected, row.epoch, row.limits_version, row.facts.status.as_str()),
        (true, 2, 3, "online")
    );
    assert_eq!(sessions::end(&store, &[(TENANT, host, 2)]).await.unwrap(), 1);
    let row = hosts::find(&store, TENANT, host).await.unwrap().unwrap();
    assert_eq!((row.connected, row.edge, row.facts.status.as_str()), (false, None, "stale"));
    begin(&store, host, 2).await;
    assert_eq!(sessions::end_of_others(&store, &[InstanceId::new(100)]).await.unwrap(), 0);
    assert_eq!(sessions::end_of_others(&store, &[InstanceId::new(101)]).await.unwrap(), 1);
}

#[tokio::test]
async fn two_runs_that_take_turns_within_one_batch_are_told_once() {
    let store = store().await;
    let host = enrolled(&store, 1).await;
    let batch: Vec<Opening> =
        [1, 2, 1, 2, 1, 2].into_iter().map(|instance| opening(host, instance)).collect();
    let begun = sessions::begin(&store, &batch, TRACE).await.unwrap();
    assert!(begun.iter().all(|begun| begun.session.cloned_at.is_some()));
    assert_eq!(events(&store, "host.cloned").await, 1);
    assert!(begin(&store, host, 1).await.session.cloned_at.is_some());
    assert_eq!(events(&store, "host.cloned").await, 1);
}

#[tokio::test]
async fn two_runs_that_take_turns_are_held_back_once_told_and_cleared() {
    let store = store().await;
    let host = enrolled(&store, 1).await;
    for instance in [1, 2, 1, 2] {
        assert!(begin(&store, host, instance).await.session.cloned_at.is_none());
    }
    assert!(begin(&store, host, 1).await.session.cloned_at.is_some());
    assert!(begin(&store, host, 2).await.session.cloned_at.is_some(), "both are held back");
    assert!(!hosts::find(&store, TENANT, host).await.unwrap().unwrap().connected);
    assert_eq!(events(&store, "host.cloned").await, 1);
    let cleared = store.write::<_, StoreError, _>(op(), async |tx| {
        hosts::clear_clone(tx, host).await?.ok_or(StoreError::Fenced("no clone".into()))
    });
    cleared.await.unwrap();
    assert!(hosts::find(&store, TENANT, host).await.unwrap().unwrap().connected);
}

#[tokio::test]
async fn a_batch_makes_each_host_one_session() {
    let store = store().await;
    let (first, second) = (enrolled(&store, 1).await, enrolled(&store, 2).await);
    let batch = [opening(first, 1), opening(second, 1), opening(first, 2)];
    let begun = sessions::begin(&store, &batch, TRACE).await.unwrap();
    assert_eq!(begun.len(), 2);
    let epochs: Vec<u64> = begun.iter().map(|begun| begun.session.epoch).collect();
    assert_eq!(epochs, vec![1, 2], "the later hello of one host stands");
}

#[tokio::test]
async fn signs_of_life_move_the_current_session_and_figures_are_kept_a_day() {
    let store = store().await;
    let host = enrolled(&store, 1).await;
    begin(&store, host, 1).await;
    let now = store.clock().now();
    let seen = |epoch, at, cpus| {
        let metrics = Metrics { cpus, ..Metrics::default() };
        Seen { host, tenant: TENANT, epoch, at, clock_ahead_ms: -7, metrics }
    };
    let old = now - Span::from_secs(2 * 86_400);
    sessions::seen(&store, &[seen(1, now, 4), seen(9, now + Span::from_secs(999), 8)]).await.unwrap();
    sessions::seen(&store, &[seen(1, old, 2)]).await.unwrap();
    let session = hosts::find(&store, TENANT, host).await.unwrap().unwrap().session.unwrap();
    assert!(session.seen_at >= now, "time goes forward");
    let figures = metrics::of_host(&store, host, old).await.unwrap();
    assert_eq!(figures.len(), 3);
    assert!(metrics::prune(&store).await.unwrap() >= 1);
    assert_eq!(metrics::of_host(&store, host, old).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_inventory_that_is_not_newer_changes_nothing() {
    let store = store().await;
    let host = enrolled(&store, 1).await;
    let taken = |sequence, value: &str, gone: &[&str]| Taken {
        host,
        tenant: TENANT,
        sequence,
        changed: BTreeMap::from([("os".to_owned(), json!({"id": value}))]),
        gone: gone.iter().map(|name| (*name).to_owned()).collect(),
    };
    let take = async |taken: Taken| {
        store
            .keep::<_, StoreError, _>(Keeping::Inventory, async |tx| inventory::take(tx, &taken).await)
            .await
            .unwrap()
    };
    assert!(take(taken(5, "a", &[])).await);
    assert!(!take(taken(5, "b", &[])).await);
    assert!(!take(taken(4, "b", &[])).await);
    assert_eq!(inventory::part(&store, host, "os").await.unwrap().unwrap().value, json!({"id": "a"}));
    assert_eq!(inventory::sequence(&store, host).await.unwrap(), Some(5));
    let mut only_gone = taken(6, "a", &["os"]);
    only_gone.changed.clear();
    assert!(take(only_gone).await);
    assert!(inventory::parts(&store, host).await.unwrap().is_empty());
    let recorded = inventory::recorded(&store, TENANT, &[host]).await.unwrap();
    assert!(recorded[&host].metrics.is_none(), "nothing recorded is nothing, not well");
}

#[tokio::test]
async fn kept_output_comes_back_byte_for_byte() {
    let store = store().await;
    let new = |task: u128, stdout: &[u8]| NewOutput {
        task: TaskId::new(task),
        plan: PlanId::new(1),
        host: HostId::new(1),
        output: Output { stdout: stdout.to_vec(), stderr: vec![0xff, 0] },
    };
    let many: Vec<NewOutput> = (1..=1_200).map(|task| new(task, b"x")).collect();
    let put = async |outputs: Vec<NewOutput>| {
        store
            .keep::<_, StoreError, _>(Keeping::Outputs, async |tx| outputs::put(tx, outputs.clone()).await)
            .await
            .unwrap();
    };
    put(many).await;
    put(vec![new(7, b"replaced")]).await;
    let tasks: Vec<TaskId> = (1..=1_300).map(TaskId::new).collect();
    let kept = outputs::of_tasks(&store, &tasks).await.unwrap();
    assert_eq!(kept.len(), 1_200);
    assert_eq!(kept[&TaskId::new(7)], Output { stdout: b"replaced".to_vec(), stderr: vec![0xff, 0] });
}
