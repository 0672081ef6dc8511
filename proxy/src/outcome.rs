//! How a connection ended: closed lists of reasons.
//!
//! Owns [`CloseReason`], [`HandshakeFailure`], [`StarttlsOutcome`] and [`BackendFailure`], which
//! are at once labels of metrics and fields of log events. Refuses to know how a reason came about:
//! `handshake`, `forward` and `backend` decide that. Read next: `connection`, which reports it.

use std::fmt;

/// A closed set of words that metrics and logs use.
pub trait Label: Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// Every member, in the order of declaration.
    const ALL: &'static [Self];

    /// The word.
    fn label(self) -> &'static str;

    /// The place in [`Label::ALL`].
    fn index(self) -> usize;
}

/// Declares a fieldless enum with a label for each variant.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $label:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}

pub(crate) use labels;

labels! {
    /// Why a connection ended.
    CloseReason {
        /// The backend answered in a way that cannot be forwarded, or broke off.
        BackendError => "backend_error",
        /// No endpoint of the backend could be reached.
        BackendUnreachable => "backend_unreachable",
        /// The client broke the protocol that was agreed on.
        ClientError => "client_error",
        /// The client reset the connection.
        ClientReset => "client_reset",
        /// Both sides said all that they had to say.
        Done => "done",
        /// The drain ended before the connection did.
        Drain => "drain",
        /// TLS was not established; [`HandshakeFailure`] says why.
        Handshake => "handshake",
        /// Nothing moved for as long as the configuration allows.
        Idle => "idle",
        /// Our own doing: a bug or a lack of resources.
        Internal => "internal",
        /// Memory ran short, and the connection was among those that held the most of it.
        Memory => "memory",
        /// The PROXY header that the listener requires did not come, or not from one who may send
        /// it.
        ProxyHeader => "proxy_header",
        /// A client or a backend was too slow for a limit.
        Timeout => "timeout",
        /// The client's direction ended without `close_notify`, and the listener takes that for
        /// the loss of what was to come.
        Truncated => "truncated",
    }
}

labels! {
    /// Why TLS was not established.
    HandshakeFailure {
        /// The client says that our certificate is bad: most often it is for another name.
        ClientAlertBadCertificate => "client_alert_bad_certificate",
        /// The client says that our certificate has expired, or is not valid yet.
        ClientAlertCertificateExpired => "client_alert_certificate_expired",
        /// The client says that our certificate is revoked.
        ClientAlertCertificateRevoked => "client_alert_certificate_revoked",
        /// The client does not take our certificate, and does not say why.
        ClientAlertCertificateUnknown => "client_alert_certificate_unknown",
        /// The client says that there is nothing to agree on.
        ClientAlertHandshakeFailure => "client_alert_handshake_failure",
        /// The client says that it failed by itself.
        ClientAlertInternalError => "client_alert_internal_error",
        /// The client ended the handshake with some other alert.
        ClientAlertOther => "client_alert_other",
        /// The client says that what it got breaks the rules, or that it cannot be deciphered.
        ClientAlertProtocol => "client_alert_protocol",
        /// The client says that it does not speak the version that was chosen.
        ClientAlertProtocolVersion => "client_alert_protocol_version",
        /// The client does not take the OCSP response that came with our certificate.
        ClientAlertStaple => "client_alert_staple",
        /// The client does not know the authority of our certificate.
        ClientAlertUnknownCa => "client_alert_unknown_ca",
        /// The client cannot do with certificates of this kind.
        ClientAlertUnsupportedCertificate => "client_alert_unsupported_certificate",
        /// The certificate of the client cannot be parsed.
        ClientCertEncoding => "client_cert_encoding",
        /// A certificate of the client has expired.
        ClientCertExpired => "client_cert_expired",
        /// The client has no certificate, and one is required.
        ClientCertMissing => "client_cert_missing",
        /// A certificate of the client is not valid yet.
        ClientCertNotYetValid => "client_cert_not_yet_valid",
        /// The certificate of the client is refused for another reason.
        ClientCertOther => "client_cert_other",
        /// The certificate of the client is not meant for clients.
        ClientCertPurpose => "client_cert_purpose",
        /// A certificate of the client is revoked.
        ClientCertRevoked => "client_cert_revoked",
        /// A signature of the client is wrong, or of a kind that is not accepted.
        ClientCertSignature => "client_cert_signature",
        /// The revocation list that speaks for the client is past its next update.
        ClientCertStaleRevocation => "client_cert_stale_revocation",
        /// The client shows more certificates than the limit.
        ClientCertTooDeep => "client_cert_too_deep",
        /// The certificates of the client are larger than the limit.
        ClientCertTooLarge => "client_cert_too_large",
        /// No authority that is trusted vouches for the client.
        ClientCertUnknownIssuer => "client_cert_unknown_issuer",
        /// No revocation list speaks for the client.
        ClientCertUnknownRevocation => "client_cert_unknown_revocation",
        /// The client closed the connection before the handshake was finished.
        ClientClosed => "client_closed",
        /// The client sent something that TLS does not allow there.
        ClientProtocol => "client_protocol",
        /// The client reset the connection before the handshake was finished.
        ClientReset => "client_reset",
        /// The client closed or reset the connection without having sent anything.
        ClientSilent => "client_silent",
        /// The ClientHello is larger than the limit.
        HelloTooLarge => "hello_too_large",
        /// Our own doing: the provider failed, or the socket did.
        Internal => "internal",
        /// The client offers application protocols, and none that the listener speaks.
        NoAlpn => "no_alpn",
        /// There is no certificate for the client.
        NoCertificate => "no_certificate",
        /// There is no cipher suite in common.
        NoCipher => "no_cipher",
        /// There is no group for the key exchange in common.
        NoGroup => "no_group",
        /// The client names no server, and the listener asks for a name.
        NoName => "no_name",
        /// There is no signature scheme in common.
        NoSignatureScheme => "no_signature_scheme",
        /// There is no version of TLS in common.
        NoVersion => "no_version",
        /// The first bytes are not TLS.
        NotTls => "not_tls",
        /// The first bytes are an HTTP request in clear text.
        PlaintextHttp => "plaintext_http",
        /// As many handshakes as the limit allows were going on.
        Shed => "shed",
        /// As many handshakes as one source may have were going on.
        SourceLimit => "source_limit",
        /// One source had as many full and failed handshakes within a second as it may.
        SourceRate => "source_rate",
        /// The handshake was not finished in time.
        Timeout => "timeout",
        /// The ClientHello was not complete in time.
        TimeoutHello => "timeout_hello",
        /// The server name of the client is not served here.
        UnknownName => "unknown_name",
    }
}

