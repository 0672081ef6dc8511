//! A DNS server for tests, on a port of its own, over UDP and TCP (RFC 1035).
//!
//! Owns just enough of the wire format to answer well and badly, written without the library that
//! the product has. A name that nothing was said about does not exist.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use crate::drain::Drain;

/// What is answered to a question.
#[derive(Clone, Debug)]
pub(super) enum Say {
    /// Addresses, with a time to live in seconds.
    Addresses(u32, Vec<IpAddr>),
    /// Bytes that are no DNS.
    Garbage,
    /// No error, and no record.
    Nothing,
    /// The answer to another question.
    Other(u32, Vec<IpAddr>),
    /// An error.
    Code(u8),
    /// Hosts of a service: priority, weight, port and name.
    Services(u32, Vec<(u16, u16, u16, &'static str)>),
    /// No answer at all.
    Silence,
}

pub(super) const NXDOMAIN: Say = Say::Code(3);
pub(super) const SERVFAIL: Say = Say::Code(2);
pub(super) const REFUSED: Say = Say::Code(5);

/// Question types.
pub(super) const A: u16 = 1;
pub(super) const AAAA: u16 = 28;
pub(super) const SRV: u16 = 33;

/// A running server.
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    answers: HashMap<(String, u16), Say>,
    questions: usize,
}

impl Server {
    pub(super) async fn start() -> Self {
        let (udp, tcp) = bind().await;
        let addr = udp.local_addr().unwrap();
        let book = Arc::<Mutex<Book>>::default();
        let (_, watch) = Drain::new();
        let answers = Arc::clone(&book);
        watch.spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((count, peer)) = udp.recv_from(&mut buffer).await {
                if let Some(mut answer) = reply(&buffer[..count], &answers) {
                    if answer.len() > UDP_BYTES_MAX {
                        // The header and the question, and the bit that says that there is more.
                        answer.truncate(12 + question_bytes(&buffer[12..count]));
                        answer[2] |= 2;
                        answer[6..12].fill(0);
                    }
                    let _ = udp.send_to(&answer, peer).await;
                }
            }
        });
        let answers = Arc::clone(&book);
        watch.spawn(async move {
            while let Ok((mut socket, _)) = tcp.accept().await {
                let _ = serve(&mut socket, &answers).await;
            }
        });
        Self { addr, book }
    }

    /// From now on, this is the answer.
    pub(super) fn say(&self, name: &str, kind: u16, answer: Say) {
        self.book.lock().unwrap().answers.insert((name.to_owned(), kind), answer);
    }

    /// The addresses of a name, of either kind.
    pub(super) fn say_addresses(&self, name: &str, ttl: u32, addrs: &[&str]) {
        let addrs: Vec<IpAddr> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        let (v4, v6): (Vec<_>, Vec<_>) = addrs.into_iter().partition(IpAddr::is_ipv4);
        for (kind, addrs) in [(A, v4), (AAAA, v6)] {
            let say = if addrs.is_empty() { Say::Nothing } else { Say::Addresses(ttl, addrs) };
            self.say(name, kind, say);
        }
    }

    /// The same answer to the questions for both kinds of addresses.
    pub(super) fn say_both(&self, name: &str, answer: &Say) {
        [A, AAAA].into_iter().for_each(|kind| self.say(name, kind, answer.clone()));
    }

    /// How often anything was asked.
    pub(super) fn questions(&self) -> usize {
        self.book.lock().unwrap().questions
    }
}

/// A port that is free for both.
async fn bind() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn serve(socket: &mut tokio::net::TcpStream, book: &Mutex<Book>) -> io::Result<()> {
    loop {
        let mut question = vec![0; socket.read_u16().await?.into()];
        socket.read_exact(&mut question).await?;
        if let Some(answer) = reply(&question, book) {
            socket.write_u16(u16::try_from(answer.len()).unwrap()).await?;
            socket.write_all(&answer).await?;
        }
    }
}

/// The whole message that answers the whole message `query`.
fn reply(query: &[u8], book: &Mutex<Book>) -> Option<Vec<u8>> {
    let asked = query.get(12..)?;
    let mut question = asked[..question_bytes(asked)].to_vec();
    let kind = u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]]);
    let mut book = book.lock().unwrap();
    book.questions += 1;
    let say = book.answers.get(&(name_of(asked), kind)).cloned().unwrap_or(NXDOMAIN);
    drop(book);
    let (code, records) = match say {
        Say::Silence => return None,
        Say::Garbage => return Some(b"this is not it".to_vec()),
        Say::Code(code) => (code, Vec::new()),
        Say::Nothing => (0, Vec::new()),
        Say::Addresses(ttl, addrs) => (0, addresses(ttl, &addrs)),
        Say::Other(ttl, addrs) => {
            question = b"\x04evil\x07example\x00\x00\x01\x00\x01".to_vec();
            (0, addresses(ttl, &addrs))
        }
        Say::Services(ttl, hosts) => (0, services(ttl, &hosts)),
    };
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    answer.extend(question);
    answer.extend(records.concat());
    Some(answer)
}

fn addresses(ttl: u32, addrs: &[IpAddr]) -> Vec<Vec<u8>> {
    let record = |addr: &IpAddr| match addr {
        IpAddr::V4(addr) => record(A, ttl, &addr.octets()),
        IpAddr::V6(addr) => record(AAAA, ttl, &addr.octets()),
    };
    addrs.iter().map(record).collect()
}

fn services(ttl: u32, hosts: &[(u16, u16, u16, &str)]) -> Vec<Vec<u8>> {
    let record = |(priority, weight, port, name): &(u16, u16, u16, &str)| {
        let mut data: Vec<u8> =
            [priority, weight, port].map(|number| number.to_be_bytes()).concat();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            data.push(u8::try_from(label.len()).unwrap());
            data.extend(label.as_bytes());
        }
        data.push(0);
        record(SRV, ttl, &data)
    };
    hosts.iter().map(record).collect()
}

/// A record for the name in question.
fn record(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0xc0, 12];
    record.extend(kind.to_be_bytes());
    record.extend([0, 1]);
    record.extend(ttl.to_be_bytes());
    record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend(data);
    record
}

/// The labels at the start of `bytes`.
fn labels(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut labels, mut rest) = (Vec::new(), bytes);
    while let [length, tail @ ..] = rest
        && *length > 0
    {
        let (label, tail) = tail.split_at(usize::from(*length));
        labels.push(label);
        rest = tail;
    }
    labels
}

fn name_of(bytes: &[u8]) -> String {
    let labels = labels(bytes).into_iter().map(|label| String::from_utf8_lossy(label));
    labels.collect::<Vec<_>>().join(".").to_ascii_lowercase()
}

/// Labels with their lengths, the root, type and class.
fn question_bytes(bytes: &[u8]) -> usize {
    labels(bytes).iter().map(|label| label.len() + 1).sum::<usize>() + 5
}

/// What may travel without an extension.
const UDP_BYTES_MAX: usize = 512;
