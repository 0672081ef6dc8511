//! Certificates that travel compressed, and what foreign decoders make of them.

use std::sync::Mutex;

use portunus_tests::foreign::{brotli, python};
use portunus_tests::{Proxy, echo, tls};
use rustls::CertificateCompressionAlgorithm;
use rustls::compress::{
    BROTLI_DECOMPRESSOR, CertDecompressor, DecompressionFailed, ZLIB_DECOMPRESSOR,
};

const NAME: &str = "app.example";

/// Decompresses as rustls does, and keeps what went in and came out.
#[derive(Debug)]
struct Recorder {
    decompressor: &'static dyn CertDecompressor,
    seen: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl Recorder {
    /// Lives as long as rustls wants it to.
    fn new(decompressor: &'static dyn CertDecompressor) -> &'static Self {
        Box::leak(Box::new(Self { decompressor, seen: Mutex::default() }))
    }

    fn seen(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.seen.lock().unwrap().clone()
    }
}

impl CertDecompressor for Recorder {
    fn decompress(&self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressionFailed> {
        self.decompressor.decompress(input, output)?;
        self.seen.lock().unwrap().push((input.to_vec(), output.to_vec()));
        Ok(())
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        self.decompressor.algorithm()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_compressed_as_the_client_can_read_it() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    for decompressor in [BROTLI_DECOMPRESSOR, ZLIB_DECOMPRESSOR] {
        let recorder = Recorder::new(decompressor);
        let client = proxy.client(NAME).decompressing(&[recorder]);
        // The second time it comes from what is kept.
        let leaf = client.connect().await.leaf();
        assert_eq!(client.connect().await.leaf(), leaf);
        let seen = recorder.seen();
        let [first, second] = &*seen else { panic!("{} certificates", seen.len()) };
        assert_eq!(first, second);
        let (compressed, plain) = first;
        assert!(compressed.len() < plain.len(), "{} {}", compressed.len(), plain.len());
        assert!(plain.windows(leaf.len()).any(|window| window == leaf));

        let decoder = match decompressor.algorithm() {
            CertificateCompressionAlgorithm::Zlib => python().map(|it| it.args(["-c", INFLATE])),
            _ => brotli().map(|it| it.args(["-dc"])),
        };
        let Some(decoder) = decoder else { continue };
        let output = decoder.input(compressed).run().await;
        output.expect_success();
        assert!(output.out == *plain, "{:?}: not what went in", decompressor.algorithm());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_both_ways_zlib_is_taken_and_without_an_offer_none() {
    let proxy = Proxy::builder().listener(tls(NAME)).backend(echo()).start().await;
    let recorders = [BROTLI_DECOMPRESSOR, ZLIB_DECOMPRESSOR].map(Recorder::new);
    let [brotli, zlib] = recorders;
    proxy.client(NAME).decompressing(&[brotli, zlib]).connect().await;
    proxy.client(NAME).decompressing(&[]).connect().await;
    assert_eq!(recorders.map(|recorder| recorder.seen().len()), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_can_be_switched_off() {
    let listener = tls(NAME).with("tls", "{ certificate_compression = false }");
    let proxy = Proxy::builder().listener(listener).backend(echo()).start().await;
    let recorder = Recorder::new(ZLIB_DECOMPRESSOR);
    proxy.client(NAME).decompressing(&[recorder]).connect().await;
    assert!(recorder.seen().is_empty());
}

const INFLATE: &str = "import sys, zlib
sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))";
