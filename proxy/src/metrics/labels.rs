//! The closed sets of words that are labels and nothing else.

use std::fmt;

use crate::outcome::{Label, labels};

labels! {
    /// How a handshake came to its keys.
    HandshakeKind {
        /// Certificate and key exchange.
        Full => "full",
        /// TLS 1.2 session id (RFC 5246 §7.3).
        SessionId => "session_id",
        /// TLS 1.3 pre-shared key of a session that we keep (RFC 8446 §2.2).
        Stateful => "stateful",
        /// A ticket that the client keeps, sealed (RFC 5077, RFC 8446 §4.6.1).
        Ticket => "ticket",
    }
}

labels! {
    /// How a handshake with an endpoint came to its keys.
    BackendHandshake {
        /// Certificate and key exchange.
        Full => "full",
        /// A session that the endpoint gave out before.
        Resumed => "resumed",
    }
}

labels! {
    /// Why a client that offered a session got a full handshake all the same.
    NotResumed {
        /// The shared tier failed, or what it holds is not what was put there.
        Error => "error",
        /// The session is too old.
        Expired => "expired",
        /// What is offered was never given out here, or in another mode.
        Foreign => "foreign",
        /// The session is there, but was made for another name, cipher suite or master secret.
        Mismatch => "mismatch",
        /// Nothing is resumed here.
        Off => "off",
        /// The session belongs to another policy: another site, or authorities that changed.
        Policy => "policy",
        /// The shared tier did not answer in time.
        Timeout => "timeout",
        /// The session is nowhere, or no key opens the ticket.
        Unknown => "unknown",
    }
}

labels! {
    /// What became of a span that was sent to a collector.
    SpanResult {
        /// The collector did not answer well in time.
        Failed => "failed",
        /// The collector did not want the batch that it was in.
        Refused => "refused",
        /// The collector did not want it.
        Rejected => "rejected",
        /// It is there.
        Taken => "taken",
    }
}

labels! {
    /// The version of TLS of an established connection.
    TlsVersion {
        /// RFC 5246.
        V1_2 => "1.2",
        /// RFC 8446.
        V1_3 => "1.3",
    }
}

labels! {
    /// The version of HTTP of a request.
    HttpVersion {
        /// RFC 9112, including HTTP/1.0.
        H1 => "1.1",
        /// RFC 9113.
        H2 => "2",
    }
}

labels! {
    /// The first digit of a status code.
    CodeClass {
        /// 100 to 199.
        Informational => "1xx",
        /// 200 to 299.
        Successful => "2xx",
        /// 300 to 399.
        Redirection => "3xx",
        /// 400 to 499.
        ClientError => "4xx",
        /// 500 to 599.
        ServerError => "5xx",
    }
}

labels! {
    /// Which way bytes went.
    Direction {
        /// From the backend to the client.
        Downstream => "downstream",
        /// From the client to the backend.
        Upstream => "upstream",
    }
}

labels! {
    /// A limit that said no.
    Limit {
        /// `server.max_connections`.
        Connections => "connections",
        /// File descriptors of the process.
        Descriptors => "descriptors",
        /// `limits.handshakes`.
        Handshakes => "handshakes",
        /// `limits.handshakes_per_source`.
        HandshakesPerSource => "handshakes_per_source",
        /// `limits.handshake_rate_per_source`.
        HandshakeRatePerSource => "handshake_rate_per_source",
        /// Memory, of which there is less than a connection needs.
        Memory => "memory",
    }
}

labels! {
    /// How an endpoint answered to a health check.
    CheckResult {
        /// As it should.
        Good => "good",
        /// It could not be connected to.
        NoConnection => "no_connection",
        /// It closed the connection, or what it said is not HTTP.
        NoResponse => "no_response",
        /// The response has another status than it should.
        Status => "status",
        /// Not in time.
        Timeout => "timeout",
        /// It was not asked, for lack of a port or a descriptor here.
        Unasked => "unasked",
    }
}

labels! {
    /// What came of the look-up of an endpoint's name.
    ResolveResult {
        /// The name has no address.
        Empty => "empty",
        /// The question failed.
        Failed => "failed",
        /// Addresses.
        Good => "good",
        /// Addresses, some or all of which may not be those of an endpoint.
        Refused => "refused",
        /// No answer in time.
        Timeout => "timeout",
    }
}

