//! What Portunus knows of certificates, keys, names and TLS sessions.
//!
//! This crate owns the credentials (chains and private keys) from the file on disk to the object
//! that rustls signs with, the rule by which a name finds its credential, and the sessions that
//! let a returning client skip most of a handshake. It knows no HTTP, no routes and no TOML, and
//! whoever owns a runtime drives it. Two things are its own, as their libraries are: the one
//! connection of [`session::redis`], with the task behind it, and the one thread of
//! [`session::local`], whose calls would block a runtime's.
//!
//! In the order in which a certificate travels:
//!
//! 1. [`name`]: the one spelling of a host name, shared by everything that compares names.
//! 2. [`load`]: files to PEM sections and OCSP responses, sections to chains and keys, chains to
//!    [`Credential`]s; [`staple`] says when a response is sent.
//! 3. [`store`]: what is loaded now, swapped as a whole, with the last good kept per certificate.
//! 4. [`resolver`]: which credential a client gets, and the answer to "why that one?".
//! 5. [`watch`]: a hint that files changed; only a hint, since the store reads for itself.
//! 6. [`session`]: the memory of TLS sessions, each bound to the policy that made it, and the
//!    store that processes share.
//! 7. [`tickets`]: the keys that seal sessions for clients to keep, and how they rotate.
//! 8. [`issue`]: an authority for development, for the demonstration and for tests.
//!
//! Two invariants are worth knowing before changing anything. A credential exists only if its key
//! belongs to its leaf certificate: there is no other constructor. A session leaves the cache only
//! through [`session::ScopedStore`], and only under the context that it entered with; or sealed
//! under that context, on its way to the shared store.

pub mod client_auth;
pub mod credential;
pub mod issue;
pub mod load;
pub mod name;
mod ordered;
pub mod resolver;
pub mod sealing;
pub mod session;
pub mod staple;
pub mod store;
pub mod tickets;
pub mod watch;

pub use credential::{Credential, KeyKind};
pub use issue::{DevelopmentCa, IssueError, Issued, KeyChoice};
pub use load::{CertificateStatus, LoadError};
pub use name::{HostName, NameError, NameMap, NamePattern};
pub use resolver::{CertificateIndex, Chosen, ClientKind, Explanation, Offer};
pub use session::memory::{Options as SessionOptions, SessionCache, SessionStats};
pub use session::{ContextFields, ContextId, ScopedStore, SiteContext};
pub use staple::StapleFacts;
pub use store::{CertificateStore, ReloadReport, Skipped, StoreOptions, Warning};
pub use watch::{Hint, Watch, WatchMode};
