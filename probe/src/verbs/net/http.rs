//! `net.http`: one request, one answer (RFC 9112).
//!
//! Owns the request and the reading of the answer. Never follows a redirect, never sends a body or a credential, and does not ask the
//! metadata service of a cloud, which gives out the host's identity. Invariant: at most 512 KiB of an answer are read.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use legator_core::verbs::{Method, NetHttp};
use legator_wire::refusal::Refusal;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::verbs::{Step, Stop};

const ANSWER_BYTES_MAX: u64 = 512 * 1024;
const HEADERS_MAX: usize = 100;
const HEADER_CHARS_MAX: usize = 1000;
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The parts of an address.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::verbs) struct Url {
    tls: bool,
    host: String,
    port: u16,
    target: String,
}

impl Url {
    pub(in crate::verbs) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let tls = scheme.eq_ignore_ascii_case("https");
        let rest = rest.split('#').next()?;
        let cut = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(cut);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        (!host.is_empty()).then(|| Self { tls, host: host.to_owned(), port, target })
    }

    pub(in crate::verbs) fn request(&self, method: &str) -> String {
        let usual = if self.tls { 443 } else { 80 };
        let port = if self.port == usual { String::new() } else { format!(":{}", self.port) };
        let (target, host) = (&self.target, &self.host);
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}{port}\r\nUser-Agent: legator-probe\r\nAccept: */*\r\n\
             Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
        )
    }
}

/// Whether this is a metadata service of a cloud.
fn is_metadata(ip: &IpAddr) -> bool {
    let known: [IpAddr; 4] = [
        [169, 254, 169, 254].into(),
        [100, 100, 100, 200].into(),
        [168, 63, 129, 16].into(),
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254].into(),
    ];
    let plain = match ip {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(*ip, IpAddr::V4),
        IpAddr::V4(_) => *ip,
    };
    let link_local = matches!(plain, IpAddr::V4(four) if four.is_link_local());
    known.contains(&plain) || link_local
}

/// `net.http`.
pub(in crate::verbs) async fn http(args: &NetHttp, timeout: Duration) -> Step<Value> {
    let url = Url::parse(&args.url).ok_or_else(|| Stop::not_applicable("the address does not parse"))?;
    let began = Instant::now();
    let addresses = super::addresses(&url.host).await?;
    if addresses.iter().any(is_metadata) {
        return Err(Stop::Refused(
            Refusal::Secret,
            "the metadata service of a cloud gives out the host's identity".into(),
        ));
    }
    let stream = super::connect_to(&addresses, url.port, timeout).await?;
    let peer = stream.peer_addr().ok().map(|peer| peer.to_string());
    let method = if args.method.unwrap_or_default() == Method::Head { "HEAD" } else { "GET" };
    let request = url.request(method);
    let bytes = if url.tls {
        let name = url.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| Stop::failed("the name for TLS", error))?;
        let tls = tokio_rustls::TlsConnector::from(tls_config()?).connect(name, stream).await;
        exchange(tls.map_err(|error| Stop::failed("TLS", error))?, &request).await?
    } else {
        exchange(stream, &request).await?
    };
    let mut answer = read_answer(&bytes).ok_or_else(|| Stop::Failed("the answer is no HTTP".into()))?;
    if let Some(object) = answer.as_object_mut() {
        object.insert("url".into(), json!(args.url));
        object.insert("peer".into(), json!(peer));
        object.insert("duration_ms".into(), json!(super::millis(began)));
    }
    Ok(answer)
}

/// TLS as a browser would check it, with the authorities that this host trusts.
fn tls_config() -> Step<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    for bundle in BUNDLES {
        let Ok(bytes) = std::fs::read(bundle) else { continue };
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok));
        break;
    }
    if roots.is_empty() {
        return Err(Stop::not_applicable("this host has no bundle of certificate authorities"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| Stop::failed("TLS", error))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Step<Vec<u8>> {
    let sent = stream.write_all(request.as_bytes()).await;
    sent.map_err(|error| Stop::failed("sending the request", error))?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    while (bytes.len() as u64) < ANSWER_BYTES_MAX && !is_whole(&bytes, request.starts_with("HEAD")) {
        match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            // Some servers end TLS without saying so: what came counts.
            Err(_) if !bytes.is_empty() => break,
            Err(error) => return Err(Stop::failed("reading the answer", error)),
        }
    }
    Ok(bytes)
}

fn split_head(bytes: &[u8]) -> Option<(String, &[u8])> {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = bytes.split_at(at);
    Some((String::from_utf8_lossy(head).into_owned(), body.get(4..).unwrap_or_default()))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn is_whole(bytes: &[u8], head_only: bool) -> bool {
    let Some((head, body)) = split_head(bytes) else { return false };
    let length = header(&head, "content-length").and_then(|text| text.parse::<usize>().ok());
    head_only || length.is_some_and(|length| body.len() >= length)
}

pub(in crate::verbs) fn read_answer(bytes: &[u8]) -> Option<Value> {
    let (head, body) = split_head(bytes)?;
    let mut words = head.lines().next()?.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    let status: u16 = words.next()?.parse().ok()?;
    let chunked =
        header(&head, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let body = if chunked { dechunk(body) } else { body.to_vec() };
    let cut = |text: &str| text.trim().chars().take(HEADER_CHARS_MAX).collect::<String>();
    let headers: Vec<Value> = head
        .lines()
        .skip(1)
        .take(HEADERS_MAX)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| json!([cut(name), cut(value)]))
        .collect();
    let (key, content) = match std::str::from_utf8(&body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_b64", base64::engine::general_purpose::STANDARD.encode(&body)),
    };
    let truncated = bytes.len() as u64 >= ANSWER_BYTES_MAX;
    Some(
        json!({ "status": status, "headers": headers, "bytes": body.len(), "truncated": truncated, key: content }),
    )
}

/// The content of a chunked body, as far as it came.
fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(at) = body.windows(2).position(|window| window == b"\r\n") {
        let (size, rest) = body.split_at(at);
        let size = String::from_utf8_lossy(size);
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).unwrap_or(0);
        let rest = rest.get(2..).unwrap_or_default();
        if size == 0 {
            break;
        }
        let (chunk, rest) = rest.split_at(size.min(rest.len()));
        content.extend_from_slice(chunk);
        body = rest.get(2..).unwrap_or_default();
    }
    content
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_and_answers() {
        let url = Url::parse("https://[::1]:8443/a?b#c").unwrap();
        assert_eq!(
            (url.tls, url.host.as_str(), url.port, url.target.as_str()),
            (true, "[::1]", 8443, "/a?b")
        );
        assert_eq!(Url::parse("http://[::1]").unwrap().port, 80);
        assert_eq!(Url::parse("http://a?x=1").unwrap().target, "/?x=1");
        assert_eq!(Url::parse("http://a:99999/"), None);
        assert_eq!(dechunk(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(dechunk(b"ff\r\nab"), b"ab");
        let answer = read_answer(b"HTTP/1.1 301 Moved\r\nLocation: http://b/\r\n\r\n").unwrap();
        assert_eq!(answer.get("status"), Some(&json!(301)));
        assert_eq!(read_answer(b"SSH-2.0-OpenSSH\r\n\r\n"), None);
    }

    #[test]
    fn metadata_services_in_any_spelling() {
        for text in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200"] {
            assert!(is_metadata(&text.parse().unwrap()), "{text}");
        }
        assert!(!is_metadata(&"127.0.0.1".parse().unwrap()));
    }
}
