//! How an endpoint is reached: by a connection that is there already, or by a new one.
//!
//! Owns [`Backend::connect`], for a connection with one use, [`Backend::lease`], for one HTTP
//! exchange, and the attempts at other endpoints when one cannot be reached. All waits for one
//! endpoint together have the limit on connecting. Refuses to know who is next, which is `balance`.
//! Read next: `connections`.

use std::io;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::connect::Limit;
use super::connections::{Seat, Speech};
use super::endpoint::{Endpoint, Load, Verdict};
use super::introduction::OnBehalf;
use super::link::Link;
use super::tls::{Alpn, TlsError};
use super::upstream::{Held, Http1, Lease, Opening};
use super::{Backend, ConnectError, DialError};
use crate::config::BackendProtocol;
use crate::metrics::BackendMetrics;
use crate::net::{EndpointAddr, is_reset};
use crate::outcome::BackendFailure;
use crate::proxy_protocol::Introduction;

/// A connection to an endpoint for one use; what is counted is counted until this is dropped.
#[derive(Debug)]
pub struct Dedicated {
    /// The connection, tuned, under TLS if the backend asks for it.
    pub link: Link,
    _seat: Seat,
    load: Load,
}

impl Dedicated {
    /// The address of the endpoint.
    pub fn addr(&self) -> &EndpointAddr {
        &self.load.endpoint().addr
    }

    /// Takes into account that the connection broke in use. An endpoint of TLS 1.3 that refuses who
    /// we are says so only when we believe that TLS stands (RFC 8446 §2).
    pub fn note_broken(&self, error: &io::Error, metrics: &BackendMetrics) {
        match TlsError::of_refusal(error) {
            Some(refusal) => {
                self.load.note(Verdict::Failed);
                self.load.endpoint().note_refusal(&refusal, metrics);
            }
            None => {
                if !is_reset(error) {
                    debug!(backend = metrics.name(), %error, "backend connection broke");
                }
                metrics.errors.of(BackendFailure::Broken).inc();
            }
        }
    }
}

/// Whether a connection that is there already may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reuse {
    /// Yes.
    Allowed,
    /// No: only a connection that was just made.
    Forbidden,
}

/// The attempts at reaching an endpoint, one after the other.
struct Attempts {
    key: Option<u64>,
    tried: Vec<Arc<Endpoint>>,
}

impl Backend {
    /// A new connection with only one use ever, to an endpoint that `key` may name. What the
    /// configuration says of `introduction` is the first that the endpoint hears.
    pub async fn connect(
        &self,
        key: Option<u64>,
        introduction: &Introduction,
    ) -> Result<Dedicated, ConnectError> {
        let mut attempts = Attempts { key, tried: Vec::new() };
        let mut load = self.choose(key, &[])?;
        loop {
            match self.open_for_bytes(load.endpoint(), introduction).await {
                Ok((link, seat)) => {
                    // What follows is not ours to judge.
                    load.note(Verdict::Good);
                    return Ok(Dedicated { link, _seat: seat, load });
                }
                Err(error) => load = self.next(&mut attempts, &load, error)?,
            }
        }
    }

    /// A connection for one HTTP exchange: one that is there already, if `reuse` allows and there
    /// is one at the endpoint whose turn it is, else a new one. `key` is that of
    /// [`Backend::balance_key`].
    pub async fn lease(
        &self,
        key: Option<u64>,
        speech: Speech,
        reuse: Reuse,
    ) -> Result<Lease, ConnectError> {
        let load = self.choose(key, &[])?;
        if reuse == Reuse::Allowed
            && let Some(held) = load.endpoint().connections.take(speech).await
        {
            return Ok(Lease::new(held, load));
        }
        // Rare beside reuse, and large: kept out of the future of each request.
        Box::pin(self.lease_new(load, key, speech, reuse)).await
    }

    async fn lease_new(
        &self,
        mut load: Load,
        key: Option<u64>,
        speech: Speech,
        reuse: Reuse,
    ) -> Result<Lease, ConnectError> {
        let mut attempts = Attempts { key, tried: Vec::new() };
        loop {
            match self.open(load.endpoint(), speech, reuse).await {
                Ok(held) => return Ok(Lease::new(held, load)),
                Err(error) => load = self.next(&mut attempts, &load, error)?,
            }
        }
    }

    /// The endpoint to try after that of `load` was not reached, or why there is none.
    fn next(
        &self,
        attempts: &mut Attempts,
        load: &Load,
        error: DialError,
    ) -> Result<Load, ConnectError> {
        if !error.is_ours() {
            load.note(Verdict::Failed);
        }
        let Attempts { key, tried } = attempts;
        tried.push(Arc::clone(load.endpoint()));
        // One client has one answer: the other endpoints would only count it once more.
        let may_try = !matches!(error, DialError::Unwelcome(_));
        let next = may_try.then(|| self.choose(*key, tried).ok()).flatten();
        let all_tried = may_try && next.is_none();
        match next.filter(|_| tried.len() < self.means.limits().connect_attempts_max) {
            Some(next) => {
                self.metrics.retries.inc();
                Ok(next)
            }
            None => Err(ConnectError::Dial {
                backend: Arc::clone(&self.name),
                endpoint: load.endpoint().addr.clone(),
                all_tried,
                source: error,
            }),
        }
    }

