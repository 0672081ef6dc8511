//! Many bytes, both ways at once: what is sent arrives, in its order, and each direction ends for
//! itself.
//!
//! `PORTUNUS_TEST_VOLUME` says how many mebibytes that are for each direction of each way.

use std::time::Duration;

use portunus_tests::raw;
use portunus_tests::wait::PATIENCE;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::hash::Context;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Path, Way};

/// How many bytes, and their digest.
type Digest = (u64, Vec<u8>);

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_at_once_carry_what_was_sent_whatever_the_way() {
    let size = volume() << 20;
    for way in Way::ALL {
        let (tell, mut told) = mpsc::channel(1);
        let backend = raw(move |stream, _| {
            let tell = tell.clone();
            async move {
                let (from, to) = stream.into_split();
                // The direction of the backend ends first, by a few bytes.
                tell.send(tokio::join!(send(to, 3, size - 9), take(from))).await.unwrap();
            }
        });
        let path = Path::start(way, backend).await;
        let (from, to) = tokio::io::split(path.connect().await);
        let both = async {
            let (sent, taken) = tokio::join!(send(to, 5, size), take(from));
            (sent, taken, told.recv().await.unwrap())
        };
        let patience = PATIENCE + Duration::from_secs(volume());
        let (sent, taken, (backend_sent, backend_taken)) =
            timeout(patience, both).await.expect("it goes on");
        assert_eq!((sent.0, taken.0), (size, size - 9), "{way:?}");
        assert!(sent == backend_taken, "{way:?}: to the backend {} bytes", backend_taken.0);
        assert!(backend_sent == taken, "{way:?}: to the client {} bytes", taken.0);
        let line = path.near.wait_for_log("closed", &[("reason", "done")]).await;
        if way != Way::PassedThrough {
            assert_eq!(line.field("bytes_upstream"), size.to_string(), "{way:?}");
            assert_eq!(line.field("bytes_downstream"), (size - 9).to_string(), "{way:?}");
        }
    }
}

fn volume() -> u64 {
    std::env::var("PORTUNUS_TEST_VOLUME").map_or(12, |text| text.parse().expect("a number"))
}

/// Sends `size` bytes that differ from place to place, in pieces of a prime size, and ends.
async fn send(mut to: impl AsyncWrite + Unpin, seed: u64, size: u64) -> Digest {
    let mut piece: Vec<u8> = (0..PIECE).map(|place| ((place * 31 + seed) % 251) as u8).collect();
    let mut hash = hash();
    let mut sent = 0;
    while sent < size {
        piece[..8].copy_from_slice(&(sent ^ seed).to_be_bytes());
        let count = (size - sent).min(PIECE) as usize;
        hash.update(&piece[..count]);
        to.write_all(&piece[..count]).await.unwrap();
        sent += count as u64;
    }
    to.shutdown().await.unwrap();
    (sent, hash.finish().as_ref().to_vec())
}

/// Takes everything up to the end.
async fn take(mut from: impl AsyncRead + Unpin) -> Digest {
    let mut hash = hash();
    let mut taken = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await.unwrap();
        if count == 0 {
            return (taken, hash.finish().as_ref().to_vec());
        }
        hash.update(&buffer[..count]);
        taken += count as u64;
    }
}

/// SHA-256.
fn hash() -> Box<dyn Context> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("a suite of TLS 1.3");
    suite.common.hash_provider.start()
}

/// A prime near 64 KiB.
const PIECE: u64 = 65_521;
