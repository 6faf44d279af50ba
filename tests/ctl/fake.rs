//! A server of a few lines that answers what it is told to: odd answers, or those of a real server with one of them changed.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// An answer: status, content type, body.
pub type Answer = (u16, &'static str, Vec<u8>);

pub fn json(status: u16, body: &serde_json::Value) -> Answer {
    (status, "application/json", body.to_string().into_bytes())
}

/// Starts one on a port of its own; its address. It ends with the test.
pub fn serve(answer: impl Fn(&str, &str, &[u8]) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || one(stream, &*answer));
        }
    });
    url
}

fn one(mut stream: TcpStream, answer: &dyn Fn(&str, &str, &[u8]) -> Answer) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    let head = loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break String::from_utf8_lossy(&bytes[..end]).into_owned();
        }
    };
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let start = head.len() + 4;
    while bytes.len() < start + length.unwrap_or(0) {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (status, kind, body) = answer(method, path, &bytes[start..]);
    let head = format!(
        "HTTP/1.1 {status} Odd\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // A client that has seen enough goes away.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}
