//! One trust: a bundle and its lists, joined to a verifier.
//!
//! Owns the joining, and the digest by which two trusts are told apart. A trust is built aside and
//! never changes; [`super`] publishes the next one. Reads no file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientCertVerifierBuilder, WebPkiClientVerifier};

use super::authorities::{AuthorityFacts, Bundle};
use super::revocation::{CrlFacts, List};
use super::signature::{self, Verdict};
use super::verifier::Verifier;
use super::{ChainBounds, ClientAuthError, ClientAuthOptions, CrlDepth, Demand};
use crate::credential::digest_bytes;

/// What verifies the clients of one moment.
#[derive(Debug)]
pub struct ClientTrust {
    verifier: Arc<dyn ClientCertVerifier>,
    digest: [u8; 32],
    authorities: Box<[AuthorityFacts]>,
    crls: Box<[CrlFacts]>,
}

impl ClientTrust {
    /// For `ServerConfig`.
    #[must_use]
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Digest of everything that decides whether a client is let in: demand, authorities,
    /// revocation lists, bounds. The order of the files' contents does not count, nor what stands
    /// around them.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The authorities, for people.
    #[must_use]
    pub fn authorities(&self) -> &[AuthorityFacts] {
        &self.authorities
    }

    /// The revocation lists in the order of the configuration, for people.
    #[must_use]
    pub fn crls(&self) -> &[CrlFacts] {
        &self.crls
    }

    pub(super) fn build(
        options: &ClientAuthOptions,
        bundle: &Bundle,
        lists: &[&List],
    ) -> Result<Self, ClientAuthError> {
        let mut order = lists.to_vec();
        order.sort_by(|one, other| one.newest_first(other));
        order.dedup_by_key(|list| list.digest);
        let builder = builder(options, bundle, &order);
        let reason = match catch_unwind(AssertUnwindSafe(|| builder.build())) {
            Ok(Ok(inner)) => {
                return Ok(Self {
                    verifier: Arc::new(Verifier::new(inner, options.bounds)),
                    digest: digest(options, bundle, &order),
                    authorities: bundle.authorities.iter().map(|one| one.facts.clone()).collect(),
                    crls: lists.iter().map(|list| list.facts.clone()).collect(),
                });
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the parser failed".to_owned(),
        };
        Err(ClientAuthError::Verifier { path: options.ca.clone(), reason: reason.into() })
    }
}

fn builder(
    options: &ClientAuthOptions,
    bundle: &Bundle,
    lists: &[&List],
) -> ClientCertVerifierBuilder {
    let (roots, provider) = (Arc::clone(&bundle.roots), Arc::clone(&options.provider));
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider)
        .with_crls(lists.iter().map(|list| list.der.clone()))
        .enforce_revocation_expiration();
    let builder = match options.crl_depth {
        CrlDepth::Chain => builder,
        CrlDepth::Leaf => builder.only_check_end_entity_revocation(),
    };
    match options.demand {
        Demand::Request => builder.allow_unauthenticated(),
        Demand::Require => builder,
    }
}

/// Each part is preceded by its length, so that no two trusts give the same bytes.
fn digest(options: &ClientAuthOptions, bundle: &Bundle, lists: &[&List]) -> [u8; 32] {
    // Destructured, so that a new field cannot be forgotten here. Where the files lie and who
    // computes does not decide who is let in.
    let ClientAuthOptions { demand, crl_depth, bounds, ca: _, crls: _, provider: _ } = options;
    let ChainBounds { certificates_max, bytes_max } = *bounds;
    let mut authorities: Vec<_> =
        bundle.authorities.iter().map(|authority| authority.facts.fingerprint).collect();
    authorities.sort_unstable();
    let mut digest = digest::Context::new(&SHA256);
    digest.update(b"portunus client trust v1");
    let mut part = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    part(match demand {
        Demand::Request => b"request",
        Demand::Require => b"require",
    });
    part(match crl_depth {
        CrlDepth::Chain => b"chain",
        CrlDepth::Leaf => b"leaf",
    });
    part(&(certificates_max as u64).to_be_bytes());
    part(&(bytes_max as u64).to_be_bytes());
    part(&(authorities.len() as u64).to_be_bytes());
    authorities.iter().for_each(|authority| part(authority));
    part(&(lists.len() as u64).to_be_bytes());
    lists.iter().for_each(|list| part(&list.digest));
    digest_bytes(digest.finish())
}

/// Who signed a list, as far as the bundle tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signer {
    /// An authority of the bundle.
    Authority,
    /// Nobody of that name is in the bundle; it may be about the clients of an intermediate.
    Stranger,
    /// Not the authority of that name or key, so that rustls will refuse its clients.
    Wrong,
}

impl Signer {
    pub(super) fn of(list: &List, bundle: &Bundle, provider: &CryptoProvider) -> Self {
        let mut signer = Self::Stranger;
        for authority in bundle.named(&list.issuer, list.issuer_key.as_deref()) {
            let namesake = authority.name == list.issuer;
            match signature::check(&list.der, &authority.public_key, provider) {
                Verdict::Good if namesake => return Self::Authority,
                // An authority that has its key under two names.
                Verdict::Good => {}
                Verdict::Bad | Verdict::Unsupported => signer = Self::Wrong,
            }
        }
        signer
    }
}
