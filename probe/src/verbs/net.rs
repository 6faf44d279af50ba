//! The verbs that ask the network from the host: names, connections, web servers.
//!
//! Owns what they answer. Never opens an AF_UNIX socket, so the C library's resolver is not used, which may ask a daemon.
//! Invariant: every wait, reply and list is bounded, and what a peer says is data.

pub(super) mod dns;
pub(super) mod http;
pub(super) mod message;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use legator_core::verbs::{NetDns, NetTcp, RecordType};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{Step, Stop};
pub(super) use http::http;

/// `net.dns`.
pub(super) async fn dns(args: &NetDns) -> Step<Value> {
    let record = args.record.unwrap_or_default();
    let server = args.server.as_deref().and_then(|server| {
        let plain = server.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
        plain.or_else(|| server.parse().ok())
    });
    let began = Instant::now();
    let answer = dns::ask(&args.name, record, server).await?;
    Ok(json!({
        "name": args.name, "type": record, "server": answer.server.map(|server| server.to_string()), "code": answer.code,
        "answers": answer.records, "duration_ms": millis(began),
    }))
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The addresses of a name or an address, IPv4 first.
async fn addresses(host: &str) -> Step<Vec<IpAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        return Ok(vec![ip]);
    }
    let mut found = Vec::new();
    let mut fault = None;
    for record in [RecordType::A, RecordType::Aaaa] {
        match dns::ask(host, record, None).await {
            Ok(answer) => {
                found.extend(answer.records.iter().filter_map(|each| each.data.parse::<IpAddr>().ok()))
            }
            Err(stop) => fault = Some(stop),
        }
    }
    match (found.is_empty(), fault) {
        (false, _) => Ok(found),
        (true, Some(fault)) => Err(fault),
        (true, None) => Err(Stop::Failed(format!("{host} has no address"))),
    }
}

/// Connects to the first address that takes it.
async fn connect(host: &str, port: u16, timeout: Duration) -> Step<TcpStream> {
    let all = addresses(host).await?;
    connect_to(&all, port, timeout).await
}

async fn connect_to(addresses: &[IpAddr], port: u16, timeout: Duration) -> Step<TcpStream> {
    let mut faults = Vec::new();
    for ip in addresses.iter().take(4) {
        let address = SocketAddr::new(*ip, port);
        match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => faults.push(format!("{address}: {error}")),
            Err(_) => faults.push(format!("{address}: no answer within {timeout:?}")),
        }
    }
    Err(Stop::Failed(faults.join("; ")))
}

/// `net.tcp`.
pub(super) async fn tcp(args: &NetTcp, timeout: Duration) -> Step<Value> {
    let began = Instant::now();
    let stream = connect(&args.host, args.port, timeout).await?;
    let text = |address: std::io::Result<SocketAddr>| address.ok().map(|address| address.to_string());
    Ok(json!({ "connected": true, "peer": text(stream.peer_addr()), "local": text(stream.local_addr()),
        "duration_ms": millis(began) }))
}
