//! Figures of the store: acts a second, alone and many at once, and events a second of the notary's numbering.
//!
//! Owns nothing. Prints; run with `cargo run -p legator-store --example bench [folder]`, with `--release` for real figures.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use legator_core::event::{About, NewEvent};
use legator_core::ids::{InstanceId, TenantId, TraceId};
use legator_core::span::Span;
use legator_store::{Audited, Kind, Op, Options, Store, StoreError, chain, leases};
use std::time::Instant;

fn op() -> Op {
    Op::system(TenantId::DEFAULT, "bench", TraceId::new(1))
}

fn event() -> NewEvent {
    NewEvent::new("bench.happened", About::nothing(), serde_json::json!({ "some": "particulars", "n": 1 }))
}

async fn act(store: &Store) {
    store.write(&op(), async |_| Ok::<_, StoreError>(Audited::new((), event()))).await.unwrap();
}

fn say(what: &str, count: usize, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    println!("{what:<48} {:>9.0} a second ({count} in {seconds:.2} s)", count as f64 / seconds);
}

async fn alone(store: &Store) {
    let since = Instant::now();
    for _ in 0..1000 {
        act(store).await;
    }
    say("acts, one after the other", 1000, since);
}

async fn many(store: &Store, at_once: usize) {
    let since = Instant::now();
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..(8000 / at_once) {
                    act(&store).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    say(&format!("acts, {at_once} at once"), 8000 / at_once * at_once, since);
}

async fn batched(store: &Store) {
    let since = Instant::now();
    for _ in 0..40 {
        let rest = (1..500).map(|_| event()).collect();
        store.write(&op(), async |_| Ok::<_, StoreError>(Audited::many((), event(), rest))).await.unwrap();
    }
    say("events, 500 an act", 20_000, since);
}

async fn sealed(store: &Store) {
    let since = Instant::now();
    for n in 0..500 {
        let id = format!("person_{n}");
        store
            .write(&op(), async |tx| {
                tx.seal_put(Kind::Person, &id, &n).await?;
                Ok::<_, StoreError>(Audited::new((), event()))
            })
            .await
            .unwrap();
    }
    say("acts that seal a row", 500, since);
    let since = Instant::now();
    for n in 0..100_000 {
        let id = format!("person_{}", n % 500);
        let _: Option<legator_store::Sealed<u32>> =
            store.seal_get(TenantId::DEFAULT, Kind::Person, &id).await.unwrap();
    }
    say("sealed rows read", 100_000, since);
}

async fn numbered(store: &Store) {
    let holder = InstanceId::fresh(store.ids());
    let lease = leases::take(store, "notary", holder, Span::from_secs(600)).await.unwrap().unwrap();
    let since = Instant::now();
    let mut events = 0;
    loop {
        let round = chain::number(store, &lease).await.unwrap();
        events += round.events;
        if !round.more {
            break;
        }
    }
    say("events numbered by the notary", events, since);
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    let path = folder.join(format!("legator-bench-{}.db", std::process::id()));
    let store = Store::open(Options::file(&path, [1; 32])).await.unwrap();
    println!("SQLite, synchronous=FULL, {}", path.display());
    alone(&store).await;
    many(&store, 16).await;
    many(&store, 64).await;
    batched(&store).await;
    sealed(&store).await;
    numbered(&store).await;
    drop(store);
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", path.display()));
    }
}
