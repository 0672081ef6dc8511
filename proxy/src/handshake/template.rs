//! What the TLS configurations of a listener have in common: versions, suites, groups, protocols.
//!
//! Owns [`Templates`], built once, from which a configuration is made for each connection. There
//! are two kinds: for clients that stay anonymous, and for clients that are authenticated. Neither
//! keeps sessions: what may be kept, and bound to what, is given to each connection by `resume`.
//! Refuses to know sites and certificates. Read next: `policy`, which finishes them.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCertUsingSni};
use rustls::{
    CipherSuite, ConfigBuilder, ServerConfig, SupportedProtocolVersion, WantsVerifier, version,
};

use crate::config::{self, Mode, TlsVersion};

use super::compression::Compression;

/// The configurations of a listener, for each order of cipher suites.
#[derive(Debug)]
pub(super) struct Templates {
    aes_first: Template,
    chacha_first: Template,
}

/// Nobody is served by a template itself: it has no certificate.
#[derive(Debug)]
struct Template {
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    anonymous: ServerConfig,
}

impl Templates {
    /// The templates of `listener`.
    pub(super) fn new(listener: &config::Listener) -> Result<Self, rustls::Error> {
        let compression = Compression::of(listener);
        Ok(Self {
            aes_first: Template::new(listener, provider(AES_FIRST), &compression)?,
            chacha_first: Template::new(listener, provider(CHACHA_FIRST), &compression)?,
        })
    }

    /// A configuration for a client that offers `suites` and stays anonymous. It has no certificate
    /// yet, and keeps no sessions.
    pub(super) fn anonymous(&self, suites: &[CipherSuite]) -> ServerConfig {
        self.of(suites).anonymous.clone()
    }

    /// A configuration for a client that offers `suites` and is authenticated by `verifier`. It has
    /// no certificate yet, and keeps no sessions. Whoever gives it some has to ask the verifier
    /// again after each handshake that resumed one: rustls does not.
    pub(super) fn authenticated(
        &self,
        suites: &[CipherSuite],
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> ServerConfig {
        let Template { builder, anonymous } = self.of(suites);
        let builder = builder.clone().with_client_cert_verifier(verifier);
        let mut config = builder.with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        config.alpn_protocols.clone_from(&anonymous.alpn_protocols);
        config.ignore_client_order = anonymous.ignore_client_order;
        config.cert_compressors.clone_from(&anonymous.cert_compressors);
        config.cert_compression_cache = Arc::clone(&anonymous.cert_compression_cache);
        config.cert_decompressors.clone_from(&anonymous.cert_decompressors);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // Without it a man in the middle can carry a client's proof over to a connection of his own
        // (RFC 7627 §1).
        config.require_ems = true;
        config
    }

    fn of(&self, suites: &[CipherSuite]) -> &Template {
        match suites.iter().find(|suite| is_first_choice(**suite)) {
            Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) => &self.chacha_first,
            _ => &self.aes_first,
        }
    }
}

impl Template {
    fn new(
        listener: &config::Listener,
        provider: CryptoProvider,
        compression: &Compression,
    ) -> Result<Self, rustls::Error> {
        let versions: &[&SupportedProtocolVersion] = match listener.tls_version_min {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)?;
        let mut anonymous = builder
            .clone()
            .with_no_client_auth()
            // Replaced for each connection.
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        anonymous.alpn_protocols = alpn(listener);
        anonymous.ignore_client_order = true;
        anonymous.session_storage = Arc::new(NoServerSessionStorage {});
        compression.apply(&mut anonymous);
        anonymous.send_tls13_tickets = 0;
        Ok(Self { builder, anonymous })
    }
}

/// What is agreed on by ALPN, the better one first (RFC 7301, RFC 9113 §3.1).
pub(super) fn alpn(listener: &config::Listener) -> Vec<Vec<u8>> {
    match listener.mode {
        Mode::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Mode::Tcp => listener.alpn.iter().map(|name| name.to_vec()).collect(),
    }
}

/// Whether a suite says what hardware the client has; TLS 1.2 clients are served AES first.
fn is_first_choice(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
    )
}

/// The provider with its suites in `order`. Groups are an allow-list, not an order: rustls takes
/// the first of the client's list that is there.
fn provider(order: [CipherSuite; 9]) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let place = |suite| order.iter().position(|other| *other == suite).unwrap_or(order.len());
    provider.cipher_suites.retain(|suite| order.contains(&suite.suite()));
    provider.cipher_suites.sort_by_key(|suite| place(suite.suite()));
    provider.kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
        aws_lc_rs::kx_group::SECP384R1,
    ];
    provider
}

/// AES-128 before AES-256: no weaker in practice, and its hash is the cheaper one.
const AES_FIRST: [CipherSuite; 9] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// For clients that list ChaCha20 first, which says that they have no hardware for AES.
const CHACHA_FIRST: [CipherSuite; 9] = [
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustls::server::WebPkiClientVerifier;

    use super::*;
    use crate::config::Config;

    #[test]
    fn configurations_keep_nothing_by_themselves_and_differ_only_in_how_clients_are_verified() {
        let text = "[listener.a]\nlisten = ['[::]:1']\nbackend = 'b'\n\
                    [backend.b]\nendpoints = ['h:1']\n";
        let config = Config::parse(text, "config.toml", Path::new("")).unwrap();
        let templates = Templates::new(&config.listeners[0]).unwrap();
        for suite in [
            CipherSuite::TLS13_AES_128_GCM_SHA256,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ] {
            let anonymous = templates.anonymous(&[suite]);
            let verifier = WebPkiClientVerifier::no_client_auth();
            let authenticated = templates.authenticated(&[suite], verifier);
            for config in [&anonymous, &authenticated] {
                assert!(!config.session_storage.can_cache() && !config.ticketer.enabled());
                assert_eq!(config.send_tls13_tickets, 0);
            }
            assert!(authenticated.require_ems && authenticated.ignore_client_order);
            assert_eq!(authenticated.alpn_protocols, anonymous.alpn_protocols);
            assert_eq!(
                authenticated.crypto_provider().cipher_suites,
                anonymous.crypto_provider().cipher_suites
            );
            for config in [anonymous, authenticated] {
                assert!(config.cert_decompressors.is_empty());
            }
        }
    }
}
