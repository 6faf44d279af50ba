//! The network verbs against servers of their own on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use crate::bench::Bench;
use legator_core::task::Outcome;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};

/// Answers one request with these bytes and returns what was asked.
fn serve(answer: &'static [u8]) -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut buffer) = (Vec::new(), [0; 1024]);
        while !asked.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0);
            asked.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(answer).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (port, served)
}

#[tokio::test]
async fn a_web_server_is_asked_once_and_a_redirect_is_told() {
    let bench = Bench::new();
    let (port, served) = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello");
    let did = bench.run("net.http", json!({ "url": format!("http://localhost:{port}/a?b=c") })).await;
    assert_eq!(did.done.outcome, Outcome::Succeeded, "{:?}", did.done.detail);
    let result = did.done.result.unwrap();
    assert_eq!((&result["status"], &result["body"]), (&json!(200), &json!("hello")));
    let asked = served.join().unwrap();
    assert!(
        asked.starts_with("GET /a?b=c HTTP/1.1\r\n")
            && asked.contains(&format!("Host: localhost:{port}\r\n")),
        "{asked}"
    );
    let (port, served) = serve(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n");
    let did =
        bench.run("net.http", json!({ "url": format!("http://127.0.0.1:{port}/"), "method": "HEAD" })).await;
    assert_eq!(did.done.result.unwrap()["status"], json!(302));
    assert!(served.join().unwrap().starts_with("HEAD / "));
    let did = bench.run("net.http", json!({ "url": "http://169.254.169.254/latest/meta-data/" })).await;
    assert_eq!(did.refusal(), "secret-path", "the host's identity is not given out");
}

#[tokio::test]
async fn a_port_that_listens_and_one_that_does_not() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let did = bench.run("net.tcp", json!({ "host": "127.0.0.1", "port": port })).await;
    assert_eq!(did.done.outcome, Outcome::Succeeded);
    drop(listener);
    let did = bench.run("net.tcp", json!({ "host": "127.0.0.1", "port": port })).await;
    assert_eq!(did.done.outcome, Outcome::Failed);
    assert!(did.done.detail.unwrap().contains("refused"));
}

#[tokio::test]
async fn a_name_server_is_asked_and_a_forged_answer_is_passed_over() {
    let bench = Bench::new();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let mut buffer = [0; 512];
        let (length, peer) = server.recv_from(&mut buffer).unwrap();
        let mut answer = buffer[..length].to_vec();
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 9]);
        let mut forged = answer.clone();
        forged[0] ^= 0xff;
        let last = forged.len() - 1;
        forged[last] = 66;
        server.send_to(&forged, peer).unwrap();
        server.send_to(&answer, peer).unwrap();
    });
    let did = bench.run("net.dns", json!({ "name": "example.org", "server": address.to_string() })).await;
    served.join().unwrap();
    let result = did.done.result.unwrap();
    assert_eq!(result["answers"][0]["data"], json!("203.0.113.9"), "{result}");
    let local = bench.run("net.dns", json!({ "name": "localhost" })).await.done.result.unwrap();
    assert_eq!(local["answers"][0]["data"], json!("127.0.0.1"));
}
