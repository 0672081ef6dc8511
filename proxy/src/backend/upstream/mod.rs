//! The right to use a connection to an endpoint for one exchange, whatever is spoken on it.
//!
//! Owns [`Lease`] and [`SendError`], which says whether anything of a request may have reached the
//! endpoint: only what surely did not is ever sent again. A connection of HTTP/1.1 (`http1`)
//! belongs to its exchange and has no task behind it; one of HTTP/2 (`http2`) is shared and has
//! one. A lease that is dropped takes along what belongs to its exchange: the connection, or the
//! stream. Refuses to know routes and status codes. Read next: `http1`, then `http2` and `pump`.

mod attend;
mod head;
mod http1;
mod http2;
mod pump;
mod replay;

use std::future::Future;
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response};

pub(super) use attend::Opening;
pub(super) use http1::Http1;
pub(super) use http2::{SharedList, Stream};

use super::connections::Seat;
use super::endpoint::{Load, Verdict};
use super::interim::Interims;
use super::link::Link;
use super::upload::Upload;
use crate::body::Incoming;
use crate::net::EndpointAddr;

/// A connection, or a part of one, that an exchange may use.
#[derive(Debug)]
pub(super) enum Held {
    Http1(Box<Http1>),
    Http2(Box<Stream>),
}

/// The right to use a connection for one exchange.
#[derive(Debug)]
pub struct Lease {
    held: Held,
    load: Load,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
#[error("the request got no response")]
pub struct SendError {
    /// The request, if it may be sent again: the endpoint surely did nothing about it, or it does
    /// no harm twice and the connection had waited for too long.
    pub unsent: Option<Box<Request<Upload>>>,
    /// What went wrong.
    #[source]
    pub cause: SendFault,
}

/// What goes wrong between a request and its response.
#[derive(Debug, thiserror::Error)]
pub enum SendFault {
    /// Over HTTP/1.1.
    #[error("the connection failed")]
    Http1(#[source] hyper::Error),
    /// Over HTTP/2.
    #[error("the stream failed")]
    Http2(#[source] h2::Error),
    /// One interim response after the other.
    #[error("there is no end of interim responses")]
    Interim,
}

impl SendFault {
    /// Whether the endpoint said something that is not a response.
    pub fn is_bad_response(&self) -> bool {
        match self {
            Self::Http1(error) => error.is_parse(),
            Self::Http2(error) => error.is_library(),
            Self::Interim => true,
        }
    }
}

impl Lease {
    pub(super) fn new(held: Held, load: Load) -> Self {
        Self { held, load }
    }

    /// Sends `request` and waits for the head of the response; what comes before it goes into
    /// `interims`.
    ///
    /// Not an `async fn`, whose future would keep room for the request that is long gone.
    pub fn send(
        &mut self,
        mut request: Request<Upload>,
        interims: Option<&Arc<Interims>>,
    ) -> impl Future<Output = Result<Response<Incoming>, SendError>> {
        match &mut self.held {
            Held::Http1(connection) => {
                if let Some(interims) = interims {
                    interims.listen(&mut request);
                }
                Either::Left(connection.send(request))
            }
            Held::Http2(stream) => Either::Right(Box::pin(stream.send(request, interims.cloned()))),
        }
    }

    /// Where the connection leads.
    pub fn addr(&self) -> &EndpointAddr {
        &self.load.endpoint().addr
    }

    /// Says how the endpoint did.
    pub fn note(&self, verdict: Verdict) {
        self.load.note(verdict);
    }

    /// Whether all that was handed over has reached the system.
    pub fn is_flushed(&self) -> bool {
        match &self.held {
            Held::Http1(connection) => connection.is_flushed(),
            Held::Http2(_) => true,
        }
    }

    /// Moves what can be moved while the body of the response is waited for.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if let Held::Http1(connection) = &mut self.held {
            connection.drive(cx);
        }
    }

    /// Gives the connection back for the next exchange, if it is at rest; else closes it. To be
    /// called only when the response was received completely.
    pub fn give_back(self) {
        if let Held::Http1(mut connection) = self.held
            && connection.is_at_rest()
        {
            self.load.endpoint().connections.put(connection);
        }
    }

    /// Takes the connection apart after a response that changes the protocol: the link, and what
    /// was read behind the response.
    pub async fn into_tunnel(self) -> Option<Tunnel> {
        let Held::Http1(connection) = self.held else { return None };
        let (link, early, seat) = connection.into_parts().await?;
        Some(Tunnel { link, early, guards: Guards { _seat: seat, _load: self.load } })
    }
}

/// A connection to an endpoint that speaks another protocol from now on.
#[derive(Debug)]
pub struct Tunnel {
    /// The connection.
    pub link: Link,
    /// What the endpoint has sent already.
    pub early: Bytes,
    /// What is counted is counted as long as this lives.
    pub guards: Guards,
}

/// What a tunnel counts for.
#[derive(Debug)]
pub struct Guards {
    _seat: Seat,
    _load: Load,
}
