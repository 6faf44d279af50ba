//! How many transactions the path of one read takes.

use crate::bench::*;
use legator_gate::*;

/// Every act has an event at least, so the events are a bound of the acts.
#[tokio::test]
async fn an_allowed_read_costs_three_acts_on_the_server() {
    let mut bench = Bench::with(Auth::On, &["a"]).await;
    let count = async |bench: &Bench| {
        let rows = legator_store::sql::one(bench.store().reader(), "SELECT count(*) FROM events", vec![])
            .await
            .unwrap();
        legator_store::sql::column::<i64>(&rows.unwrap(), 0).unwrap()
    };
    let before = count(&bench).await;
    let plan = bench.ask("alice", stat("a")).await.unwrap();
    let handed = bench.seal(plan.id).await.remove(0);
    let sent = bench.probe(&handed);
    assert!(bench.settle(handed.host, sent).await.unwrap().plan_final);
    assert_eq!(count(&bench).await - before, 3, "asked, sealed, settled: one event each, and nothing else");
}
