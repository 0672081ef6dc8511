//! What a connection may resume from, and what it leaves behind for the next one.
//!
//! Owns the ways in which sessions are kept, [`Resumption`], and how one of them is chosen for a
//! connection: by the mode of the listener and by the version that the client will get. Before TLS
//! starts, what the memory of the process lacks is fetched from the shared tier, within its budget.
//! Nothing here can fail: whatever is wrong with a store, the handshake becomes a full one. Refuses
//! to know sites and certificates beyond the context that sessions are bound to. Read next: `tls`.

use std::sync::Arc;

use portunus_certs::credential::KeyKind;
use portunus_certs::session::id::{Offered, Traits, Use};
use portunus_certs::session::memory::SessionCache;
use portunus_certs::session::shared::{Prefetched, SharedTier};
use portunus_certs::session::trace::{LookupResult, Trace};
use portunus_certs::session::{ContextId, ScopedStore};
use portunus_certs::tickets::{ScopedTicketer, TicketKeys};
use rustls::server::ClientHello;
use rustls::{ProtocolVersion, ServerConfig, SignatureAlgorithm};

use crate::config::ResumptionMode;
use crate::limit::Cost;
use crate::metrics::NotResumed;

use super::hello::Hello;
use super::hello::offer::{OfferKind, ResumptionOffer};

/// Where the sessions of a listener lie.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// Which of them are used.
    pub mode: ResumptionMode,
    /// The memory of the process.
    pub sessions: Arc<SessionCache>,
    /// The store that processes share, if there is one.
    pub shared: Option<Arc<SharedTier>>,
    /// The keys of tickets, if a listener has them.
    pub tickets: Option<Arc<TicketKeys>>,
}

/// Who the clients are, as far as it matters for sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Clients {
    /// Nobody in particular.
    Anonymous,
    /// Their certificates are verified, and again whenever a session is resumed.
    Authenticated,
}

/// How one connection keeps its session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kept {
    /// On our side.
    Here,
    /// Not at all.
    Nowhere,
    /// By the client, sealed.
    WithClient,
}

/// What one connection offered, and what was found.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) kept: Kept,
    offered: OfferKind,
    /// What the handshake will cost, now that it was looked whether the session is there.
    pub(super) cost: Cost,
    trace: Arc<Trace>,
    store: Option<Arc<ScopedStore>>,
}

