//! The notary over a real store: numbers without gaps, checkpoints that continue, exports that verify offline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use legator_core::audit::{Broken, End, Line, Report};
use legator_core::merkle;
use legator_store::chain::Query;
use legator_store::system::RandomIds;
use legator_store::{Options, sql};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

const TENANTS: [TenantId; 2] = [TenantId::DEFAULT, TenantId::new(2)];

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Stage {
    desk: Desk,
    clock: Arc<Hand>,
}

async fn stage(path: &Path) -> Stage {
    let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000_000)));
    let mut options = Options::file(path, [1; 32]);
    options.clock = clock.clone();
    let desk = Desk {
        store: Store::open(options).await.unwrap(),
        bus: Bus::in_process(),
        authority: Arc::new(AuthorityKey::from_secret(&[1; 32])),
        checkpoint: Arc::new(CheckpointKey::from_secret(&[2; 32])),
        installation: "here".into(),
        clock: clock.clone(),
        ids: Arc::new(RandomIds),
    };
    Stage { desk, clock }
}

impl Stage {
    fn pass(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }

    async fn acts(&self, tenant: TenantId, count: usize) {
        let event =
            || NewEvent::new("thing.happened", About::nothing(), serde_json::json!({ "text": "ü\u{0}\"\\" }));
        let rest = (1..count).map(|_| event()).collect();
        let op = Op::system(tenant, "test", TraceId::new(1));
        self.desk
            .store
            .write(&op, async |_| Ok::<_, StoreError>(Audited::many((), event(), rest)))
            .await
            .unwrap();
    }

    async fn export(&self, tenant: TenantId) -> Vec<String> {
        let store = &self.desk.store;
        let mut lines: Vec<Line> = chain::export_head(store, "here", tenant).await.unwrap();
        let mut after = 0;
        while let Some((page, last)) = chain::export_page(store, tenant, after).await.unwrap() {
            lines.extend(page);
            after = last;
        }
        lines.iter().map(Line::to_json).collect()
    }

    async fn verify(&self, tenant: TenantId, since: Option<String>) -> Result<Report, Broken> {
        let lines = self.export(tenant).await;
        let pin = self.desk.authority.public().fingerprint();
        checkpoint::verify(lines.iter().map(String::as_str), pin, since)
    }

    async fn note(&self, tenant: TenantId) -> String {
        chain::checkpoint(&self.desk.store, tenant, None).await.unwrap().unwrap().note
    }

    /// Exchanges a digit of the tree's right edge.
    async fn forge_head(&self) {
        let row =
            sql::one(self.desk.store.reader(), "SELECT frontier FROM chain_heads", vec![]).await.unwrap();
        let text: String = sql::column(&row.unwrap(), 0).unwrap();
        let place = text.find("sha256:").unwrap() + 7;
        let digit = if text[place..].starts_with('0') { "1" } else { "0" };
        let forged = format!("{}{digit}{}", &text[..place], &text[place + 1..]);
        self.by_hand(&format!("UPDATE chain_heads SET frontier = '{forged}'")).await;
    }

    async fn by_hand(&self, statement: &str) {
        let touched = sql::execute(self.desk.store.reader(), statement, vec![]).await.unwrap();
        assert!(touched > 0, "{statement}");
    }
}

/// Rounds until nothing is left; a signature at the end.
async fn settle(stage: &Stage, notary: &mut Notary) {
    while notary.tick().await.unwrap().more {}
    stage.pass(1000);
    notary.tick().await.unwrap();
}

#[tokio::test]
async fn events_of_two_tenants_are_numbered_without_gaps_and_every_proof_holds() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(&folder.path().join("legator.db")).await;
    let mut notary = Notary::new(stage.desk.clone());
    let mut first = None;
    for round in 0..7 {
        stage.acts(TENANTS[0], 100 + round).await;
        stage.acts(TENANTS[1], 3).await;
        settle(&stage, &mut notary).await;
        if round == 2 {
            first = Some(stage.note(TENANTS[0]).await);
        }
    }
    let store = &stage.desk.store;
    assert_eq!(chain::newest(store, TENANTS[0]).await.unwrap(), 721);
    assert_eq!(chain::newest(store, TENANTS[1]).await.unwrap(), 21);
    let mut leaves = Vec::new();
    while let Some(after) = Some(leaves.len() as u64).filter(|after| *after < 721) {
        let query = Query { after, limit: 500, ..Query::default() };
        for event in chain::read(store, TENANTS[0], &query).await.unwrap() {
            assert_eq!(event.number, leaves.len() as u64 + 1);
            leaves.push(legator_core::audit::leaf(event.number, TENANTS[0], &event.event));
        }
    }
    let root = merkle::root(&leaves);
    let mut proofs = 0;
    for number in [1, 2, 255, 256, 257, 511, 512, 513, 700, 721u64] {
        let proof = chain::inclusion(store, TENANTS[0], number, 721).await.unwrap().unwrap();
        let leaf = &leaves[usize::try_from(number).unwrap() - 1];
        assert!(merkle::included(leaf, number - 1, 721, &proof, &root), "{number}");
        let proof = chain::consistency(store, TENANTS[0], number, 721).await.unwrap();
        let older =
            merkle::Tree { size: number, root: merkle::root(&leaves[..usize::try_from(number).unwrap()]) };
        assert!(merkle::consistent(&older, &merkle::Tree { size: 721, root }, &proof.unwrap()), "{number}");
        proofs += 2;
    }
    assert_eq!(chain::inclusion(store, TENANTS[0], 722, 722).await.unwrap(), None);
    let report = stage.verify(TENANTS[0], first).await.unwrap();
    assert_eq!((report.records, report.signed, report.end), (721, 721, End::Proven));
    assert_eq!(stage.verify(TENANTS[1], None).await.unwrap().signed, 21);
    eprintln!("notary: 742 events, {proofs} proofs");
}

