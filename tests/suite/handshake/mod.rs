//! Handshakes: which are agreed on, for whom, and what becomes of those that are not.
//!
//! `compression` is about certificates that travel compressed, `names` about what is agreed on and
//! for which name, `hello` about the first message in every shape, `limits` about clients that take
//! their time or come in masses, `patience` about clients that are foreign and non-blocking.

mod compression;
mod hello;
mod limits;
mod names;
mod patience;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use portunus_tests::wait::within;

/// What comes before the end of the connection, however it ends.
pub(crate) async fn last_words(tcp: &mut TcpStream) -> Vec<u8> {
    let mut words = Vec::new();
    let mut buffer = [0; 4096];
    let read = async {
        while let Ok(count @ 1..) = tcp.read(&mut buffer).await {
            words.extend(&buffer[..count]);
        }
    };
    within("the end of the connection", read).await;
    words
}

/// The description of the fatal alert that `bytes` are.
#[track_caller]
pub(crate) fn alert(bytes: &[u8]) -> u8 {
    let [21, 3, _, 0, 2, 2, description] = *bytes else {
        panic!("not one fatal alert: {bytes:?}");
    };
    description
}
