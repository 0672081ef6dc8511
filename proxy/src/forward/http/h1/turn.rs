//! One request and its response on a connection.
//!
//! Owns [`Turn`], the order in which things move: the exchange, the body of the request to it, the
//! response from it. All of that is one task, and whoever waits for another is polled again as soon
//! as the other has moved. Refuses to know what the exchange does. Read next: `supply`.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use hyper::rt::{Read, Write};

use super::End;
use super::answer::{Asked, Framing, Sequel, write_end, write_head, write_interims, write_size};
use super::head::Head;
use super::supply::{Moved, Supply};
use super::wire::Wire;
use crate::body::{Incoming, Then};
use crate::forward::http::download::Download;
use crate::forward::http::state::Connection;
use crate::net::Progress;
use crate::outcome::CloseReason;

/// A request that is being answered.
pub(super) struct Turn<'a, I> {
    wire: &'a mut Wire<I>,
    supply: Supply,
    asked: Asked,
    connection: &'a Connection,
}

impl<'a, I> Turn<'a, I>
where
    I: Read + Write + Progress + Unpin,
{
    /// The turn of the request of `head`, and that request.
    pub(super) fn new(
        wire: &'a mut Wire<I>,
        head: Head,
        connection: &'a Connection,
    ) -> (Self, Request<Incoming>) {
        let Head { parts, length, is_persistent, awaits_leave, takes_trailers } = head;
        let (method, version) = (parts.method.clone(), parts.version);
        let asked = Asked { method, version, is_persistent, takes_trailers };
        let (supply, body) = Supply::new(length, awaits_leave);
        (Self { wire, supply, asked, connection }, Request::from_parts(parts, body))
    }

    /// Sends what `exchange` answers, and empties that place. `is_last` is asked whether the
    /// connection ends after it.
    pub(super) async fn run(
        mut self,
        exchange: Pin<&mut Option<impl Future<Output = Response<Download>>>>,
        is_last: impl Fn() -> bool,
    ) -> Result<(), End> {
        let response = self.wait(exchange).await?;
        let is_tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let (sequel, framing, body) = self.begin(response, is_last());
        self.relay(pin!(body), framing).await?;
        if !self.supply.is_complete() {
            self.connection.leave_unread();
        }
        if is_tunnel || sequel == Sequel::Close { Err(End::Done) } else { Ok(()) }
    }

    /// Waits for the response.
    async fn wait(
        &mut self,
        mut exchange: Pin<&mut Option<impl Future<Output = Response<Download>>>>,
    ) -> Result<Response<Download>, End> {
        poll_fn(|cx| {
            loop {
                let Some(asked) = exchange.as_mut().as_pin_mut() else { return Poll::Pending };
                let response = asked.poll(cx);
                if self.connection.interims.is_waiting() {
                    write_interims(self.wire.text(), self.connection.interims.take());
                }
                if let Poll::Ready(response) = response {
                    exchange.set(None);
                    return Poll::Ready(Ok(response));
                }
                let moved = match self.supply.poll(cx, self.wire) {
                    Ok(moved) => moved,
                    Err(end) => return Poll::Ready(Err(end)),
                };
                if self.wire.has_output()
                    && let Poll::Ready(Err(_)) = self.wire.poll_flush(cx)
                {
                    return Poll::Ready(Err(End::Broken));
                }
                if moved == Moved::No {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Puts the head of the response behind all that is to be written.
    fn begin(
        &mut self,
        response: Response<Download>,
        is_last: bool,
    ) -> (Sequel, Framing, Download) {
        let (head, body) = response.into_parts();
        self.supply.settle(&mut self.wire.buffer);
        if self.supply.is_broken() {
            self.connection.blame(CloseReason::ClientError);
        }
        let framing = Framing::of(&head, body.size_hint().exact(), &self.asked);
        let closes = is_last
            || !self.asked.is_persistent
            || !self.supply.is_complete()
            || framing == Framing::Closed
            || head.headers.get(CONNECTION).is_some_and(|value| value == "close");
        let sequel = if closes { Sequel::Close } else { Sequel::Next };
        write_head(self.wire.text(), &head, framing, &self.asked, sequel);
        let mut spare = head.headers;
        spare.clear();
        self.wire.spare = spare;
        (sequel, framing, body)
    }

    /// Sends the body of the response, and all that is before it.
    async fn relay(
        &mut self,
        mut body: Pin<&mut Download>,
        mut framing: Framing,
    ) -> Result<(), End> {
        let mut is_over = framing == Framing::None;
        poll_fn(|cx| {
            loop {
                let mut moved = match self.supply.poll(cx, self.wire) {
                    Ok(moved) => moved,
                    Err(end) => return Poll::Ready(Err(end)),
                };
                let mut is_waiting = false;
                if !is_over && self.wire.has_room() {
                    match body.as_mut().poll_frame(cx) {
                        Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(End::Cut)),
                        Poll::Ready(part) => {
                            moved = Moved::Yes;
                            let frame = part.and_then(Result::ok);
                            let then = if body.is_end_stream() { Then::End } else { Then::More };
                            match self.put(frame, then, &mut framing) {
                                Ok(over) => is_over = over,
                                Err(end) => return Poll::Ready(Err(end)),
                            }
                        }
                        Poll::Pending => is_waiting = true,
                    }
                }
                let written = if is_over || is_waiting {
                    self.wire.poll_flush(cx)
                } else {
                    self.wire.poll_write(cx)
                };
                match written {
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Broken)),
                    Poll::Ready(Ok(())) if is_over => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(())) if !is_waiting => {}
                    _ if moved == Moved::No => return Poll::Pending,
                    _ => {}
                }
            }
        })
        .await
    }

    /// Puts a part of the body, or its end, behind what is to be written. `then` is what follows.
    /// Whether the response is complete with that.
    fn put(
        &mut self,
        frame: Option<Frame<Bytes>>,
        then: Then,
        framing: &mut Framing,
    ) -> Result<bool, End> {
        let is_last = then == Then::End;
        let data = match frame.map(Frame::into_data) {
            Some(Ok(data)) => data,
            Some(Err(frame)) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                let takes = self.asked.takes_trailers;
                self.end(*framing, &if takes { trailers } else { HeaderMap::new() })?;
                // Whatever comes now is too much; but the body wants to be asked to its end.
                *framing = Framing::Length(0);
                return Ok(is_last);
            }
            None => return self.end(*framing, &HeaderMap::new()).map(|()| true),
        };
        match framing {
            Framing::Chunked if data.is_empty() && is_last => {
                self.end(*framing, &HeaderMap::new())?;
            }
            Framing::Chunked if data.is_empty() => {}
            Framing::Chunked => {
                write_size(self.wire.text(), &data);
                self.wire.put(data, if is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
            }
            Framing::Length(rest) => {
                *rest = rest.checked_sub(data.len() as u64).ok_or(End::Cut)?;
                if is_last && *rest > 0 {
                    return Err(End::Cut);
                }
                self.wire.put(data, b"");
            }
            Framing::Closed | Framing::None => self.wire.put(data, b""),
        }
        Ok(is_last)
    }

    /// Ends the body, unless that were a lie.
    fn end(&mut self, framing: Framing, trailers: &HeaderMap) -> Result<(), End> {
        match framing {
            Framing::Chunked => write_end(self.wire.text(), trailers),
            Framing::Length(1..) => return Err(End::Cut),
            Framing::Closed | Framing::Length(0) | Framing::None => {}
        }
        Ok(())
    }
}