#[tokio::test]
async fn filters_page_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(&folder.path().join("legator.db")).await;
    let mut notary = Notary::new(stage.desk.clone());
    stage.acts(TENANTS[0], 20).await;
    settle(&stage, &mut notary).await;
    let numbers = async |query: Query| -> Vec<u64> {
        let events = chain::read(&stage.desk.store, TENANTS[0], &Query { limit: 3, ..query }).await.unwrap();
        events.iter().map(|event| event.number).collect()
    };
    assert_eq!(numbers(Query { after: 4, ..Query::default() }).await, [5, 6, 7]);
    assert_eq!(
        numbers(Query { kind: Some("thing.*".into()), after: 4, ..Query::default() }).await,
        [5, 6, 7]
    );
    assert_eq!(
        numbers(Query {
            kind: Some("thing.happened".into()),
            order: chain::Order::Newest,
            before: Some(9),
            ..Query::default()
        })
        .await,
        [8, 7, 6]
    );
    assert!(numbers(Query { kind: Some("thin".into()), ..Query::default() }).await.is_empty());
    assert!(
        numbers(Query { host: Some(legator_core::ids::HostId::new(1)), ..Query::default() }).await.is_empty()
    );
    let late = Query { since: Some(Timestamp::from_millis(1_900_000_000_000)), ..Query::default() };
    assert!(numbers(late).await.is_empty());
}

#[tokio::test]
async fn a_second_notary_waits_and_a_fenced_one_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(&folder.path().join("legator.db")).await;
    let (mut first, mut second) = (Notary::new(stage.desk.clone()), Notary::new(stage.desk.clone()));
    stage.acts(TENANTS[0], 5).await;
    assert_eq!(first.tick().await.unwrap().events, 5);
    stage.acts(TENANTS[0], 5).await;
    assert_eq!(second.tick().await.unwrap().events, 0, "it holds no lease");
    let old = first.lease.clone().unwrap();
    stage.pass(6000);
    assert_eq!(second.tick().await.unwrap().events, 5);
    stage.acts(TENANTS[0], 1).await;
    assert!(matches!(chain::number(&stage.desk.store, &old).await, Err(StoreError::Fenced(_))));
    assert_eq!(first.tick().await.unwrap().events, 0, "the other holds it now");
    assert_eq!(second.tick().await.unwrap().events, 1);
    assert_eq!(chain::newest(&stage.desk.store, TENANTS[0]).await.unwrap(), 11);
}

#[tokio::test]
async fn a_log_changed_by_hand_fails_its_verification_and_gets_no_more_signatures() {
    let cases = [
        ("UPDATE events SET body = replace(body, 'thing', 'other') WHERE seq = 30", true),
        ("DELETE FROM events WHERE seq = 30", true),
        ("UPDATE chain SET leaf = zeroblob(32) WHERE number = 30", false),
        ("DELETE FROM chain WHERE number = 60", false),
        ("", false),
    ];
    for (statement, signs) in cases {
        let folder = tempfile::tempdir().unwrap();
        let stage = stage(&folder.path().join("legator.db")).await;
        let mut notary = Notary::new(stage.desk.clone());
        stage.acts(TENANTS[0], 60).await;
        settle(&stage, &mut notary).await;
        let remembered = stage.note(TENANTS[0]).await;
        assert!(stage.verify(TENANTS[0], None).await.is_ok());
        if statement.is_empty() {
            stage.forge_head().await;
        } else {
            stage.by_hand(statement).await;
        }
        stage.acts(TENANTS[0], 5).await;
        settle(&stage, &mut notary).await;
        if signs {
            let found = stage.verify(TENANTS[0], Some(remembered)).await;
            assert!(
                matches!(
                    found,
                    Err(Broken::Changed { number: 30 } | Broken::Missing { expected: 30, found: 31 })
                ),
                "{found:?}"
            );
        } else {
            assert_eq!(stage.note(TENANTS[0]).await, remembered, "{statement}");
            let row = sql::one(
                stage.desk.store.reader(),
                "SELECT COUNT(*) FROM events WHERE kind = 'audit.broken'",
                vec![],
            )
            .await;
            assert_eq!(sql::column::<i64>(&row.unwrap().unwrap(), 0).unwrap(), 1, "{statement}");
        }
    }
    eprintln!("notary: {} changes by hand", cases.len());
}
