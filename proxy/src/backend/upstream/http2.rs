//! Connections of HTTP/2 to an endpoint, each shared by many exchanges.
//!
//! Owns the list of them, with the cap on exchanges at once on each, and [`Stream`], the part of a
//! connection that belongs to one exchange. What the endpoint refused before it looked, or
//! announced not to process, comes back to be sent elsewhere (RFC 9113 §8.7). A stream that is
//! dropped before its end is reset. Read next: `attend`, the task behind a connection.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::future::select;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::header::CONTENT_LENGTH;
use http::uri::Scheme;
use http::{Request, Response};
use http_body::Body as _;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::head::translate;
use super::pump::Pump;
use super::{SendError, SendFault};
use crate::backend::connections::Room;
use crate::backend::interim::{INTERIMS_MAX, Interims};
use crate::backend::upload::Upload;
use crate::body::{Http2Body, Incoming};
use crate::config::PoolBounds;
use crate::drain::DrainWatch;

/// Connections that exchanges share.
#[derive(Debug)]
pub(in crate::backend) struct SharedList {
    connections: Mutex<Vec<Shared>>,
    bounds: PoolBounds,
    room: Arc<Room>,
}

/// A connection that exchanges share. As long as this or a stream lives, the connection does.
struct Shared {
    sender: SendRequest<Bytes>,
    state: Arc<State>,
}

/// What the task of a connection, its streams and the list know of it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) streams: AtomicUsize,
    /// Whether a stream was opened since the task last looked.
    pub(super) was_used: AtomicBool,
    pub(super) since: Instant,
    scheme: Scheme,
    room: Arc<Room>,
    watch: DrainWatch,
}

impl SharedList {
    pub(in crate::backend) fn new(bounds: PoolBounds, room: Arc<Room>) -> Self {
        Self { connections: Mutex::default(), bounds, room }
    }

    /// Exchanges at once on one connection.
    pub(super) fn streams_max(&self) -> usize {
        self.bounds.streams_max
    }

    /// A stream on a connection that has room for one.
    pub(in crate::backend) fn reserve(&self) -> Option<Stream> {
        let mut connections = self.lock();
        if connections.is_empty() {
            return None;
        }
        let now = Instant::now();
        connections.retain_mut(|shared| {
            now.duration_since(shared.state.since) < self.bounds.age_max && shared.is_open()
        });
        connections.iter().find_map(|shared| shared.reserve(self.bounds.streams_max))
    }

    /// The same for a connection that was made after `since`.
    pub(in crate::backend) fn reserve_since(&self, since: Instant) -> Option<Stream> {
        let connections = self.lock();
        let fresh = connections.iter().filter(|shared| shared.state.since >= since);
        fresh.rev().find_map(|shared| shared.reserve(self.bounds.streams_max))
    }

    /// Shares a new connection, and returns its first stream.
    pub(super) fn share(
        &self,
        sender: SendRequest<Bytes>,
        scheme: Scheme,
        watch: DrainWatch,
    ) -> (Arc<State>, Stream) {
        let state = Arc::new(State {
            streams: AtomicUsize::new(0),
            was_used: AtomicBool::new(true),
            since: Instant::now(),
            scheme,
            room: Arc::clone(&self.room),
            watch,
        });
        let stream = Stream::new(sender.clone(), &state);
        self.lock().push(Shared { sender, state: Arc::clone(&state) });
        self.room.tell();
        (state, stream)
    }

    /// Takes a connection without streams out of the list, if there is one: it ends at once.
    pub(in crate::backend) fn retire_idle(&self) {
        let idle = {
            let mut connections = self.lock();
            // Streams are opened under the lock.
            let is_idle = |shared: &Shared| shared.state.streams.load(Ordering::Relaxed) == 0;
            let place = connections.iter().position(is_idle);
            place.map(|place| connections.remove(place))
        };
        drop(idle);
    }

