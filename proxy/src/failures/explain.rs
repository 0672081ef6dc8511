//! What the reason of a failed handshake means to an operator, and what can be done.
//!
//! Owns the words, for `/status`, the command line and the status page. They say whose matter it
//! is: that of our certificate, of our configuration, of the client, or of nobody. Refuses to know
//! single failures; the error beside the words does.

use crate::outcome::HandshakeFailure as Reason;
use crate::outcome::Label as _;

/// A reason in words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// What happened.
    pub words: &'static str,
    /// The way out, or that none is needed.
    pub hint: &'static str,
}

/// What `reason` means.
pub fn explain(reason: Reason) -> Explanation {
    let (told, words, hint) = EXPLANATIONS.get(reason.index()).expect("there is one for each");
    debug_assert_eq!(*told, reason, "they are in the order of the reasons");
    Explanation { words, hint }
}

/// One for each, in their order.
const EXPLANATIONS: [(Reason, &str, &str); Reason::ALL.len()] = [
    (
        Reason::ClientAlertBadCertificate,
        "the client refused our certificate as bad",
        "most often it is not for the name that the client used, or its chain lacks an \
         intermediate: `portunus certs NAME` shows what its files have for it, `portunus \
         check` what is wrong with them",
    ),
    (
        Reason::ClientAlertCertificateExpired,
        "the client says that our certificate has expired",
        "`portunus certs NAME` shows until when it is valid; if it is, the clock of the client or \
         an intermediate that it kept is too old",
    ),
    (
        Reason::ClientAlertCertificateRevoked,
        "the client says that our certificate is revoked",
        "ask its authority; a new certificate in the folder is served at once",
    ),
    (
        Reason::ClientAlertCertificateUnknown,
        "the client did not take our certificate, and did not say why",
        "browsers say so of every certificate that they do not trust: `portunus certs NAME` shows \
         which one the files have for it, and a browser there says why",
    ),
    (
        Reason::ClientAlertHandshakeFailure,
        "the client found nothing to agree on with us",
        "compare its versions with `tls` of the listener; software that knows no suite with \
         forward secrecy and AEAD cannot be served",
    ),
    (
        Reason::ClientAlertInternalError,
        "the client failed by itself",
        "its own log knows why; nothing can be done here",
    ),
    (
        Reason::ClientAlertOther,
        "the client ended the handshake with an alert",
        "its own log knows why; `portunus status --failures` shows which alert it was",
    ),
    (
        Reason::ClientAlertProtocol,
        "the client says that what it got cannot be deciphered or breaks the rules",
        "a middlebox that changes TLS is the usual cause, or a fault of the client's software: \
         see whether all of them have the same `ja4`",
    ),
    (
        Reason::ClientAlertProtocolVersion,
        "the client does not speak the version of TLS that was chosen",
        "compare its versions with `tls.min_version` and `tls.profile` of the listener",
    ),
    (
        Reason::ClientAlertStaple,
        "the client did not take the OCSP response that came with our certificate",
        "renew the file beside the certificate, or remove it; `portunus certs NAME` shows it",
    ),
    (
        Reason::ClientAlertUnknownCa,
        "the client does not know the authority of our certificate",
        "if the authority is your own, give its certificate to the client; otherwise the chain \
         lacks an intermediate, as `portunus check` tells",
    ),
    (
        Reason::ClientAlertUnsupportedCertificate,
        "the client cannot do with a certificate of this kind",
        "serve one with another kind of key beside it; each client gets what it can verify",
    ),
    (
        Reason::ClientCertEncoding,
        "the certificate of the client cannot be parsed",
        "have a new one issued for it",
    ),
    (
        Reason::ClientCertExpired,
        "the certificate of the client has expired",
        "have a new one issued for it; the error says when it ended",
    ),
    (
        Reason::ClientCertMissing,
        "the client showed no certificate, and one is required",
        "give it a certificate of an authority in `client_auth.ca`, or set \
         `client_auth.mode = \"request\"`; a client sends none of its own if no \
         authority in `client_auth.ca` has issued any",
    ),
    (
        Reason::ClientCertNotYetValid,
        "the certificate of the client is not valid yet",
        "compare the clocks of this machine and of its authority",
    ),
    (
        Reason::ClientCertOther,
        "the certificate of the client was refused",
        "most often it is self-signed (`openssl req -x509`) or of X.509 version 1 (`openssl x509 \
         -req` without extensions): have one issued of version 3 with `basicConstraints=CA:FALSE` \
         and the extended key usage `clientAuth`; the error names the rule that it broke",
    ),
    (
        Reason::ClientCertPurpose,
        "the certificate of the client is not meant for clients",
        "have one issued with the extended key usage `clientAuth`",
    ),
    (
        Reason::ClientCertRevoked,
        "the certificate of the client is revoked",
        "it is on a list of `client_auth.crl`; if it should not be, ask its authority",
    ),
    (
        Reason::ClientCertSignature,
        "a signature of the client is wrong, or of a kind that is not accepted",
        "its key does not fit its certificate, or an authority of it signs with SHA-1",
    ),
    (
        Reason::ClientCertStaleRevocation,
        "the revocation list that speaks for the client is too old",
        "renew the file in `client_auth.crl`; until then nobody of its authority is let in",
    ),
    (
        Reason::ClientCertTooDeep,
        "the client shows more certificates than the limit",
        "raise `limits.client_chain_certificates`, if its chain is as it should be",
    ),
    (
        Reason::ClientCertTooLarge,
        "the certificates of the client are larger than the limit",
        "raise `limits.client_chain_size`, if its chain is as it should be",
    ),
    (
        Reason::ClientCertUnknownIssuer,
        "no authority that is trusted vouches for the client",
        "put its authority into `client_auth.ca`, or have the client send its intermediates",
    ),
    (
        Reason::ClientCertUnknownRevocation,
        "no revocation list speaks for the client",
        "put the list of its authority into `client_auth.crl`, or set \
         `client_auth.crl_depth = \"leaf\"`",
    ),
    (
        Reason::ClientClosed,
        "the client closed the connection in the middle of the handshake",
        "people who leave and scanners do so; a client that always does may distrust our \
         certificate without saying so",
    ),
    (
        Reason::ClientProtocol,
        "the client sent something that TLS does not allow there",
        "a scanner, a faulty client, or another protocol behind a record of TLS; the error says \
         what it was",
    ),
    (
        Reason::ClientReset,
        "the client reset the connection in the middle of the handshake",
        "scanners do so, and firewalls that do not like the name; compare with the network of \
         those who do not fail",
    ),
    (
        Reason::ClientSilent,
        "the client opened a connection and closed it without a word",
        "health checks and port scans do so; nothing is wrong",
    ),
    (
        Reason::HelloTooLarge,
        "the ClientHello is larger than the limit",
        "raise `limits.client_hello_size`, if such clients are welcome",
    ),
    (Reason::Internal, "something failed here", "the error says what; please report it as a bug"),
    (
        Reason::NoAlpn,
        "the client offers application protocols, and none that is spoken here",
        "compare them with `alpn` of the listener or the site",
    ),
    (
        Reason::NoCertificate,
        "there is no certificate for the client",
        "put one for the name into `certificates.paths`; `portunus certs NAME` says what each \
         kind of client gets",
    ),
    (
        Reason::NoCipher,
        "there is no cipher suite in common",
        "only suites with forward secrecy and AEAD are spoken; for a client of TLS 1.2 with \
         ECDSA or RSA alone, serve a certificate of its kind",
    ),
    (
        Reason::NoGroup,
        "there is no group for the key exchange in common",
        "X25519, P-256, P-384 and X25519MLKEM768 are spoken; a client that only knows the key \
         exchange of RSA, which has no forward secrecy, has none of them",
    ),
    (
        Reason::NoName,
        "the client names no server, and the listener asks for a name",
        "clients that call an IP address do so, scanners most of all; `no_sni = \"default\"` \
         would serve them",
    ),
    (
        Reason::NoSignatureScheme,
        "there is no signature scheme in common",
        "serve a certificate with another kind of key beside the one that is there",
    ),
    (
        Reason::NoVersion,
        "there is no version of TLS in common",
        "TLS 1.2 and 1.3 are spoken, and only 1.3 with `tls.min_version = \"1.3\"` or \
         `profile = \"modern\"`; what is older has to be renewed",
    ),
    (
        Reason::NotTls,
        "the first bytes are not TLS",
        "a scanner, or a client of another protocol on the wrong port; a PROXY header shows as \
         this where the listener has no `proxy_protocol`",
    ),
    (
        Reason::PlaintextHttp,
        "the client speaks HTTP in clear text",
        "it was told to use https://; `redirect_http` sends those on who come to another port",
    ),
    (
        Reason::Shed,
        "as many handshakes as the limit allows were going on",
        "raise `limits.handshakes` if the processors have time left, otherwise add some; see the \
         metric portunus_handshakes_pending",
    ),
    (
        Reason::SourceLimit,
        "its address had as many handshakes going on as one may have",
        "raise `limits.handshakes_per_source` if many clients share the address; behind a proxy, \
         use `proxy_protocol`",
    ),
    (
        Reason::SourceRate,
        "its address had as many full and failed handshakes in a second as one may have",
        "raise `limits.handshake_rate_per_source` if many clients share the address; behind a \
         proxy, use `proxy_protocol`",
    ),
    (
        Reason::Timeout,
        "the handshake was not finished in time",
        "the client or its network is slow, or a middlebox swallows large packets; \
         `limits.handshake_timeout` is the time it has",
    ),
    (
        Reason::TimeoutHello,
        "the ClientHello was not complete in time",
        "browsers open connections ahead that they do not use, and scanners wait; nothing is \
         wrong, unless `limits.client_hello_timeout` is too short for the network",
    ),
    (
        Reason::UnknownName,
        "the name that the client asks for is not served here",
        "if it should be, add it to a site and a certificate for it to `certificates.paths`; \
         otherwise its DNS points here by mistake, or it is a scanner",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_words_and_a_hint_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for (&reason, told) in Reason::ALL.iter().zip(EXPLANATIONS) {
            assert_eq!(reason, told.0);
            let Explanation { words, hint } = explain(reason);
            for text in [words, hint] {
                assert!(text.len() > 20 && !text.ends_with('.') && !text.contains("  "), "{text}");
            }
            assert!(seen.insert(words), "{words}");
        }
    }

    #[test]
    fn what_a_hint_names_is_there() {
        let reference = include_str!("../../../config.toml");
        let elsewhere = ["openssl req -x509", "openssl x509 -req", "basicConstraints=CA:FALSE"];
        let portunus = ["portunus certs NAME", "portunus check", "portunus status --failures"];
        let commands = [&portunus[..], &elsewhere, &["ja4", "clientAuth"]].concat();
        for (_, _, hint) in EXPLANATIONS {
            let quoted = hint.split('`').skip(1).step_by(2);
            for quoted in quoted.filter(|quoted| !commands.contains(quoted)) {
                let (key, value) = quoted.split_once(" = ").unwrap_or((quoted, ""));
                let key = key.rsplit('.').next().unwrap_or_default();
                assert!(reference.contains(key), "{key} of {hint:?}");
                assert!(reference.contains(value), "{value} of {hint:?}");
            }
        }
    }
}
