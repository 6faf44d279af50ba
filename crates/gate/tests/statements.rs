//! How many statements the database sees for one allowed read of one host, from the request to the plan's end. A process of its own:
//! the count is of the whole process.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

#[path = "gate/bench.rs"]
mod bench;

use bench::{Bench, stat};
use legator_gate::Auth;
use legator_store::sql::statements;

/// Begins and commits included.
const MOST: u64 = 25;
/// The first read after a host came reads its session too.
const FIRST_MORE: u64 = 1;

#[tokio::test]
async fn an_allowed_read_of_one_host_takes_few_statements() {
    let mut bench = Bench::with(Auth::On, &["a"]).await;
    let caller = bench.caller("alice").await;
    for round in 0..3 {
        let begun = statements();
        let plan = legator_gate::ask(&bench.gate, &caller, stat("a")).await.unwrap();
        let asked = statements();
        let handed = bench.seal(plan.id).await.remove(0);
        let sealed = statements();
        let sent = bench.probe(&handed);
        assert!(bench.settle(handed.host, sent).await.unwrap().plan_final);
        let settled = statements();
        bench.view(plan.id).await;
        let (all, seen) = (statements() - begun, statements() - settled);
        eprintln!(
            "statements of a read, round {round}: ask {}, seal {}, settle {}, answer {seen}: {all} of {MOST}",
            asked - begun,
            sealed - asked,
            settled - sealed,
        );
        assert!(all > 5, "the count counts");
        let most = if round == 0 { MOST + FIRST_MORE } else { MOST };
        assert!(all <= most, "{all} statements");
    }
}