    /// Takes a connection out of the list: it ends with its last stream.
    pub(super) fn retire(&self, state: &Arc<State>) {
        let retired: Vec<_> = {
            let mut connections = self.lock();
            connections.extract_if(.., |shared| Arc::ptr_eq(&shared.state, state)).collect()
        };
        // What this lets go wakes the task of the connection, and is done without the lock.
        drop(retired);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Shared>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Whether the endpoint still takes new streams here.
    fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    fn reserve(&self, streams_max: usize) -> Option<Stream> {
        let streams_max = streams_max.min(self.sender.current_max_send_streams());
        let is_free = self.state.streams.load(Ordering::Relaxed) < streams_max;
        is_free.then(|| Stream::new(self.sender.clone(), &self.state))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

/// The part of a connection that belongs to one exchange.
pub(in crate::backend) struct Stream {
    sender: SendRequest<Bytes>,
    slot: Slot,
    /// Ends the task that sends the rest of the request.
    uploading: Option<oneshot::Sender<()>>,
}

impl Stream {
    fn new(sender: SendRequest<Bytes>, state: &Arc<State>) -> Self {
        state.streams.fetch_add(1, Ordering::Relaxed);
        state.was_used.store(true, Ordering::Relaxed);
        Self { sender, slot: Slot(Arc::clone(state)), uploading: None }
    }

    /// Sends `request` and waits for the head of the response; meanwhile the body goes along. What
    /// is left of it then goes on in a task of its own, for as long as this lives: either direction
    /// may wait for the other.
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
        interims: Option<Arc<Interims>>,
    ) -> Result<Response<Incoming>, SendError> {
        let (parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let head = translate(&parts, &self.slot.0.scheme);
        let opened = match poll_fn(|cx| self.sender.poll_ready(cx)).await {
            Ok(()) => self.sender.send_request(head, !has_body),
            Err(error) => Err(error),
        };
        let (response, stream) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let unsent = Some(Box::new(Request::from_parts(parts, body)));
                return Err(SendError { unsent, cause: SendFault::Http2(error) });
            }
        };
        let (mut pump, mut body) =
            if has_body { (Some(Pump::new(stream, body)), None) } else { (None, Some(body)) };
        let mut answer = Answer { response, interims, count: 0 };
        let result = poll_fn(|cx| {
            if let Some(pump) = &mut pump {
                // Whether it is done is asked when the head of the response is there.
                let _ = Pin::new(pump).poll(cx);
            }
            answer.poll(cx)
        })
        .await;
        match result {
            Ok(response) => {
                if let Some(mut pump) = pump.filter(Pump::is_open) {
                    pump.settle();
                    self.upload_on(pump);
                }
                Ok(response)
            }
            Err(cause) => {
                let whole = body.take().or_else(|| pump.and_then(Pump::into_body));
                let body = whole.filter(|_| is_untried(&cause));
                let unsent = body.map(|body| Box::new(Request::from_parts(parts, body)));
                Err(SendError { unsent, cause })
            }
        }
    }

    fn upload_on(&mut self, pump: Pump) {
        let (uploading, ended) = oneshot::channel();
        self.uploading = Some(uploading);
        self.slot.0.watch.spawn(async {
            select(pump, ended).await;
        });
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// The place of a stream under the cap of its connection.
#[derive(Debug)]
struct Slot(Arc<State>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
        self.0.room.tell();
    }
}

/// The response that is waited for.
struct Answer {
    response: ResponseFuture,
    interims: Option<Arc<Interims>>,
    count: usize,
}

impl Answer {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Incoming>, SendFault>> {
        while let Poll::Ready(Some(Ok(interim))) = self.response.poll_informational(cx) {
            self.count += 1;
            if self.count > INTERIMS_MAX {
                return Poll::Ready(Err(SendFault::Interim));
            }
            if let Some(interims) = &self.interims {
                interims.push(interim);
            }
        }
        Pin::new(&mut self.response).poll(cx).map(|response| {
            let response = response.map_err(SendFault::Http2)?;
            let length = response.headers().get(CONTENT_LENGTH);
            let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
            Ok(response.map(|stream| Incoming::Http2(Http2Body::new(stream, length))))
        })
    }
}

/// Whether the endpoint has said that it did nothing about the request: it refused the stream, or
/// left before it came to it.
fn is_untried(fault: &SendFault) -> bool {
    let SendFault::Http2(error) = fault else { return false };
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}
