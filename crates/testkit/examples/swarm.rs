//! Many simulated probes on one server: enrols so many, connects them, keeps their heartbeats, until its input ends.
//!
//! Owns nothing. Says how long each part took; the caller looks at the server. `swarm URL TOKEN COUNT`, with a token of COUNT uses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use futures::StreamExt as _;
use legator_testkit::sim::{SimProbe, Wire, figures, now};
use legator_wire::frame::{Beat, Up};
use std::time::{Duration, Instant};

/// Connections that are being made at once.
const AT_ONCE: usize = 32;
const BEAT: Duration = Duration::from_secs(30);

/// One session: a beat every 30 s, and an answer to each ping of the edge.
async fn live(mut wire: Wire, first: Duration) {
    let mut due = tokio::time::Instant::now() + first;
    loop {
        let frame = tokio::select! {
            () = tokio::time::sleep_until(due) => None,
            frame = wire.next_within(Duration::from_secs(3600)) => Some(frame),
        };
        match frame {
            None => {
                due += BEAT;
                wire.send(&Up::Beat(Beat { at: now(), metrics: figures() })).await;
            }
            Some(Some(_)) => {}
            Some(None) => return,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("swarm URL TOKEN COUNT");
    let (url, token) = (next(), next());
    let count: usize = next().parse().expect("a count");

    let begun = Instant::now();
    let probes: Vec<SimProbe> = futures::stream::iter(0..count)
        .map(|number| {
            let (url, token) = (url.clone(), token.clone());
            async move { SimProbe::enrol(&url, &token, &format!("sim-{number:05}")).await.expect("it joins") }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    println!("{count} enrolled in {:.1} s", begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    let mut wires = futures::stream::iter(&probes).map(SimProbe::connect).buffered(AT_ONCE).enumerate();
    while let Some((number, (wire, _))) = wires.next().await {
        let first = BEAT.mul_f64(number as f64 / count as f64);
        tokio::spawn(live(wire, first));
    }
    println!("{count} connected in {:.1} s", begun.elapsed().as_secs_f64());
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
}
