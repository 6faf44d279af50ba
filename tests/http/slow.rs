//! Two thousand clients that say nothing, or too little at a time, or take nothing: all are closed in time, and others are served as before.
//!
//! The server is a process of its own, with the limits of production.

use super::plain;
use legator_testkit::process::{Server, until};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const CLIENTS: usize = 2_000;
/// The server's own deadlines are 5 s; the rest is for timers of a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
const WINDOW: usize = 100;
/// What else a machine does makes others slower in any round, and faster in none.
const ROUNDS: usize = 3;

/// How a client behaves: what it sends first, and whether it goes on byte by byte.
#[derive(Clone, Copy)]
struct Manner {
    name: &'static str,
    first: &'static str,
    dribbles: bool,
}

const SILENT: Manner = Manner { name: "silent", first: "", dribbles: false };
const HEAD: Manner = Manner {
    name: "dribbling head",
    first: "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ",
    dribbles: true,
};
const BODY: Manner = Manner {
    name: "dribbling body",
    first: "POST /api/v1/enrol HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n",
    dribbles: true,
};
const STOPPED: Manner = Manner { name: "stopped body", dribbles: false, ..BODY };
const IDLE: Manner = Manner {
    name: "idle after an answer",
    first: "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    dribbles: false,
};
const SOCKET: &str = "GET /probe/v1/connect HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const PROBE: Manner = Manner { name: "silent WebSocket", first: SOCKET, dribbles: false };
/// Each byte is a part of one frame that announces a mebibyte.
const FRAME: Manner = Manner { name: "dribbling WebSocket", first: SOCKET, dribbles: true };

