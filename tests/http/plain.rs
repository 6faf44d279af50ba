//! Bytes over a plain socket: what no well-behaved client would send.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status; none when the server closed without a word.
    pub status: Option<u16>,
    /// Everything that was read.
    pub text: String,
}

/// Sends bytes and reads until the answer is whole enough, or the server closes; half a minute at most.
pub async fn send(at: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // A server that refuses early may close while this still writes: what it said is what counts.
    let _ = stream.write_all(bytes).await;
    let mut read = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            read.extend_from_slice(&buffer[..count]);
            if read.windows(4).any(|part| part == b"\r\n\r\n") {
                return;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), reading).await.is_ok();
    assert!(ended, "no answer within half a minute");
    let text = String::from_utf8_lossy(&read).into_owned();
    let status =
        text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    Answer { status, text }
}

/// A request head with the body after it; `Host` and `Content-Length` only where the headers have none.
pub fn request(at: SocketAddr, line: (&str, &str), headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let has = |name: &str| headers.iter().any(|(one, _)| one.eq_ignore_ascii_case(name));
    let mut head = format!("{} {} HTTP/1.1\r\n", line.0, line.1);
    if !has("host") {
        head.push_str(&format!("Host: {at}\r\n"));
    }
    if !has("content-length") && !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}
