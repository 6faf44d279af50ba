//! An edge that alters the first copy of each grant and then delivers the true one: a proxy in front of the real server.
//!
//! Owns the proxy. Never changes what a probe says.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A hostile edge; its address, and how many grants it has altered.
pub struct Hostile {
    pub url: String,
    pub altered: Arc<AtomicUsize>,
}

impl Hostile {
    /// One in front of the server at this address (`http://127.0.0.1:port`).
    pub fn before(server: &str) -> Self {
        let to = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let altered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&altered);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&to) else { continue };
                serve(client, server, Arc::clone(&count));
            }
        });
        Self { url, altered }
    }
}

fn serve(client: TcpStream, server: TcpStream, altered: Arc<AtomicUsize>) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let (mut server, mut client) = (server, client);
        let _ = answers(&mut server, &mut client, &altered);
        let _ = client.shutdown(Shutdown::Both);
    });
}

/// Plain HTTP goes through as it is; frames of a WebSocket are looked at.
fn answers(server: &mut TcpStream, client: &mut TcpStream, altered: &AtomicUsize) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        server.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    client.write_all(&head)?;
    if !head.starts_with(b"HTTP/1.1 101") {
        std::io::copy(server, client)?;
        return Ok(());
    }
    loop {
        let (head, body) = frame(server)?;
        if let Some(bad) = flipped(&body, altered.load(Ordering::SeqCst)) {
            altered.fetch_add(1, Ordering::SeqCst);
            client.write_all(&head)?;
            client.write_all(&bad)?;
        }
        client.write_all(&head)?;
        client.write_all(&body)?;
    }
}

/// A frame of a server (RFC 6455 section 5.2: not masked), as its head and its payload.
fn frame(server: &mut TcpStream) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = vec![0; 2];
    server.read_exact(&mut head)?;
    let more = match head[1] {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut length = vec![0; more];
    server.read_exact(&mut length)?;
    let size = if more == 0 {
        usize::from(head[1])
    } else {
        length.iter().fold(0, |size, byte| size << 8 | usize::from(*byte))
    };
    head.extend(length);
    let mut body = vec![0; size];
    server.read_exact(&mut body)?;
    Ok((head, body))
}

/// A grant with one character of its signature, plan or leaf changed, by turns; of the same length.
fn flipped(body: &[u8], turn: usize) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.contains("\"kind\":\"grant\""))?;
    let field = ["\"sig\":\"", "\"plan\":\"", "\"key\":\""][turn % 3];
    let place = text.find(field)? + field.len() + 12;
    let mut bad = body.to_vec();
    bad[place] = if bad[place] == b'b' { b'c' } else { b'b' };
    Some(bad)
}
