//! What is wrong with routes, header fields and backends, in words.
//!
//! Owns those parts of [`super::Problem`] that would be too many there. Read next: `listeners` and
//! `backends`, which find them.

/// What is wrong with a route.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteProblem {
    /// A path and its match twice.
    #[error("another route has the path `{0}` already")]
    Duplicate(String),
    /// What only requests have that go to a backend.
    #[error("only a route with a `backend` has it")]
    ForwardOnly,
    /// Not the value of `Strict-Transport-Security`.
    #[error("not a policy: expected `max-age=SECONDS`, then `includeSubDomains` and `preload`")]
    Hsts,
    /// Several things at once.
    #[error("a route has one of `backend`, `redirect` and `respond`")]
    ManyActions,
    /// Nothing.
    #[error("a route needs a `backend`, `redirect` or `respond`")]
    NoAction,
    /// Not a path as requests have it.
    #[error("`{0}` is not a path: expected `/`, then visible ASCII without `?` and `#`")]
    Path(String),
    /// A place that is not known before the request is, and that the client would choose.
    #[error("`{0}` leaves it to the client where it is sent")]
    OpenRedirect(String),
    /// Not a place to be sent to.
    #[error("`{0}` is not a URL or a path: expected `https://…`, `http://…` or `/…`")]
    Place(String),
    /// Braces around something else.
    #[error("`{0}` has braces around something else than `host`, `path` or `rest`")]
    Placeholder(String),
    /// Two ways to rewrite.
    #[error("`strip` and `replace` exclude each other")]
    StripAndReplace,
    /// Nothing would remain.
    #[error("nothing remains of an exact path without it")]
    StripExact,
    /// Not a status of a redirect.
    #[error("{0} does not send a client elsewhere: expected 301, 302, 303, 307 or 308")]
    RedirectStatus(u16),
    /// A status that has no content, with some.
    #[error("a response with status {0} has no content")]
    NoContent(u16),
    /// More than fits into memory for nothing.
    #[error("too long: at most {0} bytes")]
    TooLong(usize),
}

impl RouteProblem {
    /// The same of the text that was written.
    pub(in crate::config) fn of(self, written: String) -> Self {
        match self {
            Self::OpenRedirect(_) => Self::OpenRedirect(written),
            Self::Place(_) => Self::Place(written),
            Self::Placeholder(_) => Self::Placeholder(written),
            other => other,
        }
    }
}

/// What is wrong with changes of header fields.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FieldProblem {
    /// The same name twice.
    #[error("`{0}` stands here twice")]
    Duplicate(String),
    /// How long the content is, and how it is framed.
    #[error("`{0}` is what messages are framed with")]
    Framing(String),
    /// A field of one connection.
    #[error("`{0}` is for one connection only and never passes")]
    Hop(String),
    /// Another key is for it.
    #[error("`{0}` is set by `{1}`")]
    KeyFor(String, &'static str),
    /// Not the name of a field.
    #[error("`{0}` is not the name of a header field")]
    Name(String),
    /// A field that backends believe.
    #[error("`{0}` tells backends who the client is, and is ours alone")]
    Reserved(String),
    /// What sites are told apart by.
    #[error("`{0}` says which site is meant, and passes as it is")]
    Host(String),
    /// Not the value of a field.
    #[error("not a value of a header field: expected visible ASCII and spaces")]
    Value,
}

/// What is wrong with a backend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendProblem {
    /// There is nobody to agree with.
    #[error("`auto` is what TLS agrees on, and there is no `tls`")]
    AutoInTheClear,
    /// No way to choose.
    #[error("`{0}` is none of {1}")]
    Balance(String, &'static str),
    /// Nobody to back up.
    #[error("there is no endpoint without `backup`")]
    BackupsOnly,
    /// The first time is longer than the longest.
    #[error("`base` is longer than `longest`")]
    EjectionTimes,
    /// Only requests have a host and responses a status.
    #[error("only a check with a `path` has it")]
    HttpCheckOnly,
    /// Not a `Host`.
    #[error("`{0}` is not a host name or an IP address, with or without a port")]
    Host(String),
    /// A status that no check ends with.
    #[error("a response with a status below 200 is followed by another, which counts")]
    Interim,
    /// Not a request target.
    #[error("`{0}` is not a path: expected `/`, then visible ASCII without `#`")]
    Path(String),
    /// Not a name in a certificate.
    #[error("`{0}` is not a host name or an IP address")]
    ServerName(String),
    /// Bytes have no fields and no cookies.
    #[error("listener `{0}` forwards bytes here, which have no fields and no cookies")]
    TunnelBalance(String),
    /// Not the name of anything.
    #[error("no certificate is for a name like that of `{0}`")]
    Unnamed(String),
    /// A socket of this machine, whose certificate could bear any name.
    #[error("the certificate of a unix socket bears a name that is not known")]
    UnnamedUnix,
}
