//! What backends hear of the TLS of a connection, where the configuration says that they do.
//!
//! Owns the four fields. They are made once for a connection. Refuses to know TLS itself.

use http::{HeaderName, HeaderValue};

use crate::metrics::{HandshakeKind, Suite, TlsVersion};
use crate::outcome::Label;

/// How a connection was established.
#[derive(Clone, Copy, Debug)]
pub struct TlsFacts {
    /// The version.
    pub version: TlsVersion,
    /// The cipher suite.
    pub suite: Suite,
    /// How the keys came about.
    pub kind: HandshakeKind,
}

/// The fields about a connection.
#[derive(Clone, Debug, Default)]
pub struct TlsFields(Box<[(HeaderName, HeaderValue)]>);

impl TlsFields {
    /// The fields about a connection whose client asked for `server_name`, which is a host name.
    pub fn new(facts: &TlsFacts, server_name: Option<&str>) -> Self {
        let version = match facts.version {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        };
        let resumed = if facts.kind == HandshakeKind::Full { "0" } else { "1" };
        let fixed = [
            (X_TLS_VERSION, HeaderValue::from_static(version)),
            (X_TLS_CIPHER, HeaderValue::from_static(facts.suite.label())),
            (X_TLS_RESUMED, HeaderValue::from_static(resumed)),
        ];
        let sni = server_name.and_then(|name| Some((X_TLS_SNI, name.try_into().ok()?)));
        Self(fixed.into_iter().chain(sni).collect())
    }

    /// The fields with their values.
    pub(super) fn fields(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }
}

const X_TLS_VERSION: HeaderName = HeaderName::from_static("x-tls-version");
const X_TLS_CIPHER: HeaderName = HeaderName::from_static("x-tls-cipher");
const X_TLS_SNI: HeaderName = HeaderName::from_static("x-tls-sni");
const X_TLS_RESUMED: HeaderName = HeaderName::from_static("x-tls-resumed");
