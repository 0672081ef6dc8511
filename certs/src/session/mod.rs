//! TLS sessions, each bound to the policy that made it.
//!
//! Owns the [`ContextId`], the digest of everything that must be the same for a session to be
//! resumed, and [`ScopedStore`], the view of the session cache that one connection gets. rustls
//! itself compares only the cipher suite and the server name when it resumes; it checks neither
//! the client-authentication policy nor the certificate nor the age. All of that is here.
//!
//! Knows nothing of sites and listeners beyond the bytes that identify them. The memory itself is
//! [`memory`], and what processes share is [`shared`].

pub mod engine;
pub mod id;
pub mod local;
pub mod memory;
pub mod redis;
pub mod seal;
pub mod shared;
pub mod trace;

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{self, SHA256};
use rustls::ProtocolVersion;
use rustls::server::StoresServerSessions;
use zeroize::Zeroizing;

use crate::credential::{Credential, digest_bytes};
use id::{Offered, SessionId, Traits, Use};
use memory::{Exported, SessionCache};
use shared::{Prefetched, SharedTier};
use trace::{LookupResult, Trace};

/// The policy that a session belongs to. Equal ids, and only those, may share sessions.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct ContextId([u8; 32]);

impl ContextId {
    /// The only way to an id. A connection takes the shorter way through [`SiteContext`], which
    /// this is made of.
    #[must_use]
    pub fn new(fields: &ContextFields<'_>, credential: &Credential) -> Self {
        SiteContext::new(fields).with_credential(credential)
    }

    /// The id as bytes, for use as associated data.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "ContextId({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// What a configuration says that a session must not cross.
#[derive(Clone, Copy, Debug)]
pub struct ContextFields<'a> {
    /// What kind of front end: plain TLS, or TLS after the dialogue of some protocol.
    pub listener_class: &'a str,
    /// The listener's name.
    pub listener: &'a str,
    /// What identifies the site on its listener.
    pub site: &'a str,
    /// The lowest version that the site speaks.
    pub min_version: ProtocolVersion,
    /// The application protocols that the site offers, in order.
    pub alpn: &'a [Vec<u8>],
    /// Digest of the client-authentication policy: mode, authorities, revocation lists. `None`
    /// where clients stay anonymous.
    pub client_auth: Option<&'a [u8]>,
}

/// The part of a [`ContextId`] that is known when a configuration is built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SiteContext([u8; 32]);

