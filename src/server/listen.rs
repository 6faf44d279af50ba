//! Sockets that wait for connections.
//!
//! Owns the length of the queue before `accept`. Where that queue is full, the kernel answers by SYN cookies: a client that then says
//! nothing believes that it is connected, and nobody here ever hears of it. Invariant: the queue is as long as the system allows.

use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};

/// The kernel takes the smaller one of this and `net.core.somaxconn`.
const QUEUE: u32 = 65_535;

/// Listens on an address.
pub fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    // A restart is not kept from its port by connections of the run before.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(QUEUE)
}
