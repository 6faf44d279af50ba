//! Leases, idempotency keys and the chain over SQLite, in a file and in memory.
//!
//! Proves that a job has one holder, a key one answer, and an event one number.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_core::audit;
use legator_core::clock::Clock;
use legator_core::digest::Digest;
use legator_core::event::{About, NewEvent};
use legator_core::ids::{InstanceId, PersonId, TenantId, TraceId};
use legator_core::merkle::{self, Tree};
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_store::chain::{self, Query};
use legator_store::idempotency::{self, Begun, Key};
use legator_store::{Audited, Op, Options, Place, Store, StoreError, leases};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Stage {
    store: Store,
    clock: Arc<Hand>,
    _folder: tempfile::TempDir,
}

async fn stages() -> Vec<Stage> {
    let mut stages = Vec::new();
    for in_memory in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000_000)));
        let mut options = Options::memory([1; 32]);
        if !in_memory {
            options.place = Place::File(folder.path().join("legator.db"));
        }
        options.clock = clock.clone();
        stages.push(Stage { store: Store::open(options).await.unwrap(), clock, _folder: folder });
    }
    stages
}

impl Stage {
    fn pass(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_lease_has_one_holder_and_its_fence_rises_with_each_change() {
    let (a, b) = (InstanceId::new(1), InstanceId::new(2));
    let long = Span::from_secs(5);
    for stage in stages().await {
        let store = &stage.store;
        let first = leases::take(store, "job", a, long).await.unwrap().unwrap();
        assert_eq!(first.fence, 1);
        assert_eq!(leases::take(store, "job", b, long).await.unwrap(), None);
        assert_eq!(leases::take(store, "job", a, long).await.unwrap().unwrap().fence, 1, "kept");
        stage.pass(5001);
        let second = leases::take(store, "job", b, long).await.unwrap().unwrap();
        assert_eq!(second.fence, 2);
        leases::give_back(store, &first).await.unwrap();
        assert_eq!(
            leases::take(store, "job", a, long).await.unwrap(),
            None,
            "an old holder gives nothing back"
        );
        leases::give_back(store, &second).await.unwrap();
        assert_eq!(leases::take(store, "job", a, long).await.unwrap().unwrap().fence, 3);
    }
}

#[tokio::test]
async fn a_key_has_one_answer_for_one_person_route_and_request() {
    let key = |person, route: &str| Key {
        tenant: TenantId::DEFAULT,
        person: PersonId::new(person),
        route: route.into(),
        key: "k".into(),
    };
    let (body, other) = (Digest::of(b"body"), Digest::of(b"other"));
    for stage in stages().await {
        let store = &stage.store;
        let mine = key(1, "POST /plans");
        assert_eq!(idempotency::begin(store, &mine, &body).await.unwrap(), Begun::New);
        assert_eq!(idempotency::begin(store, &mine, &body).await.unwrap(), Begun::Running);
        idempotency::finish(store, &mine, 201, "{}").await.unwrap();
        let answered = Begun::Answered { status: 201, answer: "{}".into() };
        assert_eq!(idempotency::begin(store, &mine, &body).await.unwrap(), answered);
        assert_eq!(idempotency::begin(store, &mine, &other).await.unwrap(), Begun::Other);
        assert_eq!(idempotency::begin(store, &key(2, "POST /plans"), &body).await.unwrap(), Begun::New);
        assert_eq!(idempotency::begin(store, &key(1, "POST /chats"), &other).await.unwrap(), Begun::New);
        idempotency::abandon(store, &mine).await.unwrap();
        assert_eq!(
            idempotency::begin(store, &mine, &body).await.unwrap(),
            answered,
            "an answer is not taken back"
        );
        idempotency::abandon(store, &key(2, "POST /plans")).await.unwrap();
        assert_eq!(idempotency::begin(store, &key(2, "POST /plans"), &other).await.unwrap(), Begun::New);
        stage.pass(86_400_001);
        assert_eq!(idempotency::begin(store, &mine, &other).await.unwrap(), Begun::New, "a day later");
    }
}

async fn acts(store: &Store, tenant: TenantId, count: usize) {
    let op = Op::system(tenant, "test", TraceId::new(1));
    let event = || NewEvent::new("thing.happened", About::nothing(), serde_json::json!({}));
    for _ in 0..count {
        store.write(&op, async |_| Ok::<_, StoreError>(Audited::new((), event()))).await.unwrap();
    }
}

/// The leaves of a tenant's log, made from what is read; its numbers must have no gap.
async fn leaves(store: &Store, tenant: TenantId) -> Vec<Digest> {
    let mut leaves: Vec<Digest> = Vec::new();
    loop {
        let query = Query { after: leaves.len() as u64, limit: 7, ..Query::default() };
        let events = chain::read(store, tenant, &query).await.unwrap();
        if events.is_empty() {
            return leaves;
        }
        for event in events {
            assert_eq!(event.number, leaves.len() as u64 + 1);
            leaves.push(audit::leaf(event.number, tenant, &event.event));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_of_acts_and_numbering_gives_one_log_with_proofs(
        steps in proptest::collection::vec((0usize..3, 0usize..9), 1..12), older in 1u64..60, number in 1u64..60,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(Options::memory([1; 32])).await.unwrap();
            let lease = leases::take(&store, "notary", InstanceId::new(1), Span::from_secs(600)).await.unwrap().unwrap();
            for (what, count) in steps {
                match what {
                    0 => { chain::number(&store, &lease).await.unwrap(); }
                    tenant => acts(&store, TenantId::new(tenant as u128), count).await,
                }
            }
            chain::number(&store, &lease).await.unwrap();
            prop_assert!(!chain::waiting(&store).await.unwrap());
            for tenant in [1, 2].map(TenantId::new) {
                let leaves = leaves(&store, tenant).await;
                let size = chain::newest(&store, tenant).await.unwrap();
                prop_assert_eq!(size, leaves.len() as u64);
                let tree = Tree { size, root: merkle::root(&leaves) };
                prop_assert_eq!(chain::root(&store, tenant, size).await.unwrap(), Some(tree.root));
                let proof = chain::inclusion(&store, tenant, number, size).await.unwrap();
                prop_assert_eq!(proof.is_some(), number <= size);
                if let Some(proof) = proof {
                    let leaf = &leaves[usize::try_from(number).unwrap() - 1];
                    prop_assert!(merkle::included(leaf, number - 1, size, &proof, &tree.root));
                }
                if let Some(proof) = chain::consistency(&store, tenant, older, size).await.unwrap() {
                    let root = merkle::root(&leaves[..usize::try_from(older).unwrap()]);
                    let beginning = Tree { size: older, root };
                    prop_assert!(merkle::consistent(&beginning, &tree, &proof));
                }
            }
            Ok(())
        })?;
    }
}
