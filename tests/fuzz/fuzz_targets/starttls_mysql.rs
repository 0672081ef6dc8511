//! MySQL before TLS, the greeting of a backend, and a login under TLS.
//!
//! Owns the calls, and what holds of packets: they are gathered to the byte, and a login ends. What
//! holds of dialogues is in the harness. The first byte is the size of the pieces.

#![no_main]

#[path = "../../src/dialogue.rs"]
mod dialogue;

use libfuzzer_sys::fuzz_target;
use portunus::starttls::WithoutTls;
use portunus::starttls::mysql::{
    BackendWay, Gathering, Heard, Login, Opening, Packet, Server, Verdict,
};

fuzz_target!(|bytes: &[u8]| {
    let greeting = Packet { sequence: 0, payload: vec![10] };
    for without_tls in [WithoutTls::Allowed, WithoutTls::Refused] {
        let _ = dialogue::serve(|| Server::new(greeting.clone(), without_tls), bytes);
    }
    let packets = packets(bytes.get(1..).unwrap_or_default()).into_iter();
    let mut greeting = greeting;
    if let Some(Ok(opening)) = packets.clone().next().map(Opening::read) {
        assert!(!opening.bytes().is_empty());
        if let Opening::Greeting(shown) = opening {
            greeting = shown;
        }
    }
    for way in [BackendWay::Tcp, BackendWay::Unix] {
        log_in(Login::new(&greeting, way), packets.clone());
    }
});

/// Leads a login in which client and backend say these packets in turn.
fn log_in(mut login: Login, mut packets: impl Iterator<Item = Packet>) {
    while let Some(packet) = packets.next() {
        if login.of_client(packet).is_err() {
            return;
        }
        match packets.next().map(|packet| login.of_backend(packet)) {
            Some(Ok(Heard::Answer(_) | Heard::Client(_, Verdict::Pending))) => {}
            Some(Ok(Heard::Client(_, Verdict::Given)) | Err(_)) | None => return,
        }
    }
}

/// The packets that stand in `bytes`; what follows a packet that is too large is none.
fn packets(mut bytes: &[u8]) -> Vec<Packet> {
    let mut all = Vec::new();
    let mut gathering = Gathering::default();
    while let Ok(taken @ 1..) = gathering.take(bytes) {
        bytes = &bytes[taken..];
        all.extend(gathering.finish());
    }
    all
}
