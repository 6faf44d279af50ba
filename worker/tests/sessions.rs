//! Sessions: presence, clones, limits of the edge, and what happens when workers, probes or the edge go away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

mod small;

use legator_edge::Settings;
use legator_store::{StoreError, hosts, inventory, metrics};
use legator_testkit::sim::{SimProbe, Wire, figures, fresh_instance, now};
use legator_wire::dsse::Envelope;
use legator_wire::frame::{Beat, Down, Up};
use legator_wire::inventory::Inventory;
use legator_wire::order::Limits;
use serde_json::json;
use small::{Small, TENANT, until};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_online_at_its_hello_and_stale_after_its_end() {
    let small = small::start().await;
    let probe = small.probe("web").await;
    assert_eq!(small.host(probe.host()).await.facts.status, "offline");
    let started = Instant::now();
    let (mut wire, _) = probe.connect().await;
    small.until_host(probe.host(), "online", |row| row.facts.status == "online").await;
    eprintln!("online after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5));
    wire.send(&Up::Beat(Beat { at: now(), metrics: figures() })).await;
    small
        .until_host(probe.host(), "its figures show", |row| {
            row.session.as_ref().is_some_and(|session| session.metrics.is_some())
        })
        .await;
    let figures =
        metrics::of_host(&small.store, probe.host(), legator_core::time::Timestamp::EPOCH).await.unwrap();
    assert_eq!(figures.len(), 1);
    wire.vanish();
    small.until_host(probe.host(), "stale", |row| row.facts.status == "stale" && !row.connected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_with_one_key_are_held_back_until_an_admin_clears_them() {
    let small = small::start().await;
    let one = small.probe("web").await;
    let mut two = one.clone();
    two.instance = fresh_instance();
    let mut wires = Vec::new();
    for turn in 0..5 {
        let probe = if turn % 2 == 0 { &one } else { &two };
        wires.push(probe.connect().await);
    }
    assert!(wires.windows(2).all(|pair| pair[0].1 < pair[1].1), "epochs rise");
    small.until_host(one.host(), "held back", |row| !row.connected && row.facts.status == "online").await;
    assert_eq!(small.events("host.cloned").await, 1);
    let plan = small.read_on("name=web").await;
    let (mut wire, _) = wires.pop().unwrap();
    until("the read ends without it", async || small.plan(plan.id).await.state.is_final()).await;
    assert!(wire.next_within(Duration::from_millis(300)).await.is_none(), "no command goes to a clone");
    let (op, host) = (small.op(), one.host());
    let cleared = small.store.write::<_, StoreError, _>(&op, async |tx| {
        hosts::clear_clone(tx, host).await?.ok_or(StoreError::Fenced("no clone".into()))
    });
    cleared.await.unwrap();
    small.until_host(host, "commands again", |row| row.connected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_reconnect_is_no_clone() {
    let small = small::start().await;
    let probe = small.probe("web").await;
    let mut wires = Vec::new();
    for _ in 0..8 {
        wires.push(probe.connect().await);
    }
    small.until_host(probe.host(), "connected", |row| row.connected && row.epoch == 8).await;
    assert_eq!(small.events("host.cloned").await, 0);
    let (mut first, _) = wires.remove(0);
    assert!(first.is_closed().await, "the half-open one is closed");
    assert_eq!(small.edge.sessions(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_that_changes_is_told_signed_and_again_at_the_next_hello() {
    let small = small::start().await;
    let mut probe = small.probe("web").await;
    let (mut wire, _) = probe.connect().await;
    small.until_host(probe.host(), "connected", |row| row.connected).await;
    // The watch has to have seen the version before it changes.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let (op, host) = (small.op(), probe.host());
    let set = small.store.write::<_, StoreError, _>(&op, async |tx| {
        hosts::set_level(tx, host, legator_core::level::Level::Remediate)
            .await?
            .ok_or(StoreError::Fenced("no host".into()))
    });
    set.await.unwrap();
    let limits = limits(&mut wire, &probe).await;
    assert_eq!((limits.host, limits.ceiling), (host, legator_core::level::Level::Remediate));
    wire.vanish();
    let (mut wire, _) = probe.connect().await;
    assert_eq!(self::limits(&mut wire, &probe).await.version, limits.version, "it still keeps none");
    wire.vanish();
    probe.limits_version = limits.version;
    let (mut wire, _) = probe.connect().await;
    assert!(wire.next_within(Duration::from_millis(500)).await.is_none(), "it keeps them");
}

async fn limits(wire: &mut Wire, probe: &SimProbe) -> Limits {
    let limits = |down| if let Down::Limits { envelope } = down { Some(envelope) } else { None };
    wire.until(limits).await.expect("limits come").open(&probe.admission.authority).unwrap()
}

fn inventory_of(probe: &SimProbe, sequence: u64, openssl: &str) -> Up {
    let packages = json!({"items": [{"name": "openssl", "version": openssl, "arch": "amd64"}], "total": 1});
    let inventory = Inventory {
        installation: probe.admission.installation.clone(),
        host: probe.host(),
        sequence,
        whole: true,
        parts: BTreeMap::from([("packages".to_owned(), packages)]),
        made_at: now(),
    };
    Up::Inventory { envelope: Envelope::seal(&inventory, &probe.key) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_inventory_is_an_event_and_an_old_one_is_nothing() {
    let small = small::start().await;
    let probe = small.probe("web").await;
    let (mut wire, _) = probe.connect().await;
    for (sequence, version) in [(1, "3.0.1"), (2, "3.0.2"), (1, "3.0.1"), (2, "9.9.9"), (3, "3.0.2")] {
        wire.send(&inventory_of(&probe, sequence, version)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let newest = async || inventory::sequence(&small.store, probe.host()).await.unwrap() == Some(3);
    until("the newest is stored", newest).await;
    let text = "SELECT body FROM events WHERE kind = 'inventory.changed'";
    let rows = legator_store::sql::all(small.store.reader(), text, vec![]).await.unwrap();
    assert_eq!(rows.len(), 1);
    let body: String = legator_store::sql::column(&rows[0], 0).unwrap();
    assert!(body.contains("package openssl 3.0.1 → 3.0.2"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_proves_nothing_is_closed_and_has_its_limit() {
    let settings =
        Settings { unproven_on_loopback: 20, step: Duration::from_millis(1_500), ..Settings::default() };
    let small = small::start_with(settings).await;
    let probe = small.probe("web").await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Wire::open(&small.server).await.unwrap());
    }
    let one_more = Wire::open(&small.server).await;
    assert!(one_more.is_err_and(|why| why.contains("429")));
    for wire in &mut silent {
        assert!(wire.is_closed().await, "closed at the deadline of the hello");
    }
    let mut proven = Vec::new();
    for _ in 0..3 {
        proven.push(probe.connect().await);
    }
    assert_eq!(small.edge.sessions(), 1, "proven ones hold no place of the unproven");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_silent_connections_leave_room_for_honest_ones() {
    let settings = Settings { step: Duration::from_secs(5), ..Settings::default() };
    let small = small::start_with(settings).await;
    let probe = small.probe("web").await;
    let address = small.server.trim_start_matches("http://").to_owned();
    let mut silent = Vec::new();
    for number in 0..2_000 {
        let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
        if number % 2 == 0 {
            use tokio::io::AsyncWriteExt as _;
            let request = "GET /probe/v1/connect HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            socket.write_all(request.as_bytes()).await.unwrap();
        }
        silent.push(socket);
    }
    let started = Instant::now();
    let (_wire, _) = probe.connect().await;
    eprintln!("2000 silent connections; an honest one is in after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_and_broken_handshakes_are_refused() {
    let small = small::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/probe/v1/connect", small.server);
    let good = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let cases = [
        (Some(("origin", "https://evil.example")), 403),
        (Some(("origin", "null")), 403),
        (Some(("cookie", "a=b")), 403),
        (Some(("sec-websocket-version", "8")), 400),
        (Some(("sec-websocket-key", "short")), 400),
        (Some(("upgrade", "h2c")), 426),
        (None, 101),
    ];
    for (change, status) in cases {
        let mut request = client.get(&url);
        for (name, value) in good {
            if change.is_none_or(|(changed, _)| changed != name) {
                request = request.header(name, value);
            }
        }
        if let Some((name, value)) = change {
            request = request.header(name, value);
        }
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{change:?}");
    }
    assert_eq!(client.post(&url).send().await.unwrap().status().as_u16(), 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_takes_no_frames_is_closed_and_others_do_not_wait() {
    let settings = Settings { slow_after: Duration::from_secs(1), ..Settings::default() };
    let small: Small = small::start_with(settings).await;
    let probe = small.probe("slow").await;
    let (_wire, epoch) = probe.connect().await;
    small.until_host(probe.host(), "connected", |row| row.connected).await;
    let edge = small.host(probe.host()).await.edge.unwrap();
    let subject = legator_bus::subject::edge_cmd(edge, probe.host());
    let frame = Down::Denied { code: "x".repeat(500_000) };
    let order = legator_wire::corridor::Order::Send { frame: Box::new(frame) };
    let command = legator_wire::corridor::Command { epoch: Some(epoch), order };
    let body = legator_wire::corridor::pack(&command);
    for _ in 0..64 {
        small.bus.publish(&subject, body.clone()).await.unwrap();
    }
    small.until_host(probe.host(), "closed", |row| !row.connected).await;
    assert_eq!(small.edge.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_hears_no_worker_admits_nobody_new() {
    let bus = legator_bus::Bus::in_process();
    let clock = std::sync::Arc::new(legator_store::system::SystemClock);
    let edge = legator_edge::Edge::new(bus, clock, fresh_instance(), Settings::default());
    let running = edge.clone();
    let stop = tokio_util::sync::CancellationToken::new();
    let run = tokio::spawn({
        let stop = stop.clone();
        async move { running.run(stop).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!edge.is_ready());
    stop.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_facts_row_is_of_its_tenant_alone() {
    let small = small::start().await;
    let probe = small.probe("web").await;
    assert!(
        hosts::find(&small.store, legator_core::ids::TenantId::new(2), probe.host()).await.unwrap().is_none()
    );
    assert!(hosts::find(&small.store, TENANT, probe.host()).await.unwrap().is_some());
}
