//! The certificate of a client, as backends hear of it (RFC 9440).
//!
//! Owns the two fields and their values, which are made of the bytes of the certificates and of
//! nothing in them: no name that somebody chose can end a field or begin another. They are made
//! once for a connection. Refuses to know whether the certificate is any good; that was decided
//! before anybody could ask.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

use crate::config::ClientCertForward;

/// What a backend hears of the client of a connection.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientCert {
    leaf: Option<HeaderValue>,
    chain: Option<HeaderValue>,
}

impl ClientCert {
    /// The fields for a client that has shown the certificates `chain`, in DER, its own first; none
    /// if there is nothing to tell, or nobody to be told.
    pub fn new<T: AsRef<[u8]>>(
        chain: &[T],
        forward: ClientCertForward,
    ) -> Result<Self, ClientCertError> {
        let (leaf, issuers) = match (chain.split_first(), forward) {
            (None, _) | (_, ClientCertForward::None) => return Ok(Self::default()),
            (Some((leaf, _)), ClientCertForward::Leaf) => (leaf, &[][..]),
            (Some((leaf, issuers)), ClientCertForward::Chain) => (leaf, issuers),
        };
        let leaf = Some(value(std::slice::from_ref(leaf))?);
        // A list without members is not sent (RFC 8941 §3.1).
        let chain = if issuers.is_empty() { None } else { Some(value(issuers)?) };
        Ok(Self { leaf, chain })
    }

    /// The fields with their values.
    pub(super) fn fields(&self) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
        [(CLIENT_CERT, &self.leaf), (CLIENT_CERT_CHAIN, &self.chain)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

/// A list of byte sequences (RFC 8941 §3.1 and §3.3.5); one of them alone is an item.
fn value<T: AsRef<[u8]>>(certificates: &[T]) -> Result<HeaderValue, ClientCertError> {
    let bytes: usize = certificates.iter().map(|certificate| certificate.as_ref().len()).sum();
    // Nothing is encoded that is too large as it is.
    if bytes > VALUE_BYTES_MAX {
        return Err(ClientCertError::TooLarge);
    }
    let mut text = String::new();
    for certificate in certificates {
        text.push_str(if text.is_empty() { ":" } else { ", :" });
        STANDARD.encode_string(certificate, &mut text);
        text.push(':');
    }
    if text.len() > VALUE_BYTES_MAX {
        return Err(ClientCertError::TooLarge);
    }
    HeaderValue::try_from(text).map_err(|_| ClientCertError::Value)
}

/// Why a backend cannot be told who the client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClientCertError {
    /// Longer than any backend takes.
    #[error("the certificates of the client are more than {VALUE_BYTES_MAX} bytes in a field")]
    TooLarge,
    /// Not a value of a field.
    #[error("the certificates of the client do not make a value of a field")]
    Value,
}

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// The most bytes of a value.
const VALUE_BYTES_MAX: usize = 24 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn told(chain: &[Vec<u8>], forward: ClientCertForward) -> Vec<(String, String)> {
        let cert = ClientCert::new(chain, forward).unwrap();
        cert.fields()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }

    fn field(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn values_are_byte_sequences_and_lists_of_them() {
        let chain = [b"leaf".to_vec(), b"ca".to_vec(), b"root!".to_vec()];
        let leaf = field("client-cert", ":bGVhZg==:");
        let issuers = field("client-cert-chain", ":Y2E=:, :cm9vdCE=:");
        assert_eq!(told(&chain, ClientCertForward::None), []);
        assert_eq!(told(&chain, ClientCertForward::Leaf), std::slice::from_ref(&leaf));
        assert_eq!(told(&chain, ClientCertForward::Chain), [leaf.clone(), issuers]);
        assert_eq!(told(&chain[..1], ClientCertForward::Chain), [leaf]);
        assert_eq!(told(&[], ClientCertForward::Chain), []);
    }

    #[test]
    fn openssl_encodes_the_same() {
        for length in [1, 2, 3, 47, 48, 49, 1000, 18_000] {
            let bytes: Vec<u8> = (0..length).map(|at: usize| (at * 7 + at / 256) as u8).collect();
            let mut openssl = Command::new("openssl")
                .args(["base64", "-A"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            openssl.stdin.take().unwrap().write_all(&bytes).unwrap();
            let output = openssl.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let value = format!(":{}:", text.trim());
            assert_eq!(told(&[bytes], ClientCertForward::Leaf), [field("client-cert", &value)]);
        }
    }

    #[test]
    fn a_value_has_a_limit_and_its_edge_belongs_to_it() {
        // Two colons, and four bytes for three.
        let fits = (VALUE_BYTES_MAX - 2) / 4 * 3;
        let cert = |length| ClientCert::new(&[vec![0; length]], ClientCertForward::Leaf);
        let cert = |length| cert(length).map(|cert| cert.leaf.unwrap().len());
        assert_eq!(cert(fits), Ok((VALUE_BYTES_MAX - 2) / 4 * 4 + 2));
        assert_eq!(cert(fits + 1), Err(ClientCertError::TooLarge));
        assert_eq!(cert(usize::from(u16::MAX)), Err(ClientCertError::TooLarge));
        let chain = vec![vec![0; 1000]; 20];
        assert!(ClientCert::new(&chain, ClientCertForward::Leaf).is_ok());
        let told = ClientCert::new(&chain, ClientCertForward::Chain);
        assert_eq!(told, Err(ClientCertError::TooLarge));
    }
}
