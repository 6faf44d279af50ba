//! Two thousand clients that say nothing, or too little at a time: all are closed in time, and others are served as before.

use super::world::{Who, World};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const CLIENTS: usize = 2_000;
/// The server's deadline is 8 s; on a busy machine its timers and this test's may both be late.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(10);

/// Connects, behaves badly, and says how long the server put up with it.
async fn behave_badly(at: SocketAddr, number: usize, connected: Arc<Semaphore>) -> Duration {
    let mut stream = TcpStream::connect(at).await.unwrap();
    connected.add_permits(1);
    let since = Instant::now();
    let head = b"POST /api/v1/enrol HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n".as_slice();
    let script: &[u8] = match number % 4 {
        0 => b"",
        1 => b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ",
        2 => head,
        _ => b"GET /probe/v1/connect HTTP/1.1\r\n",
    };
    let _ = stream.write_all(script).await;
    let (mut read, mut write) = stream.split();
    let dribble = async {
        loop {
            tokio::time::sleep(Duration::from_millis(900)).await;
            if number % 4 != 0 && write.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let closed = async {
        let mut buffer = [0; 1024];
        while matches!(read.read(&mut buffer).await, Ok(1..)) {}
    };
    tokio::select! {
        () = closed => since.elapsed(),
        () = dribble => since.elapsed(),
        () = tokio::time::sleep(CLOSED_WITHIN + SLACK) => CLOSED_WITHIN + SLACK,
    }
}

/// The times of so many requests, sorted.
async fn served(world: &World, count: usize) -> Vec<Duration> {
    let caller = world.caller(Who::Viewer);
    let mut times = Vec::new();
    for _ in 0..count {
        let since = Instant::now();
        assert_eq!(caller.call("GET", "/api/v1/hosts", None).await.0, 200);
        times.push(since.elapsed());
    }
    times.sort_unstable();
    times
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_closed_and_others_do_not_notice() {
    let world = World::new().await;
    let before = served(&world, 200).await;
    let mut clients = JoinSet::new();
    let (all, at) = (Arc::new(Semaphore::new(0)), world.at);
    for number in 0..CLIENTS {
        let connected = Arc::clone(&all);
        clients.spawn(async move { (number % 4, behave_badly(at, number, connected).await) });
    }
    let _all = all.acquire_many(CLIENTS as u32).await.unwrap();
    let during = served(&world, 200).await;
    let mut by_kind = [Duration::ZERO; 4];
    while let Some(done) = clients.join_next().await {
        let (kind, lasted) = done.unwrap();
        by_kind[kind] = by_kind[kind].max(lasted);
    }
    let longest = by_kind.into_iter().max().unwrap();
    eprintln!("silent, dribbling head, dribbling body, dribbling probe closed after {by_kind:.1?}");
    eprintln!(
        "slow clients: {CLIENTS}, the last closed after {:.1} s; others' p99 {:.1} ms before, {:.1} ms meanwhile",
        longest.as_secs_f64(),
        p99(&before).as_secs_f64() * 1e3,
        p99(&during).as_secs_f64() * 1e3
    );
    assert!(longest < CLOSED_WITHIN + SLACK, "a slow client was put up with for too long");
    assert!(p99(&during) < Duration::from_secs(2), "others had to wait");
    world.end().await;
}
