//! A client that speaks plain HTTP where TLS is spoken.
//!
//! Owns the one answer to it. Never reads what it sent: the first byte says that it is no TLS.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const ANSWER: &str = "{\"type\":\"urn:legator:problem:tls-needed\",\"title\":\"Bad Request\",\"status\":400,\
    \"detail\":\"this port speaks TLS\",\"code\":\"tls-needed\",\"hint\":\"use https:// in the address\"}";

/// Whether the peer begins with a letter, as a request does and no TLS record. Waits for its first byte.
pub(super) async fn is_plain(stream: &TcpStream) -> bool {
    let mut first = [0; 1];
    matches!(stream.peek(&mut first).await, Ok(1) if first.first().is_some_and(u8::is_ascii_alphabetic))
}

/// Says that TLS is needed.
pub(super) async fn answer(mut stream: TcpStream) {
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        ANSWER.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(ANSWER.as_bytes()).await;
    let _ = stream.shutdown().await;
    // What it sent has to be taken, or closing would reset the connection before it has read the answer.
    let mut rest = vec![0; 16 * 1024];
    while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await {}
}