labels! {
    /// What came of the words before TLS, on a listener with `starttls`.
    StarttlsOutcome {
        /// The backend that had to be asked was not there, or did not want the client.
        Backend => "backend",
        /// The client goes on without TLS, which the listener allows.
        Clear => "clear",
        /// The client closed or reset the connection.
        ClientClosed => "client_closed",
        /// The client began with TLS at once, as its protocol allows.
        DirectTls => "direct_tls",
        /// The client said too many commands, or one that is too long.
        Flooded => "flooded",
        /// Bytes in the clear stood behind the request for TLS.
        Injected => "injected",
        /// The client wanted to go on without TLS, which the listener requires.
        NoTls => "no_tls",
        /// The client speaks another protocol.
        NotTheProtocol => "not_the_protocol",
        /// The client said good-bye.
        Quit => "quit",
        /// The client did not come to TLS in time.
        Timeout => "timeout",
        /// The client made too many errors.
        TooManyErrors => "too_many_errors",
        /// The client asked for TLS, and its handshake begins.
        Upgraded => "upgraded",
    }
}

labels! {
    /// What went wrong with a backend.
    BackendFailure {
        /// The response cannot be forwarded: it is not HTTP, or its framing is ambiguous.
        BadResponse => "bad_response",
        /// The connection ended before the response did.
        Broken => "broken",
        /// An endpoint could not be connected to for another reason than those below.
        Connect => "connect",
        /// An endpoint refused the connection.
        ConnectRefused => "connect_refused",
        /// An endpoint did not answer to the connection attempt in time.
        ConnectTimeout => "connect_timeout",
        /// As many connections as an endpoint may have were in use, and none came free in time.
        Full => "full",
        /// There is no endpoint to choose from.
        NoEndpoint => "no_endpoint",
        /// This machine had no port left to connect from.
        PortsExhausted => "ports_exhausted",
        /// A name of an endpoint could not be resolved.
        Resolve => "resolve",
        /// An endpoint that is asked for TLS did not consent, or not as it should.
        Starttls => "starttls",
        /// The response, or its next part, did not come in time.
        Timeout => "timeout",
        /// TLS with an endpoint was not established for another reason than those below.
        Tls => "tls",
        /// The certificate of an endpoint has expired.
        TlsExpired => "tls_expired",
        /// The certificate of an endpoint is not valid yet.
        TlsNotYetValid => "tls_not_yet_valid",
        /// An endpoint ended the handshake by its alert, most often since it does not trust us.
        TlsRefused => "tls_refused",
        /// The certificate of an endpoint is revoked.
        TlsRevoked => "tls_revoked",
        /// No revocation list that is current speaks for the certificate of an endpoint.
        TlsUnknownRevocation => "tls_unknown_revocation",
        /// Nobody who is trusted vouches for the certificate of an endpoint as one of a server.
        TlsUntrusted => "tls_untrusted",
        /// The certificate of an endpoint is for another name.
        TlsWrongName => "tls_wrong_name",
    }
}