impl SiteContext {
    /// Digests the fields. Each is preceded by its length, so that no two sets of fields give the
    /// same bytes, and the version in front changes with the list.
    #[must_use]
    pub fn new(fields: &ContextFields<'_>) -> Self {
        // Destructured, so that a new field cannot be forgotten here.
        let ContextFields { listener_class, listener, site, min_version, alpn, client_auth } =
            *fields;
        let mut digest = digest::Context::new(&SHA256);
        digest.update(b"portunus context v1");
        let mut part = |bytes: &[u8]| {
            digest.update(&(bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        part(listener_class.as_bytes());
        part(listener.as_bytes());
        part(site.as_bytes());
        part(&u16::from(min_version).to_be_bytes());
        part(&(alpn.len() as u64).to_be_bytes());
        alpn.iter().for_each(|protocol| part(protocol));
        match client_auth {
            None => part(b"anonymous"),
            Some(policy) => {
                part(b"authenticated");
                part(policy);
            }
        }
        Self(digest_bytes(digest.finish()))
    }

    /// The context of a site whose clients are verified by the trust with this digest: authorities,
    /// revocation lists, depth and bounds. None of its sessions outlives a change of any of them.
    #[must_use]
    pub fn with_client_trust(&self, trust: &[u8; 32]) -> Self {
        let mut digest = digest::Context::new(&SHA256);
        digest.update(b"portunus trust v1");
        digest.update(&self.0);
        digest.update(trust);
        Self(digest_bytes(digest.finish()))
    }

    /// The id for a connection that is served with `credential`; one hash of 83 bytes.
    #[must_use]
    pub fn with_credential(&self, credential: &Credential) -> ContextId {
        let mut digest = digest::Context::new(&SHA256);
        digest.update(b"portunus session v1");
        digest.update(&self.0);
        digest.update(&credential.context());
        ContextId(digest_bytes(digest.finish()))
    }
}

/// One connection's view of the session cache.
///
/// This is the only type that gives sessions to a `ServerConfig`: the cache itself does not
/// implement [`StoresServerSessions`], so a front end cannot forget to say in which context it
/// resumes. Make one for each connection, since it also counts that connection's look-ups.
///
/// Security consequences:
///
/// - An entry of another context is a miss and stays where it is. A session that was made without
///   a client certificate therefore cannot be resumed where one is demanded, nor one host's
///   session at another host.
/// - A hello may offer hundreds of identities; [`TAKES_MAX`] are looked up, and only keys of the
///   length that we hand out. Further ones are misses, which cost a full handshake and no more.
///   The count spans the second hello after a HelloRetryRequest.
/// - `take` deletes what it returns before anybody else can see it. TLS 1.3 sessions can only be
///   taken and TLS 1.2 sessions can only be looked at, so that no session is used in the manner
///   of the other version.
/// - What was fetched from a shared store was opened in one context, and is given out in that one
///   only. Memory is asked first.
/// - Forgetting is always safe. Entries that are too old, too large or too many are forgotten.
pub struct ScopedStore {
    cache: Arc<SessionCache>,
    context: ContextId,
    takes: AtomicU8,
    gets: AtomicU8,
    shared: Option<Arc<SharedTier>>,
    /// What the shared tier held of this connection's sessions when it was asked.
    prefetched: Mutex<Prefetched>,
    trace: Option<Arc<Trace>>,
    /// What was given out and is still there.
    given: OnceLock<SessionId>,
    /// Whether a session that is made of another one is as old as that one.
    inherits_age: bool,
    /// How old the one that was taken was.
    taken_age: OnceLock<Duration>,
}

impl ScopedStore {
    /// A view for one connection, in one context.
    #[must_use]
    pub fn new(cache: Arc<SessionCache>, context: ContextId) -> Self {
        Self {
            cache,
            context,
            takes: AtomicU8::new(TAKES_MAX),
            gets: AtomicU8::new(GETS_MAX),
            shared: None,
            prefetched: Mutex::default(),
            trace: None,
            given: OnceLock::new(),
            inherits_age: false,
            taken_age: OnceLock::new(),
        }
    }

    /// Keeps a session that is made of another one no longer than that one: for clients whose
    /// certificates it holds. Their proof that they have the key is as old as the first of such a
    /// row, and RFC 8446 §4.6.1 asks for a limit to that.
    #[must_use]
    pub fn with_inherited_age(self) -> Self {
        Self { inherits_age: true, ..self }
    }

    /// Gives out what was `prefetched` as well, and hands new sessions over to the shared tier.
    #[must_use]
    pub fn with_shared(self, tier: Arc<SharedTier>, prefetched: Prefetched) -> Self {
        Self { shared: Some(tier), prefetched: Mutex::new(prefetched), ..self }
    }

    /// Takes note of every look-up.
    #[must_use]
    pub fn with_trace(self, trace: Arc<Trace>) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// Whether one of what is offered is there to be given out, and suits a connection that will
    /// be `wanted`. Not counted as a look-up.
    #[must_use]
    pub fn knows(&self, offered: &Offered, wanted: &Traits<'_>) -> bool {
        let prefetched = self.prefetched.lock().unwrap_or_else(PoisonError::into_inner);
        offered.ids().any(|(usage, id)| {
            self.cache.suits(&id, self.context, wanted)
                || prefetched.suits(&id, usage, &self.context, wanted)
        })
    }

    /// Forgets the session that was given out, in memory and in the shared tier, so that its client
    /// gets a full handshake the next time. One that is used once is forgotten already.
    pub async fn forget(&self) {
        let Some(id) = self.given.get() else { return };
        self.cache.forget(id);
        if let Some(tier) = &self.shared {
            tier.forget(id).await;
        }
    }

    fn note(&self, result: LookupResult) {
        if let Some(trace) = &self.trace {
            trace.note(result);
        }
    }

    /// The session from memory, or else from what was prefetched.
    fn look_up(&self, id: &SessionId, usage: Use) -> Option<Vec<u8>> {
        let age = if self.inherits_age { self.cache.age_of(id) } else { None };
        let found = match usage {
            Use::Single => self.cache.take(id, self.context),
            Use::Repeated => self.cache.get(id, self.context),
        };
        self.note(found.as_ref().err().copied().unwrap_or(LookupResult::Hit));
        if let (Ok(_), Some(age)) = (&found, age) {
            let _ = self.taken_age.set(age);
        }
        found.ok().or_else(|| self.look_up_prefetched(id, usage))
    }

    fn look_up_prefetched(&self, id: &SessionId, usage: Use) -> Option<Vec<u8>> {
        let mut prefetched = self.prefetched.lock().unwrap_or_else(PoisonError::into_inner);
        let found = prefetched.take(id, usage)?;
        drop(prefetched);
        let Some(session) = found.session else {
            self.note(found.result);
            return None;
        };
        if session.context != self.context {
            self.note(LookupResult::Policy);
            return None;
        }
        self.note(LookupResult::Hit);
        let _ = self.taken_age.set(session.age);
        if usage == Use::Repeated {
            // So that the next connection need not ask for it.
            self.cache.import(*id, &session);
        }
        Some(session.session.to_vec())
    }

    /// The key, if it is one of ours and the budget allows a look.
    fn admit(&self, key: &[u8], budget: &AtomicU8) -> Option<SessionId> {
        let key = SessionId::try_from(key).ok()?;
        let spend = |left: u8| left.checked_sub(1);
        match budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend) {
            Ok(_) => Some(key),
            Err(_) => {
                self.cache.count_truncated();
                None
            }
        }
    }
}

impl StoresServerSessions for ScopedStore {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let Ok(key) = SessionId::try_from(key.as_slice()) else {
            return false;
        };
        let is_in = match (self.inherits_age, self.taken_age.get(), Use::of(&value)) {
            (true, Some(age), Some(usage)) => {
                let session = Zeroizing::new(value);
                let exported = Exported { context: self.context, usage, session, age: *age };
                self.cache.import(key, &exported)
            }
            _ => self.cache.put(key, self.context, value),
        };
        if let (true, Some(tier)) = (is_in, &self.shared) {
            tier.enqueue(key);
        }
        is_in
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let id = self.admit(key, &self.gets)?;
        let session = self.look_up(&id, Use::Repeated)?;
        // There is one look-up of this kind for each connection.
        let _ = self.given.set(id);
        Some(session)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.look_up(&self.admit(key, &self.takes)?, Use::Single)
    }

    fn can_cache(&self) -> bool {
        self.cache.is_enabled()
    }
}

impl fmt::Debug for ScopedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedStore").field("context", &self.context).finish_non_exhaustive()
    }
}

/// TLS 1.3 identities that are looked up for one connection; clients send one or two.
pub const TAKES_MAX: u8 = 2;
/// TLS 1.2 session ids that are looked up for one connection; a hello holds one.
pub const GETS_MAX: u8 = 1;
