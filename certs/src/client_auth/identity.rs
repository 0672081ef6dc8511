//! Who a client proved to be.
//!
//! Owns the facts that leave this crate about a client's certificate. All of them are functions of
//! the leaf alone, so that they do not depend on how the client got in, nor on which intermediates
//! it happened to send. Judges nothing: it is made of a chain that was verified, and whoever makes
//! one of another chain gets words, not trust.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};
use rustls::pki_types::CertificateDer;

use super::subject;

/// A client's certificate chain, and what its leaf says.
#[derive(Clone)]
pub struct ClientIdentity {
    chain: Arc<[CertificateDer<'static>]>,
    fingerprint: Box<str>,
    subject: Box<str>,
    serial: Box<str>,
}

impl ClientIdentity {
    /// Reads the leaf of a verified chain, which comes first. `None` without a certificate, and
    /// for a leaf that cannot be read, which no verifier of this crate lets pass.
    #[must_use]
    pub fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let leaf = chain.first()?;
        let (rest, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
        if !rest.is_empty() {
            return None;
        }
        // The sign octet of a positive number is not part of what other programs show.
        let serial = match certificate.raw_serial() {
            [0, serial @ ..] if !serial.is_empty() => serial,
            serial => serial,
        };
        Some(Self {
            fingerprint: hex(digest::digest(&SHA256, leaf).as_ref()),
            subject: subject::text(certificate.subject()),
            serial: hex(serial),
            chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
        })
    }

    /// The certificates as the client sent them, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The client's own certificate.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        self.chain.first().map_or(&[], |leaf| leaf.as_ref())
    }

    /// SHA-256 of the leaf in lower-case hexadecimal: the name of this very certificate.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The distinguished name in the form of RFC 4514, with everything escaped that a log reader
    /// could trip over. For people; decide nothing by it.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The common name of the client, for those who only know that: the one there is, and none if
    /// there are several, or if it holds what ends or hides a name somewhere.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let (_, certificate) = x509_parser::parse_x509_certificate(self.leaf()).ok()?;
        let mut names = certificate.subject().iter_common_name();
        let name = subject::string(names.next()?.attr_value())?;
        let is_plain = !name.is_empty() && !name.chars().any(char::is_control);
        (is_plain && names.next().is_none()).then_some(name)
    }

    /// The serial number in lower-case hexadecimal, two digits a byte.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("subject", &self.subject)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(bytes.len() * 2);
    subject::hex(bytes, &mut text);
    text.into()
}