impl Resumption {
    /// Gives `config` what it needs to resume the session that is offered, and to keep the next.
    pub(super) async fn prepare(
        &self,
        config: &mut ServerConfig,
        context: ContextId,
        clients: Clients,
        key: KeyKind,
        hello: &Hello,
    ) -> Attempt {
        let offer = hello.offer();
        let (kept, trace) = (self.kept(clients, offer), Arc::new(Trace::default()));
        let (mut store, mut is_known) = (None, false);
        let client = hello.client();
        let wanted = match offer.kind {
            OfferKind::None => None,
            _ => wanted(config, key, offer, &client),
        };
        let is_fit = |knows: &dyn Fn(&Traits<'_>) -> bool| wanted.as_ref().is_some_and(knows);
        match (kept, &self.tickets) {
            (Kept::WithClient, Some(tickets)) => {
                let (tickets, trace) = (Arc::clone(tickets), Arc::clone(&trace));
                let ticketer = ScopedTicketer::new(tickets, context, Some(trace));
                is_known = is_fit(&|wanted| ticketer.knows(hello.tickets(), wanted));
                config.ticketer = Arc::new(ticketer);
            }
            (Kept::Here, _) => {
                let here = Arc::new(self.store(context, clients, offer, &trace).await);
                is_known = is_fit(&|wanted| here.knows(&offer.offered, wanted));
                config.session_storage = Arc::clone(&here) as _;
                store = Some(here);
            }
            (Kept::Nowhere | Kept::WithClient, _) => {}
        }
        // A ticket is used once, and the connection that uses it gets the next one.
        config.send_tls13_tickets = usize::from(kept != Kept::Nowhere);
        // Whoever invents a session pays for the full handshake that comes of it.
        let cost = if is_known { Cost::Resumed } else { Cost::Full };
        Attempt { kept, offered: offer.kind, cost, trace, store }
    }

    /// How the session of a client that makes this offer is kept.
    fn kept(&self, clients: Clients, offer: &ResumptionOffer) -> Kept {
        let are_carried = match (self.mode, clients) {
            (ResumptionMode::Off, _) => return Kept::Nowhere,
            // What a client no longer may use can be forgotten here, and not there.
            (_, Clients::Authenticated) | (ResumptionMode::Stateful, _) => false,
            (ResumptionMode::Both, _) => offer.tls13,
            (ResumptionMode::Tickets, _) => true,
        };
        let is_usable = |tickets: &Arc<TicketKeys>| tickets.is_usable(tickets.now());
        // Keys that nobody renews any more are worse than sessions on our side. A client of TLS 1.2
        // that goes on offering a ticket gets neither: rustls gives it no session id.
        if are_carried && self.tickets.as_ref().is_some_and(is_usable) {
            Kept::WithClient
        } else {
            Kept::Here
        }
    }

    /// The view of the sessions on our side that a connection gets, with what the shared tier has
    /// of those that are offered.
    async fn store(
        &self,
        context: ContextId,
        clients: Clients,
        offer: &ResumptionOffer,
        trace: &Arc<Trace>,
    ) -> ScopedStore {
        let store = ScopedStore::new(Arc::clone(&self.sessions), context);
        let store = store.with_trace(Arc::clone(trace));
        let store = match clients {
            Clients::Anonymous => store,
            Clients::Authenticated => store.with_inherited_age(),
        };
        let Some(shared) = &self.shared else { return store };
        // Most handshakes offer nothing, and need no room for the answer.
        let found = match offer.offered {
            Offered::Nothing => Prefetched::default(),
            _ => Box::pin(shared.prefetch(&offer.offered, &context)).await,
        };
        store.with_shared(Arc::clone(shared), found)
    }
}

/// What a session has to be to be resumed by the client that sent `hello`: rustls takes the first
/// suite of ours that the client has as well, before it looks for a session. `None` if there is no
/// such suite.
fn wanted<'c>(
    config: &ServerConfig,
    key: KeyKind,
    offer: &ResumptionOffer,
    client: &'c ClientHello<'_>,
) -> Option<Traits<'c>> {
    let (version, usage) = match offer.tls13 {
        true => (ProtocolVersion::TLSv1_3, Use::Single),
        false => (ProtocolVersion::TLSv1_2, Use::Repeated),
    };
    let algorithm = match key {
        KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521 => SignatureAlgorithm::ECDSA,
        KeyKind::Ed25519 => SignatureAlgorithm::ED25519,
        KeyKind::Rsa(_) => SignatureAlgorithm::RSA,
    };
    let suite = config.crypto_provider().cipher_suites.iter().find(|suite| {
        suite.version().version == version
            && suite.usable_for_signature_algorithm(algorithm)
            && client.cipher_suites().contains(&suite.suite())
    });
    Some(Traits {
        usage,
        server_name: client.server_name().map(str::as_bytes),
        suite: u16::from(suite?.suite()).to_be_bytes(),
        is_extended: offer.is_extended,
    })
}

impl Attempt {
    /// The attempt of a connection that keeps nothing.
    pub(super) fn none(offer: &ResumptionOffer) -> Self {
        let (trace, store) = (Arc::default(), None);
        Self { kept: Kept::Nowhere, offered: offer.kind, cost: Cost::Full, trace, store }
    }

    /// Forgets the session that was resumed, here and in the shared tier. Other processes may still
    /// remember it, if it is one of TLS 1.2 that was resumed there.
    pub(super) async fn forget(&self) {
        if let Some(store) = &self.store {
            Box::pin(store.forget()).await;
        }
    }

    /// Why a handshake was a full one; `None` if the client offered nothing to resume.
    pub(super) fn reason(&self) -> Option<NotResumed> {
        if self.offered == OfferKind::None {
            return None;
        }
        if self.kept == Kept::Nowhere {
            return Some(NotResumed::Off);
        }
        Some(match self.trace.result() {
            None => NotResumed::Foreign,
            Some(LookupResult::Miss) => NotResumed::Unknown,
            Some(LookupResult::Timeout) => NotResumed::Timeout,
            Some(LookupResult::Error) => NotResumed::Error,
            Some(LookupResult::Expired) => NotResumed::Expired,
            Some(LookupResult::Policy) => NotResumed::Policy,
            Some(LookupResult::Hit) => NotResumed::Mismatch,
        })
    }
}
