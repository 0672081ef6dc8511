//! An HTTP/1.1 service that remembers every request, as hyper understood it.
//!
//! Owns the answers: the path says what is wanted, `/` a greeting, `/echo` the request's own body,
//! `/status/NNN` a status, `/bytes/N` that many bytes, `/chunks/N` the same without a length,
//! `/hold` no answer at all, `/stall` not even the request's body to be read.
//! Refuses to know anything that breaks the protocol; a backend that lies is written by its test
//! with [`raw`].

use std::convert::Infallible;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;

use super::{Backend, raw};

/// The service: a [`Backend`] that also tells what it has seen.
#[derive(Clone, Debug)]
pub struct Http {
    backend: Backend,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request that reached the backend.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// The header fields.
    pub headers: HeaderMap,
    /// The content, or as much of it as came.
    pub body: Bytes,
    /// Whether the content was complete.
    pub complete: bool,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

/// An HTTP service.
pub fn http() -> Http {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let backend = raw(move |stream, connection| {
        let kept = Arc::clone(&kept);
        async move {
            let service = service_fn(|request| answer(request, connection, Arc::clone(&kept)));
            let server = hyper::server::conn::http1::Builder::new();
            // A proxy that breaks off is nothing to complain about here.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    });
    Http { backend, seen }
}

impl Http {
    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last request.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request reached the backend")
    }
}

impl Deref for Http {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        &self.backend
    }
}

impl std::borrow::Borrow<Backend> for Http {
    fn borrow(&self) -> &Backend {
        &self.backend
    }
}

impl std::borrow::Borrow<Backend> for &Http {
    fn borrow(&self) -> &Backend {
        &self.backend
    }
}

impl Seen {
    /// All values of a field, joined by `|`.
    pub fn field(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter();
        let text = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        text.collect::<Vec<_>>().join("|")
    }
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Answer, Infallible> {
    if request.uri().path() == "/stall" {
        std::future::pending::<()>().await;
    }
    let (head, mut body) = request.into_parts();
    let mut content = Vec::new();
    let mut complete = true;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => content.extend(frame.into_data().unwrap_or_default()),
            Err(_) => complete = false,
        }
    }
    let content = Bytes::from(content);
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(Seen {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: head.headers,
        body: content.clone(),
        complete,
        connection,
    });
    if head.uri.path() == "/hold" {
        std::future::pending::<()>().await;
    }
    Ok(by_path(head.uri.path(), content))
}

fn by_path(path: &str, content: Bytes) -> Answer {
    let whole = |bytes: Bytes| Response::new(Full::new(bytes).boxed());
    let mut segments = path.split('/').skip(1);
    let kind = segments.next().unwrap_or_default();
    let number: usize = segments.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    match kind {
        "echo" => whole(content),
        "bytes" => whole(filler(number)),
        "chunks" => Response::new(Chunks(filler(number)).boxed()),
        "status" => {
            let mut response = whole(Bytes::from_static(b"as you like\n"));
            let status = u16::try_from(number).ok().and_then(|code| code.try_into().ok());
            *response.status_mut() = status.expect("the test names a status");
            response
        }
        _ => whole(Bytes::from_static(b"hello from the backend\n")),
    }
}

/// Content whose length is not told beforehand.
struct Chunks(Bytes);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let size = self.0.len().min(8 * 1024);
        let chunk = self.0.split_to(size);
        Poll::Ready((size > 0).then(|| Ok(Frame::data(chunk))))
    }
}

/// Bytes that are not all alike.
pub(crate) fn filler(count: usize) -> Bytes {
    (0..count).map(|place| (place % 251) as u8).collect()
}
