//! Asking name servers.
//!
//! Owns the order of asking: the hosts file, then the servers of `resolv.conf`, over UDP and, for what does not fit, TCP.
//! Invariant: a reply counts only when it comes from the server that was asked, with the id and the question that were sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use legator_core::verbs::RecordType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::message::{self, Record, Reply};
use crate::verbs::{Step, Stop};

const WAIT: Duration = Duration::from_secs(3);
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 6;

/// What came back, and from whom.
pub(super) struct Answer {
    pub(super) server: Option<SocketAddr>,
    pub(super) code: &'static str,
    pub(super) records: Vec<Record>,
}

fn word(code: u8) -> &'static str {
    match code {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        _ => "OTHER",
    }
}

/// Asks for a record of a name.
pub(super) async fn ask(name: &str, record: RecordType, server: Option<SocketAddr>) -> Step<Answer> {
    let name = match (record, name.parse::<IpAddr>()) {
        (RecordType::Ptr, Ok(ip)) => reverse(ip),
        _ => name.to_owned(),
    };
    if server.is_none() {
        let hosts = tokio::fs::read_to_string("/etc/hosts").await.unwrap_or_default();
        let records = in_hosts(&hosts, &name, record);
        if !records.is_empty() {
            return Ok(Answer { server: None, code: word(0), records });
        }
    }
    let config = Config::parse(&tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default());
    let servers = server.map_or(config.servers, |server| vec![server]);
    let mut last = None;
    for name in names(&name, &config.search) {
        let answer = ask_servers(&servers, &name, record).await?;
        if answer.code == "NOERROR" && !answer.records.is_empty() {
            return Ok(answer);
        }
        last = Some(answer);
    }
    last.ok_or_else(|| Stop::Failed("there is no name to ask for".into()))
}

/// The name itself; before it, when it has no dot, with each search domain.
fn names(name: &str, search: &[String]) -> Vec<String> {
    let mut names = match name.contains('.') {
        true => Vec::new(),
        false => search.iter().map(|domain| format!("{name}.{domain}")).collect(),
    };
    names.push(name.to_owned());
    names
}

async fn ask_servers(servers: &[SocketAddr], name: &str, record: RecordType) -> Step<Answer> {
    let question = message::question(rand::random(), name, record);
    let question = question.ok_or_else(|| Stop::not_applicable(format!("{name:?} is no domain name")))?;
    let mut faults = Vec::new();
    for server in servers {
        match ask_server(*server, &question).await {
            Ok(reply) => {
                return Ok(Answer { server: Some(*server), code: word(reply.code), records: reply.records });
            }
            Err(error) => faults.push(format!("{server}: {error}")),
        }
    }
    Err(Stop::Failed(format!("no name server answered: {}", faults.join("; "))))
}

async fn ask_server(server: SocketAddr, question: &[u8]) -> std::io::Result<Reply> {
    let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    let reply = tokio::time::timeout(WAIT, over_udp(server, question)).await.map_err(late)??;
    if !reply.cut {
        return Ok(reply);
    }
    tokio::time::timeout(WAIT, over_tcp(server, question)).await.map_err(late)?
}

async fn over_udp(server: SocketAddr, question: &[u8]) -> std::io::Result<Reply> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What is no answer to this question is passed over until the time is over.
        if let Some(reply) = message::reply(question, buffer.get(..length).unwrap_or_default()) {
            return Ok(reply);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).unwrap_or(u16::MAX);
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    message::reply(question, &bytes).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData))
}

fn reverse(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let digits: Vec<char> = hex::encode(ip.octets()).chars().rev().collect();
            let labels: Vec<String> = digits.iter().map(char::to_string).collect();
            format!("{}.ip6.arpa", labels.join("."))
        }
    }
}

/// Addresses of a name in the hosts file (hosts(5)).
pub(in crate::verbs) fn in_hosts(text: &str, name: &str, record: RecordType) -> Vec<Record> {
    let wanted = |ip: &IpAddr| match record {
        RecordType::A => ip.is_ipv4(),
        RecordType::Aaaa => ip.is_ipv6(),
        _ => false,
    };
    let mut records = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse::<IpAddr>) else { continue };
        if wanted(&ip) && words.any(|word| word.eq_ignore_ascii_case(name)) {
            let kind = if ip.is_ipv4() { "A" } else { "AAAA" };
            records.push(Record {
                name: name.to_owned(),
                kind: kind.to_owned(),
                ttl: 0,
                data: ip.to_string(),
            });
        }
    }
    records
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::verbs) struct Config {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
}

impl Config {
    /// The lines of resolv.conf(5) that matter here.
    pub(in crate::verbs) fn parse(text: &str) -> Self {
        let (mut servers, mut search) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    servers.extend(
                        words
                            .next()
                            .and_then(|ip| ip.parse::<IpAddr>().ok())
                            .map(|ip| SocketAddr::new(ip, 53)),
                    );
                }
                Some("search" | "domain") => search = words.take(SEARCH_MAX).map(ToOwned::to_owned).collect(),
                _ => {}
            }
        }
        servers.truncate(SERVERS_MAX);
        if servers.is_empty() {
            servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        }
        Self { servers, search }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_resolver() {
        let config = Config::parse("# x\nnameserver 192.0.2.1\nnameserver bad\nsearch a.example b.example\n");
        assert_eq!(config.servers, [SocketAddr::from(([192, 0, 2, 1], 53))]);
        assert_eq!(names("web", &config.search), ["web.a.example", "web.b.example", "web"]);
        assert_eq!(names("web.example", &config.search), ["web.example"]);
        let hosts = "127.0.0.1 localhost # x\n::1 localhost ip6\nbad line\n";
        assert_eq!(in_hosts(hosts, "LOCALHOST", RecordType::A).len(), 1);
        assert_eq!(in_hosts(hosts, "ip6", RecordType::Aaaa).len(), 1);
        assert!(in_hosts(hosts, "ip6", RecordType::A).is_empty());
        assert_eq!(reverse(IpAddr::from([192, 0, 2, 1])), "1.2.0.192.in-addr.arpa");
    }
}