/// Connects, behaves badly, and says how long the server put up with it.
async fn behave_badly(at: SocketAddr, manner: Manner, connected: Arc<Semaphore>) -> Duration {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let since = Instant::now();
    let _ = stream.write_all(manner.first.as_bytes()).await;
    connected.add_permits(1);
    let (mut read, mut write) = stream.split();
    let dribble = async {
        loop {
            tokio::time::sleep(Duration::from_millis(900)).await;
            if !manner.dribbles || write.write_all(b"\x81").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let closed = async {
        let mut buffer = [0; 1024];
        while matches!(read.read(&mut buffer).await, Ok(1..)) {}
    };
    tokio::select! {
        () = closed => {}
        () = dribble => {}
        () = tokio::time::sleep(CLOSED_WITHIN * 2) => {}
    }
    since.elapsed()
}

/// The 99th percentile of a window of requests, each over a connection of its own.
async fn window(at: SocketAddr) -> Duration {
    let request = plain::request(at, ("GET", "/api/v1/hosts"), &[("Connection".into(), "close".into())], b"");
    let mut times = Vec::new();
    for _ in 0..WINDOW {
        let since = Instant::now();
        assert_eq!(plain::send(at, &request).await.status, Some(200));
        times.push(since.elapsed());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Windows for as long as `holds`: the best one, since a busy machine makes any of them worse and none better.
async fn best(at: SocketAddr, mut holds: impl FnMut(usize) -> bool) -> (Duration, usize) {
    let (mut best, mut count) = (Duration::MAX, 0);
    loop {
        let one = window(at).await;
        if !holds(count) {
            return (best, count);
        }
        best = best.min(one);
        count += 1;
    }
}

fn server(dir: &TempDir) -> (Server, SocketAddr) {
    let server = Server::start(dir.path());
    let at = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    (server, at)
}

fn raise_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Lets `CLIENTS` loose in these manners: all have to be closed in time in every round, and others to be served as before in one.
async fn flood(manners: &[Manner]) {
    raise_limit();
    let dir = TempDir::new().unwrap();
    let (server, at) = server(&dir);
    let mut worst = Vec::new();
    for _ in 0..ROUNDS {
        let ratio = round(at, manners).await;
        worst.push(ratio);
        if ratio <= 1.5 {
            drop(server);
            return;
        }
    }
    panic!("others had to wait: their p99 grew by {worst:.2?}");
}

/// One round: how much larger the others' p99 was meanwhile than before or after.
async fn round(at: SocketAddr, manners: &[Manner]) -> f64 {
    let (before, _) = best(at, |count| count < 5).await;
    let (mut clients, all) = (JoinSet::new(), Arc::new(Semaphore::new(0)));
    let any_closed = Arc::new(AtomicBool::new(false));
    for manner in manners.iter().copied().cycle().take(CLIENTS) {
        let (connected, any_closed) = (Arc::clone(&all), Arc::clone(&any_closed));
        clients.spawn(async move {
            let lasted = behave_badly(at, manner, connected).await;
            any_closed.store(true, Ordering::Relaxed);
            (manner.name, lasted)
        });
    }
    let _all = all.acquire_many(CLIENTS as u32).await.unwrap();
    // A window counts only if all of them were there until its end.
    let (during, windows) = best(at, |_| !any_closed.load(Ordering::Relaxed)).await;
    let mut longest = std::collections::BTreeMap::new();
    while let Some(done) = clients.join_next().await {
        let (name, lasted) = done.unwrap();
        let entry = longest.entry(name).or_insert(Duration::ZERO);
        *entry = lasted.max(*entry);
    }
    let (after, _) = best(at, |count| count < 5).await;
    eprintln!("slow clients: {CLIENTS}, the last of each manner closed after {longest:.2?}");
    eprintln!(
        "others' p99: {before:.2?} before, {during:.2?} meanwhile ({windows} windows), {after:.2?} after"
    );
    assert!(longest.values().all(|lasted| *lasted <= CLOSED_WITHIN), "{longest:?}");
    match windows {
        0 => f64::INFINITY,
        _ => during.as_secs_f64() / before.max(after).as_secs_f64(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_silent_ones_are_closed_and_others_do_not_notice() {
    flood(&[SILENT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_of_every_manner_are_closed_and_others_do_not_notice() {
    flood(&[HEAD, BODY, STOPPED, IDLE, SILENT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_over_websockets_are_closed_and_others_do_not_notice() {
    flood(&[PROBE, FRAME]).await;
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The largest answer, asked for a thousand times over each of many connections, and never taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_take_no_answer_are_left_and_cost_little() {
    const GREEDY: usize = 50;
    let dir = TempDir::new().unwrap();
    let (server, at) = server(&dir);
    let before = resident(server.process.pid());
    let asks = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_000);
    let mut streams = Vec::new();
    for _ in 0..GREEDY {
        let mut stream = TcpStream::connect(at).await.unwrap();
        // The server does not take what it will not answer: this ends when its buffers are full.
        let _ = tokio::time::timeout(Duration::from_millis(200), stream.write_all(asks.as_bytes())).await;
        streams.push(stream);
    }
    let since = Instant::now();
    let mut most = 0;
    let mut left = async || {
        most = most.max(resident(server.process.pid()));
        let metrics = server_text(at, "/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("legator_http_connections "));
        line.unwrap_or("0").parse::<f64>().unwrap() <= 1.0
    };
    while !left().await {
        assert!(since.elapsed() < Duration::from_secs(60), "a client that takes nothing was not left");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let grown = most.saturating_sub(before);
    eprintln!(
        "{GREEDY} clients took no answer: left after {:.1?}, at most {grown} KiB more",
        since.elapsed()
    );
    assert!(grown < 64 * 1024, "{grown} KiB for {GREEDY} clients");
}

async fn server_text(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = plain::request(at, ("GET", path), &[("Connection".into(), "close".into())], b"");
    stream.write_all(&request).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// A client that has said all it will say gets no answer that nobody reads, and no seat for longer than the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_closed_connections_end_at_once() {
    let dir = TempDir::new().unwrap();
    let (server, at) = server(&dir);
    for first in ["", "GET / HT", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(4), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "{first:?} keeps its seat");
    }
    until("the server to stand", || server.call("GET", "/healthz", None).0.eq(&200).then_some(()));
}
