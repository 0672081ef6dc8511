//! What is wrong with listeners of bytes and what they lead to, in words.
//!
//! Owns that part of [`super::Problem`] that is about what HTTP does not have: STARTTLS, TLS that
//! passes through, PROXY headers, and connections without TLS. Read next: `listeners::bytes` and
//! `between`, which find them.

/// What is wrong with a listener of bytes, or with a backend behind it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BytesProblem {
    /// A name of ALPN that has no place in a handshake.
    #[error("not a protocol of ALPN: expected 1 to 255 bytes")]
    Alpn,
    /// A host twice, for one protocol.
    #[error("`{0}` stands here twice with the same protocol in `alpn`")]
    AlpnTaken(String),
    /// HTTP says for itself what it agrees on.
    #[error("listener `{0}` forwards requests here, and `protocol` says what is agreed on")]
    AlpnOfRequests(String),
    /// Everyone who speaks it can do so under TLS.
    #[error("`{0}` is not spoken without TLS, which all of its clients know")]
    AlwaysTls(&'static str),
    /// What would have to be bypassed to bypass a certificate.
    #[error("without TLS a client could do without the certificate that `client_auth` requires")]
    Bypass,
    /// Nothing begins that could be chosen.
    #[error("without TLS a client names no host, so there is no site to choose")]
    ClearSites,
    /// Nothing would be encrypted anywhere.
    #[error("listener `{0}` takes connections without TLS, and there is no `tls` here either")]
    ClearToClear(String),
    /// Nothing is left to be started.
    #[error("`clear` is for connections without TLS, and `starttls` begins it")]
    ClearStarttls,
    /// There are two connections, and only one would come this way.
    #[error(
        "FTP is not spoken: its data go over connections of their own, past this listener, so that \
         the password would be protected and the files would not"
    )]
    Ftp,
    /// Where nothing of it is said.
    #[error("`{0}` has no greeting with a name")]
    Greeting(&'static str),
    /// Mail and directories have no paths.
    #[error("who speaks `{0}` answers no GET")]
    HealthOfStarttls(&'static str),
    /// The endpoint has to be known too soon.
    #[error("in MySQL the endpoint speaks first, before a client can name a host")]
    MysqlSites,
    /// An address at which everybody is refused.
    #[error("nobody is let in here: `proxy_protocol.from` has no {0}")]
    NobodyFrom(&'static str),
    /// There are no bytes in requests.
    #[error("only a listener with `mode = \"tcp\"` has it")]
    OnlyTcp,
    /// There is nothing before TLS.
    #[error("only a listener with `starttls` has it")]
    OnlyStarttls,
    /// TLS does not end here, so nothing is verified here.
    #[error("TLS of a site with `passthrough` ends at its backend, and nothing is verified here")]
    PassthroughAuth,
    /// The endpoint has missed half of it.
    #[error("the backend would get TLS without the dialogue before it")]
    PassthroughStarttls,
    /// TLS in TLS.
    #[error("listener `{0}` passes TLS through to here, and this would wrap it once more")]
    PassthroughTls(String),
    /// Many clients, one connection.
    #[error("listener `{0}` forwards requests here, those of many clients on one connection")]
    ProxyOfRequests(String),
    /// Another protocol than that of the clients.
    #[error("listener `{listener}` speaks `{spoken}` to its clients")]
    StarttlsMismatch {
        /// The listener.
        listener: String,
        /// What it speaks.
        spoken: &'static str,
    },
    /// HTTP knows no such thing.
    #[error("listener `{0}` forwards requests here, and HTTP begins with TLS")]
    StarttlsOfRequests(String),
    /// A part without its whole.
    #[error("the certificate stands within `ssl`, which is not here")]
    TlvCertificate,
    /// A header of text, or none.
    #[error("only a PROXY header of version 2 has room for it")]
    TlvsUnheard,
    /// Peers who cannot be there.
    #[error("no address of this listener is a unix socket")]
    UnixUnheard,
    /// There is no TLS that it could be about.
    #[error("`clear` is for connections without TLS, in which this means nothing")]
    WithoutTls,
}