labels! {
    /// How an endpoint stands.
    Standing {
        /// The operator wants nothing new to go there.
        Draining => "draining",
        /// It failed in use, and is left out for a while.
        Ejected => "ejected",
        /// It fails its health checks.
        Unhealthy => "unhealthy",
        /// Nothing speaks against it.
        Usable => "usable",
    }
}

labels! {
    /// What ended a connection of HTTP/2, or a stream of one, that cost more than it was for.
    Http2Defence {
        /// Frames that neither ask nor send anything.
        ControlFrames => "control_frames",
        /// Errors of the client, each of which costs a stream; or a head without end.
        Errors => "errors",
        /// Requests that were taken back.
        Resets => "resets",
        /// An answer that the client takes nothing of, or next to nothing.
        Stall => "stall",
    }
}

labels! {
    /// Why a request of a client was refused.
    HttpReject {
        /// It has more content than its route allows.
        BodyTooLarge => "body_too_large",
        /// Its content has a transfer coding that is not understood here.
        Coding => "coding",
        /// It expects something else than leave to go on.
        Expectation => "expectation",
        /// Where it ends can be understood in two ways, or in none.
        Framing => "framing",
        /// Its head has too many fields, or too many bytes.
        HeadTooLarge => "head_too_large",
        /// It does not say for which host it is, or says it twice, or that is no host.
        Host => "host",
        /// It breaks the grammar in some other way.
        Malformed => "malformed",
        /// It asks for something that is done nowhere, or not there.
        Method => "method",
        /// Its host is not served on this connection, but on its own.
        Misdirected => "misdirected",
        /// It did not come in time.
        Timeout => "timeout",
        /// Its host is not served here.
        UnknownHost => "unknown_host",
        /// Its target is too long.
        UriTooLong => "uri_too_long",
        /// It speaks a version of HTTP that is not spoken here.
        Version => "version",
    }
}

labels! {
    /// What came of the PROXY header that a connection has to begin with.
    Heard {
        /// The address of a client.
        Accepted => "accepted",
        /// The connection ended or broke before it.
        Ended => "ended",
        /// The peer speaks for itself: a health check, say.
        Local => "local",
        /// It is not of the form that it should have.
        Malformed => "malformed",
        /// Something else came.
        Missing => "missing",
        /// It did not come in time.
        Timeout => "timeout",
        /// It is longer than any that is taken.
        TooLarge => "too_large",
        /// No address, or not one of TCP: the peer stands for the client.
        Unknown => "unknown",
        /// The peer is not one who may connect.
        Untrusted => "untrusted",
    }
}

labels! {
    /// The named group of a key exchange.
    Group {
        /// A group that has no name here.
        Other => "other",
        /// NIST P-256.
        Secp256r1 => "secp256r1",
        /// NIST P-384.
        Secp384r1 => "secp384r1",
        /// Curve25519.
        X25519 => "x25519",
        /// Curve25519 with ML-KEM-768, safe from quantum computers.
        X25519MlKem768 => "x25519mlkem768",
    }
}

labels! {
    /// A cipher suite.
    Suite {
        /// TLS 1.2, AES-128-GCM, ECDSA.
        EcdheEcdsaAes128 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        /// TLS 1.2, AES-256-GCM, ECDSA.
        EcdheEcdsaAes256 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        /// TLS 1.2, ChaCha20-Poly1305, ECDSA.
        EcdheEcdsaChaCha20 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        /// TLS 1.2, AES-128-GCM, RSA.
        EcdheRsaAes128 => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        /// TLS 1.2, AES-256-GCM, RSA.
        EcdheRsaAes256 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        /// TLS 1.2, ChaCha20-Poly1305, RSA.
        EcdheRsaChaCha20 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        /// A suite that has no name here.
        Other => "other",
        /// TLS 1.3, AES-128-GCM.
        Tls13Aes128 => "TLS_AES_128_GCM_SHA256",
        /// TLS 1.3, AES-256-GCM.
        Tls13Aes256 => "TLS_AES_256_GCM_SHA384",
        /// TLS 1.3, ChaCha20-Poly1305.
        Tls13ChaCha20 => "TLS_CHACHA20_POLY1305_SHA256",
    }
}

impl CodeClass {
    /// The class of a status code; 100 to 999 are read, and beyond 599 nothing is defined.
    pub fn of(status: u16) -> Self {
        match status {
            ..200 => Self::Informational,
            200..300 => Self::Successful,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }
}
