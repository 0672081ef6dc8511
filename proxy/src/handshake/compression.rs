//! Certificates that travel compressed (RFC 8879), for clients of TLS 1.3 that offer it.
//!
//! Owns which algorithms are spoken, how hard they try, and how many results are kept. rustls
//! tries its hardest, which for a chain of two certificates is 3 ms of brotli in the middle of a
//! handshake that takes 0.11 ms, and keeps four results. Here the compressors are held to the
//! quick level: 0.04 to 0.09 ms of brotli or 0.03 to 0.08 ms of zlib, for a result that is larger
//! than the best by a tenth at most. A result that is kept costs nothing that can be measured, and
//! the chain shrinks by a quarter to a third; so compression is on. zlib stands first: it costs
//! less than brotli in a hurry and comes as far. Chrome has brotli only.
//!
//! Nothing that a client has compressed is ever inflated: a server that does not ask for
//! compressed certificates does not get any (section 3). Refuses to know certificates. Read next:
//! `policy`.

use std::sync::Arc;

use rustls::compress::{
    BROTLI_COMPRESSOR, CertCompressor, CompressionCache, CompressionFailed, CompressionLevel,
    ZLIB_COMPRESSOR,
};
use rustls::{CertificateCompressionAlgorithm, ServerConfig};

use crate::config;

/// How the certificates of a listener travel.
#[derive(Clone, Debug)]
pub(super) struct Compression {
    /// `None` if they travel as they are.
    cache: Option<Arc<CompressionCache>>,
}

impl Compression {
    /// As the configuration of `listener` has it.
    pub(super) fn of(listener: &config::Listener) -> Self {
        let cache =
            listener.certificate_compression.then(|| Arc::new(CompressionCache::new(KEPT_MAX)));
        Self { cache }
    }

    /// Sets it in `config`; every configuration of the listener shares what is kept.
    pub(super) fn apply(&self, config: &mut ServerConfig) {
        config.cert_decompressors = Vec::new();
        config.cert_compressors = match &self.cache {
            Some(cache) => {
                config.cert_compression_cache = Arc::clone(cache);
                vec![&ZLIB, &BROTLI]
            }
            None => Vec::new(),
        };
    }
}

/// A compressor that is quick, whatever it is asked for.
#[derive(Debug)]
struct Quick(&'static dyn CertCompressor);

impl CertCompressor for Quick {
    fn compress(&self, input: Vec<u8>, _: CompressionLevel) -> Result<Vec<u8>, CompressionFailed> {
        self.0.compress(input, CompressionLevel::Interactive)
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        self.0.algorithm()
    }
}

static BROTLI: Quick = Quick(BROTLI_COMPRESSOR);
static ZLIB: Quick = Quick(ZLIB_COMPRESSOR);

/// Results that are kept for a listener, at some 5 KiB each. They are searched one by one, under
/// a lock that all workers share, and 1024 would be 4 µs of searching.
const KEPT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;
    use rustls::server::ResolvesServerCertUsingSni;

    use super::*;

    #[test]
    fn nothing_that_a_client_compressed_is_inflated() {
        for cache in [None, Some(Arc::new(CompressionCache::new(1)))] {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
            assert!(!config.cert_decompressors.is_empty(), "rustls would do it by itself");
            Compression { cache }.apply(&mut config);
            assert!(config.cert_decompressors.is_empty());
        }
    }

    #[test]
    fn compressors_are_quick_even_if_rustls_asks_for_more() {
        // Something in which the hard-working brotli finds more.
        let input: Vec<u8> = (0..600_u32).flat_map(|n| (n * n / 7).to_be_bytes()).collect();
        for (ours, theirs) in [(&BROTLI, BROTLI_COMPRESSOR), (&ZLIB, ZLIB_COMPRESSOR)] {
            let asked = ours.compress(input.clone(), CompressionLevel::Amortized).unwrap();
            let quick = theirs.compress(input.clone(), CompressionLevel::Interactive).unwrap();
            assert_eq!(asked, quick, "{:?}", ours.algorithm());
            assert_eq!(ours.algorithm(), theirs.algorithm());
        }
        let hard = BROTLI_COMPRESSOR.compress(input.clone(), CompressionLevel::Amortized).unwrap();
        assert!(hard.len() < BROTLI.compress(input, CompressionLevel::Amortized).unwrap().len());
    }
}
