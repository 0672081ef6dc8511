//! A port that nobody else gets: bound here without listening, so that a server of another process,
//! which asks for reuse just as this does, may listen there.
//!
//! Owns the search for one, and that for an address of a host of its own. Refuses to know who
//! listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

/// A port of 127.0.0.1, while this lives.
#[derive(Debug)]
pub(crate) struct Reserved {
    port: u16,
    _socket: Socket,
}

impl Reserved {
    /// Any port.
    pub(crate) fn new() -> Self {
        Self::below(u16::MAX)
    }

    /// A port of at most `max`.
    pub(crate) fn below(max: u16) -> Self {
        let candidates = std::iter::repeat_with(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_reuse_address(true).expect("a property of every socket");
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            socket.bind(&any.into()).expect("a free port");
            let port = socket.local_addr().ok().and_then(|address| address.as_socket());
            Self { port: port.expect("it is bound").port(), _socket: socket }
        });
        // Those that do not fit are kept until one does, so that they are not offered again.
        let mut unfit = Vec::new();
        for candidate in candidates {
            if candidate.port <= max {
                return candidate;
            }
            unfit.push(candidate);
        }
        unreachable!("candidates never end")
    }

    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        self.port
    }

    /// Whether somebody listens there.
    pub(crate) fn listens(&self) -> bool {
        // Asked of the kernel: a connection would be one that a peer counts and logs.
        let wanted = format!("0100007F:{:04X}", self.port);
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's list of sockets");
        table.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next() == Some(&wanted) && fields.nth(1) == Some(LISTENING)
        })
    }
}

/// An address that is free, and that no connection takes before it is used: of a host of its own.
pub fn own_address() -> SocketAddr {
    static HOSTS: AtomicU16 = AtomicU16::new(0);
    let [high, low] = HOSTS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let any = SocketAddr::from(([127, 80, high, low], 0));
    TcpListener::bind(any).and_then(|socket| socket.local_addr()).expect("there is a free port")
}

/// The state of a socket that listens, as the kernel writes it.
const LISTENING: &str = "0A";
