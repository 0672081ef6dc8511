//! How an endpoint is reached: by a connection that is there already, or by a new one.
//!
//! Owns [`Backend::connect`], for a connection with one use, [`Backend::lease`], for one HTTP
//! exchange, and the attempts at other endpoints when one cannot be reached. Every wait in here
//! has the limit on connecting. Refuses to know who is next, which is `balance`. Read next:
//! `connections`.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::connections::{Seat, Speech};
use super::endpoint::{Endpoint, Load, Verdict};
use super::link::Link;
use super::tls::Alpn;
use super::upstream::{Held, Http1, Lease, Opening};
use super::{Backend, ConnectError, DialError};
use crate::config::BackendProtocol;

/// A connection to an endpoint for one use; what is counted is counted until this is dropped.
#[derive(Debug)]
pub struct Dedicated {
    /// The connection, tuned, under TLS if the backend asks for it.
    pub link: Link,
    _seat: Seat,
    _load: Load,
}

/// Whether a connection that is there already may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reuse {
    /// Yes.
    Allowed,
    /// No: only a connection that was just made.
    Forbidden,
}

/// What a connection is wanted for.
#[derive(Clone, Copy)]
enum Use {
    Bytes,
    Exchange(Speech, Reuse),
}

enum Reached {
    Bytes(Link, Seat),
    Exchange(Held),
}

impl Backend {
    /// A new connection with only one use ever, to an endpoint that `key` may name.
    pub async fn connect(&self, key: Option<u64>) -> Result<Dedicated, ConnectError> {
        let (reached, load) = self.reach(self.choose(key, &[])?, key, Use::Bytes).await?;
        // What follows is not ours to judge.
        load.note(Verdict::Good);
        match reached {
            Reached::Bytes(link, seat) => Ok(Dedicated { link, _seat: seat, _load: load }),
            Reached::Exchange(_) => unreachable!("bytes were asked for"),
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
        let wanted = Use::Exchange(speech, reuse);
        let (reached, load) = Box::pin(self.reach(load, key, wanted)).await?;
        match reached {
            Reached::Exchange(held) => Ok(Lease::new(held, load)),
            Reached::Bytes(..) => unreachable!("an exchange was asked for"),
        }
    }

    /// Reaches the endpoint of `load`, or others if that fails.
    async fn reach(
        &self,
        mut load: Load,
        key: Option<u64>,
        wanted: Use,
    ) -> Result<(Reached, Load), ConnectError> {
        let mut tried = Vec::new();
        loop {
            let opened = match wanted {
                Use::Bytes => self.open_for_bytes(load.endpoint()).await,
                Use::Exchange(speech, reuse) => self.open(load.endpoint(), speech, reuse).await,
            };
            let error = match opened {
                Ok(reached) => return Ok((reached, load)),
                Err(error) => error,
            };
            if !error.is_ours() {
                load.note(Verdict::Failed);
            }
            tried.push(Arc::clone(load.endpoint()));
            let next = self.choose(key, &tried).ok();
            let all_tried = next.is_none();
            match next.filter(|_| tried.len() < self.means.limits.connect_attempts_max) {
                Some(next) => load = next,
                None => {
                    return Err(ConnectError::Dial {
                        backend: Arc::clone(&self.name),
                        endpoint: load.endpoint().addr.clone(),
                        all_tried,
                        source: error,
                    });
                }
            }
            self.metrics.retries.inc();
        }
    }

    async fn open_for_bytes(&self, endpoint: &Endpoint) -> Result<Reached, DialError> {
        let active = &self.metrics.connections_active;
        let limit = self.means.limits.connect_timeout;
        let seat = endpoint.connections.seat(active, limit).await;
        let seat = seat.ok_or_else(|| self.full())?;
        Ok(Reached::Bytes(self.dial(endpoint, Alpn::None).await?, seat))
    }

    /// A new connection for an exchange, or one that came free while there was no room for it.
    async fn open(
        &self,
        endpoint: &Endpoint,
        speech: Speech,
        reuse: Reuse,
    ) -> Result<Reached, DialError> {
        let connections = &endpoint.connections;
        let limit = self.means.limits.connect_timeout;
        let alpn = self.alpn(speech);
        // Those who wait for the same turn use what the first of them opens.
        let mut turn = None;
        if alpn == Alpn::Http2 || (alpn == Alpn::Either && !connections.chose_http1()) {
            let since = Instant::now();
            turn = timeout(limit, connections.turn_to_open()).await.map_err(|_| self.full())?;
            if let Some(stream) = connections.shared.reserve_since(since) {
                return Ok(Reached::Exchange(Held::Http2(Box::new(stream))));
            }
            if alpn == Alpn::Either && connections.chose_http1() {
                turn = None;
            }
        }
        let active = &self.metrics.connections_active;
        let seat = match reuse {
            Reuse::Allowed => match connections.seat_or_take(active, speech, limit).await {
                Some(Err(held)) => return Ok(Reached::Exchange(held)),
                Some(Ok(seat)) => Some(seat),
                None => None,
            },
            Reuse::Forbidden => connections.seat(active, limit).await,
        };
        let seat = seat.ok_or_else(|| self.full())?;
        let link = self.dial(endpoint, alpn).await?;
        let is_http2 = link.speaks_http2(alpn);
        if alpn == Alpn::Either {
            connections.note_chosen(!is_http2);
        }
        let held = if is_http2 {
            let opening = Opening {
                list: &connections.shared,
                limits: &self.means.limits,
                watch: self.watch().ok_or(DialError::Finishing)?,
                seat,
            };
            Held::Http2(Box::new(opening.open(link).await.map_err(DialError::Http)?))
        } else {
            Held::Http1(Http1::open(link, seat).await.map_err(DialError::Http)?)
        };
        drop(turn);
        Ok(Reached::Exchange(held))
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
    async fn dial(&self, endpoint: &Endpoint, alpn: Alpn) -> Result<Link, DialError> {
        let limit = self.means.limits.connect_timeout;
        // The semaphore is never closed.
        let Ok(_turn) = timeout(limit, self.turns.acquire()).await else {
            let error = DialError::NoTurn(limit);
            self.metrics.errors.of(error.failure()).inc();
            return Err(error);
        };
        endpoint.dial(&self.means, &self.metrics, alpn).await
    }

    fn full(&self) -> DialError {
        let error = DialError::Full(self.means.limits.connect_timeout);
        self.metrics.errors.of(error.failure()).inc();
        error
    }
}
