//! What is wrong with a key or its value, in words.
//!
//! Owns [`Problem`], which is the middle of an error: place before it, hint behind it. What only
//! HTTP can get wrong is in `http`, what only bytes can in `bytes`.

use portunus_certs::name::NameError;

use super::super::load::ReadError;
use super::super::reference::ReferenceError;
use super::super::units::UnitError;
use super::bytes::BytesProblem;
use super::http::{BackendProblem, FieldProblem, RouteProblem};
use crate::net::AddressError;

/// What is wrong with a key or its value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Endpoints, or how they are treated.
    #[error(transparent)]
    Backend(#[from] BackendProblem),
    /// Not an address.
    #[error("`{written}` is not an address: {reason}")]
    Address {
        /// What stands there.
        written: String,
        /// Why it is none.
        reason: AddressError,
    },
    /// Two would bind the same address.
    #[error("`{address}` is the address of `{taken_by}` already")]
    AddressTaken {
        /// The address.
        address: String,
        /// The key of the first that has it.
        taken_by: String,
    },
    /// A listener serves either every name or the names of its sites.
    #[error("a listener has a `backend` or sites, not both")]
    BackendAndSites,
    /// A name with characters that metrics and logs cannot show.
    #[error("not a name: expected 1 to 64 of the characters a-z, 0-9, `-` and `_`")]
    BadName,
    /// A path that no system call takes.
    #[error("not a path: it is empty, has a NUL, or is too long for a socket (107 bytes)")]
    BadPath,
    /// A token that cannot stand in an HTTP header, or can be guessed.
    #[error("the token must have 16 to 4096 visible ASCII characters, and no spaces")]
    BadToken,
    /// Sites say for themselves what is behind them.
    #[error("a listener with sites has no `{0}` of its own")]
    BesideSites(&'static str),
    /// Sites say for themselves what is asked of their clients.
    #[error("a listener with sites has no `client_auth` of its own")]
    ClientAuthAndSites,
    /// Not the URL of a collector; it may hold a password, and is not shown.
    #[error("not the URL of a collector of traces")]
    Collector,
    /// Authorities for a collector that proves nothing.
    #[error("only an `https://…` endpoint has it")]
    CollectorInTheClear,
    /// There is nothing to check.
    #[error("no revocation is checked without `crl`")]
    CrlDepth,
    /// Listeners of bytes, and what they lead to.
    #[error(transparent)]
    Bytes(#[from] BytesProblem),
    /// None of the possible words.
    #[error("`{written}` is none of {options}")]
    Choice {
        /// What stands there.
        written: String,
        /// The possible words.
        options: String,
    },
    /// The same host, endpoint or path twice.
    #[error("`{0}` stands here twice")]
    Duplicate(String),
    /// A setting that says nothing about the store that was chosen.
    #[error("only a store at {0} has it")]
    EngineKey(&'static str),
    /// Neither a status code nor a range of them.
    #[error("not a status code or a range of them: expected 200 or \"200-299\"")]
    Codes,
    /// A list without an entry.
    #[error("at least one is needed")]
    Empty,
    /// There is no request to put a certificate in.
    #[error("bytes have no header fields to put a certificate in")]
    ForwardOfBytes,
    /// A list of header fields with a fault.
    #[error(transparent)]
    Field(#[from] FieldProblem),
    /// Not a host name or wildcard.
    #[error("`{written}` {reason}")]
    Host {
        /// What stands there.
        written: String,
        /// Why it is none.
        reason: NameError,
    },
    /// A key, or something else, in the place of a reference to one.
    #[error("keys stand in files, not here")]
    KeyReference,
    /// Not a level, and not a list of `target=level`.
    #[error("`{0}` is not a log level or `target=level`")]
    LogLevel(String),
    /// A name that no message could show.
    #[error("a name has more than {0} bytes")]
    LongName(usize),
    /// A key that has no default.
    #[error("missing")]
    Missing,
    /// A listener that leads nowhere.
    #[error("a listener needs a `backend`, `routes`, or sites that have one")]
    NoBackend,
    /// Not an address block.
    #[error("`{0}` is not an address block: expected `10.0.0.0/8` or an address")]
    Network(String),
    /// An address block with bits behind its length.
    #[error("`{0}` has bits behind the length of its prefix")]
    NetworkBits(String),
    /// Not who could be asked for addresses.
    #[error("`{0}` is not an IP address, with or without a port")]
    Nameserver(String),
    /// There are neither requests nor responses in bytes.
    #[error("only a listener with `mode = \"http\"` has it")]
    OnlyHttp,
    /// Ticket keys are to be shared through a store that is not there.
    #[error("there is no `shared` store to share ticket keys through")]
    NoSharedStore,
    /// A port that cannot be dialled.
    #[error("`{0}` has port 0, which cannot be dialled")]
    PortZero(String),
    /// The profile is TLS 1.3 only, the version says otherwise.
    #[error("`modern` is TLS 1.3 only, but `min_version` is older")]
    Profile,
    /// Too small or too large.
    #[error("out of range: expected {min} to {max}")]
    Range {
        /// The least.
        min: String,
        /// The most.
        max: String,
    },
    /// A variable that could not be expanded.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Clients who cannot resume are verified in every handshake anyway.
    #[error("there is nothing to verify again: `resumption` is off for this listener")]
    Revalidate,
    /// Paths, and what happens to requests for them.
    #[error(transparent)]
    Route(#[from] RouteProblem),
    /// A secret's file that could not be read.
    #[error("{}", chain(.0))]
    SecretFile(ReadError),
    /// Not one of the stores that sessions can be shared through.
    #[error("not the address of a store")]
    StoreUrl,
    /// Not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// An admin listener that others than this machine can reach, without a token.
    #[error("an admin listener that other machines can reach needs `admin.token`")]
    TokenMissing,
    /// More than there may be.
    #[error("too many: at most {0}")]
    TooMany(usize),
    /// Not a duration, not a size.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// No such backend.
    #[error("unknown backend `{0}`")]
    UnknownBackend(String),
    /// No such key in this section.
    #[error("unknown key")]
    UnknownKey,
    /// A number where a text should be, and the like.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What the key takes.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
}

/// An error with its causes, joined as the printer of `main` would.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
