//! What no client library does: ClientHellos that change their mind, and old ones.

use super::*;
use crate::outcome::HandshakeFailure;

/// A ClientHello in a record.
fn client_hello(suite: u16, name: &str, extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut all = Vec::new();
    let name = vector16(&[&[0][..], &vector16(name.as_bytes())].concat());
    let common: [(u16, &[u8]); 3] = [
        (0, &name),
        // X25519.
        (10, &[0, 2, 0, 29]),
        // ECDSA with P-256, RSA-PSS.
        (13, &[0, 4, 4, 3, 8, 4]),
    ];
    for (number, body) in common.iter().chain(extensions) {
        all.extend(number.to_be_bytes());
        all.extend(vector16(body));
    }
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    // No session id; one suite; no compression.
    hello.push(0);
    hello.extend(vector16(&suite.to_be_bytes()));
    hello.extend([1, 0]);
    hello.extend(vector16(&all));
    let message = [&[1, 0][..], &vector16(&hello)].concat();
    [&[22, 3, 1][..], &vector16(&message)].concat()
}

/// The bytes behind their number.
pub(super) fn vector16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A ClientHello of TLS 1.3, with the shares of keys as they stand in it.
fn hello13(name: &str, shares: &[u8]) -> Vec<u8> {
    client_hello(0x1301, name, &[(43, &[2, 3, 4]), (51, shares)])
}

/// Sends each of `hellos` after the answer to the one before, and returns the types of the records
/// that came last, with how the server saw it.
async fn say(bench: &Bench, hellos: &[Vec<u8>]) -> (Vec<u8>, HandshakeFailure) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let client = async move {
        let mut buf = [0; 16 * 1024];
        let mut count = 0;
        for hello in hellos {
            theirs.write_all(hello).await.unwrap();
            count = theirs.read(&mut buf).await.unwrap_or(0);
        }
        buf[..count].to_vec()
    };
    let (served, answer) = tokio::join!(Box::pin(bench.serve(ours)), Box::pin(client));
    (answer, served.unwrap_err().failure())
}

#[tokio::test]
async fn a_second_client_hello_cannot_ask_for_another_site() {
    let bench = Bench::new();
    let none = vector16(&[]);
    let share = vector16(&[&[0, 29, 0, 32][..], &[9; 32]].concat());
    for (first, second, goes_on) in [
        ("b.example", "b.example", true),
        ("b.example", "a.example", false),
        ("a.example", "b.example", false),
        ("a.example", "a.example", true),
    ] {
        let hellos = [hello13(first, &none), hello13(second, &share)];
        let (answer, failure) = say(&bench, &hellos).await;
        if goes_on {
            // ServerHello, and the client goes away.
            assert_eq!(answer[0], 22, "{first} {second}");
            assert_eq!(failure, HandshakeFailure::ClientClosed);
        } else {
            assert!(answer.first().is_none_or(|kind| *kind == 21), "{answer:?}");
            assert_eq!(failure, HandshakeFailure::ClientProtocol);
        }
    }
}

#[tokio::test]
async fn an_authenticated_client_of_tls_1_2_has_to_bind_its_keys_to_the_handshake() {
    let bench = Bench::new();
    let points: (u16, &[u8]) = (11, &[1, 0]);
    let master_secret: (u16, &[u8]) = (23, &[]);
    for name in ["a.example", "b.example", "c.example"] {
        let bound = client_hello(0xc02b, name, &[points, master_secret]);
        let (answer, _) = say(&bench, &[bound]).await;
        assert_eq!(answer[0], 22, "{name}");
        let loose = client_hello(0xc02b, name, &[points]);
        let (answer, failure) = say(&bench, &[loose]).await;
        if name == "b.example" {
            assert_eq!(answer[0], 22);
        } else {
            // A fatal alert: handshake_failure.
            assert_eq!((answer[0], &answer[5..7]), (21, &[2, 40][..]), "{name}");
            assert_eq!(failure, HandshakeFailure::ClientProtocol);
        }
    }
}