    async fn open_for_bytes(
        &self,
        endpoint: &Endpoint,
        introduction: &Introduction,
    ) -> Result<(Link, Seat), DialError> {
        let limit = self.limit();
        let active = &self.metrics.connections_active;
        let seat = endpoint.connections.seat(active, limit.at).await;
        let seat = seat.ok_or_else(|| self.full())?;
        Ok((self.dial(endpoint, (Alpn::Bytes, OnBehalf::Client(introduction)), limit).await?, seat))
    }

    /// A new connection for an exchange, or one that came free while there was no room for it.
    async fn open(
        &self,
        endpoint: &Endpoint,
        speech: Speech,
        reuse: Reuse,
    ) -> Result<Held, DialError> {
        let connections = &endpoint.connections;
        let limit = self.limit();
        let alpn = self.alpn(speech);
        let is_shared = match alpn {
            Alpn::Http2 => true,
            Alpn::Either => !connections.chose_http1(),
            Alpn::Bytes | Alpn::Http1 | Alpn::Upgradable => false,
        };
        if !is_shared {
            return self.open_now(endpoint, alpn, (speech, reuse), limit).await;
        }
        // Those who wait for the same turn use what the first of them opens, or hear why not.
        let since = Instant::now();
        let waiting = timeout_at(limit.at, connections.turn_to_open()).await;
        let turn = waiting.map_err(|_| self.no_turn())??;
        if let Some(stream) = connections.shared.reserve_since(since) {
            return Ok(Held::Http2(Box::new(stream)));
        }
        if alpn == Alpn::Either && connections.chose_http1() {
            drop(turn);
            return self.open_now(endpoint, alpn, (speech, reuse), limit).await;
        }
        let opened = self.open_now(endpoint, alpn, (speech, reuse), limit).await;
        opened.map_err(|error| turn.fail(error))
    }

    async fn open_now(
        &self,
        endpoint: &Endpoint,
        alpn: Alpn,
        (speech, reuse): (Speech, Reuse),
        limit: Limit,
    ) -> Result<Held, DialError> {
        let connections = &endpoint.connections;
        let active = &self.metrics.connections_active;
        let seat = match reuse {
            Reuse::Allowed => match connections.seat_or_take(active, speech, limit.at).await {
                Some(Err(held)) => return Ok(held),
                Some(Ok(seat)) => Some(seat),
                None => None,
            },
            Reuse::Forbidden => connections.seat(active, limit.at).await,
        };
        let seat = seat.ok_or_else(|| self.full())?;
        let link = self.dial(endpoint, (alpn, OnBehalf::Ourselves), limit).await?;
        let is_http2 = link.speaks_http2(alpn);
        if alpn == Alpn::Either {
            connections.note_chosen(!is_http2);
        }
        if !is_http2 {
            return Http1::open(link, seat).await.map(Held::Http1).map_err(DialError::Http);
        }
        let limits = Arc::clone(&self.means.limits());
        let opening = Opening {
            list: &connections.shared,
            limits: &limits,
            watch: self.watch().ok_or(DialError::Finishing)?,
            seat,
        };
        let stream = timeout_at(limit.at, opening.open(link)).await;
        let stream = stream.map_err(|_| DialError::Timeout(limit.of))?;
        Ok(Held::Http2(Box::new(stream.map_err(DialError::Http)?)))
    }

    fn alpn(&self, speech: Speech) -> Alpn {
        match (self.protocol, speech) {
            (BackendProtocol::Http1, _) => Alpn::Http1,
            (BackendProtocol::Http2, _) => Alpn::Http2,
            (BackendProtocol::Auto, Speech::Http1) => Alpn::Upgradable,
            (BackendProtocol::Auto, Speech::Any) => Alpn::Either,
        }
    }

    /// Dials when it is this attempt's turn.
    async fn dial(
        &self,
        endpoint: &Endpoint,
        manner: (Alpn, OnBehalf<'_>),
        limit: Limit,
    ) -> Result<Link, DialError> {
        let Ok(_turn) = timeout_at(limit.at, self.turns.take()).await else {
            return Err(self.no_turn());
        };
        endpoint.dial(&self.means, &self.metrics, manner, limit).await
    }

    /// The limit on reaching an endpoint, from now on.
    fn limit(&self) -> Limit {
        let of = self.means.limits().connect_timeout;
        Limit { at: Instant::now() + of, of }
    }

    fn full(&self) -> DialError {
        self.count(DialError::Full(self.means.limits().connect_timeout))
    }

    fn no_turn(&self) -> DialError {
        self.count(DialError::NoTurn(self.means.limits().connect_timeout))
    }

    fn count(&self, error: DialError) -> DialError {
        self.metrics.errors.of(error.failure()).inc();
        error
    }
}
