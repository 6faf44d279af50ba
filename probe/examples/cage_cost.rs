//! What holding a command costs: 500 caged `true`, each beside one that is not caged.
//!
//! Owns the measuring. Prints percentiles of both and the difference; build it in release to learn what the product costs.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::indexing_slicing)]

use legator_probe::cage::{Cage, Confine, Limits, Order, Secrets};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUNS: usize = 500;
const WARM: usize = 20;

fn percentile(sorted: &[Duration], hundredths: usize) -> f64 {
    sorted[(sorted.len() * hundredths / 100).min(sorted.len() - 1)].as_secs_f64() * 1000.0
}

async fn caged(cage: &Cage, secrets: &Arc<Secrets>) -> Duration {
    let order = Order {
        argv: vec!["true".to_owned()],
        cwd: None,
        confine: Confine::Observe,
        timeout: Duration::from_secs(10),
        secrets: Arc::clone(secrets),
        limits: Limits::default(),
    };
    let begun = Instant::now();
    let (exit, ..) = cage.capture(order).await.expect("the cage holds here");
    assert!(exit.success(), "{exit:?}");
    begun.elapsed()
}

async fn free() -> Duration {
    let begun = Instant::now();
    let output = tokio::process::Command::new("true").output().await.expect("true is everywhere");
    assert!(output.status.success(), "true does not fail");
    begun.elapsed()
}

async fn measure() {
    let cage = Cage::here();
    let secrets =
        Arc::new(Secrets::new(Path::new("/var/lib/legator-probe"), &[]).expect("the built-in list"));
    println!("cage: {:?}", cage.report());
    let (mut held, mut bare) = (Vec::new(), Vec::new());
    for run in 0..RUNS + WARM {
        let pair = (caged(&cage, &secrets).await, free().await);
        if run >= WARM {
            held.push(pair.0);
            bare.push(pair.1);
        }
    }
    held.sort();
    bare.sort();
    for hundredths in [50, 99] {
        let (caged, free) = (percentile(&held, hundredths), percentile(&bare, hundredths));
        let cost = caged - percentile(&bare, 50);
        println!("p{hundredths}: caged {caged:.2} ms, not caged {free:.2} ms, the cage costs {cost:.2} ms");
    }
}

fn main() {
    legator_probe::cage::helper::main_if_asked();
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.expect("a runtime").block_on(measure());
}
