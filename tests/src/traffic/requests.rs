//! Requests over a connection that is kept: one after the other over HTTP/1.1, side by side over
//! HTTP/2.
//!
//! Owns the rule of when a connection may end: after an answer that said so, or after a GOAWAY,
//! and with every request answered that was sent. hyper repeats nothing, and neither is anything
//! repeated here, but for a request that hyper gives back unsent.

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;

use super::fault::at;
use super::way::Way;
use super::{Client, Fault, Reason};
use crate::asker::Version;
use crate::backend::http::filler;

/// Request after request.
#[derive(Debug)]
pub(super) struct Requests {
    way: Way,
    version: Version,
    open: Option<Open>,
    number: usize,
}

/// A connection on which nobody has said yet that it ends.
#[derive(Debug)]
struct Open {
    sender: Sender,
    connection: JoinHandle<hyper::Result<()>>,
    port: u16,
}

#[derive(Clone, Debug)]
enum Sender {
    One(OnlyOne),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// The one sender of a connection.
type OnlyOne = std::sync::Arc<tokio::sync::Mutex<http1::SendRequest<Full<Bytes>>>>;

/// What became of a request.
enum Outcome {
    /// It was answered, and the connection stays.
    Answered,
    /// It was answered, and the connection ends, as was said.
    Last,
    /// It was never sent, since the connection had been said to end.
    Unsent,
}

impl Requests {
    /// Over this version of HTTP.
    pub(super) fn new(way: Way, version: Version) -> Self {
        let protocol = match version {
            Version::One => "http/1.1",
            Version::Two => "h2",
        };
        Self { way: way.alpn(protocol), version, open: None, number: 0 }
    }

    async fn connect(&self) -> Result<Open, Fault> {
        let link = self.way.connect().await?;
        let (io, port) = (TokioIo::new(link.stream), link.port);
        let opened = match self.version {
            Version::One => http1::handshake(io).await.map(|(sender, connection)| {
                let sender = std::sync::Arc::new(tokio::sync::Mutex::new(sender));
                (Sender::One(sender), tokio::spawn(connection))
            }),
            Version::Two => {
                let opened = http2::handshake(TokioExecutor::new(), io).await;
                opened.map(|(sender, connection)| (Sender::Two(sender), tokio::spawn(connection)))
            }
        };
        let opened = opened.map_err(at("begin HTTP")).map_err(|fault| fault.of_port(port));
        opened.map(|(sender, connection)| Open { sender, connection, port })
    }

    /// A request, and the content that its answer has to have.
    fn request(&self, number: usize) -> (Request<Full<Bytes>>, Bytes) {
        let name = self.way.name();
        let size = number * 631 % 20_000;
        let (method, path, body) = match number % 3 {
            0 => (Method::POST, "/echo".to_owned(), filler(size)),
            _ => (Method::GET, format!("/bytes/{size}"), Bytes::new()),
        };
        let request = match self.version {
            Version::One => Request::builder().uri(path).header("host", name),
            Version::Two => Request::builder().uri(format!("https://{name}{path}")),
        };
        let request = request.method(method).body(Full::new(body)).expect("a request is one");
        (request, filler(size))
    }

    /// Requests that are sent at once.
    fn side_by_side(&self) -> usize {
        match self.version {
            Version::One => 1,
            Version::Two => 3,
        }
    }
}

impl Client for Requests {
    async fn turn(&mut self) -> Result<(), Fault> {
        let mut left: Vec<_> = (0..self.side_by_side()).map(|one| self.number + one).collect();
        self.number += left.len();
        while !left.is_empty() {
            if self.open.is_none() {
                self.open = Some(self.connect().await?);
            }
            let open = self.open.as_ref().expect("it was just opened");
            let port = open.port;
            let asked = left.iter().map(|&number| {
                let (request, content) = self.request(number);
                let sender = open.sender.clone();
                async move { (number, sender.ask(request, &content).await) }
            });
            let outcomes = futures_util::future::join_all(asked).await;
            left.clear();
            let mut is_last = false;
            for (number, outcome) in outcomes {
                match outcome.map_err(|fault| fault.of_port(port))? {
                    Outcome::Answered => {}
                    Outcome::Last => is_last = true,
                    Outcome::Unsent => {
                        is_last = true;
                        left.push(number);
                    }
                }
            }
            if is_last && let Some(open) = self.open.take() {
                open.ended().await?;
            }
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Fault> {
        let Some(Open { sender, connection, port }) = self.open.take() else { return Ok(()) };
        drop(sender);
        ended(connection, port).await
    }

    fn forget(&mut self) {
        self.open = None;
    }
}

impl Open {
    /// Waits for the end that was said to come.
    async fn ended(self) -> Result<(), Fault> {
        ended(self.connection, self.port).await
    }
}

async fn ended(connection: JoinHandle<hyper::Result<()>>, port: u16) -> Result<(), Fault> {
    let ended = connection.await.expect("the connection does not panic");
    ended.map_err(at("see the end")).map_err(|fault| fault.of_port(port))
}

impl Sender {
    async fn ask(self, request: Request<Full<Bytes>>, content: &[u8]) -> Result<Outcome, Fault> {
        match self {
            Self::One(sender) => {
                let mut sender = sender.lock().await;
                if sender.is_closed() || sender.ready().await.is_err() {
                    return Err(Fault::new("ask again", Reason::Unannounced));
                }
                let answer = sender.send_request(request).await.map_err(at("hear an answer"))?;
                let field = answer.headers().get("connection");
                let is_last = field.is_some_and(|value| value == "close");
                check(answer, content).await?;
                Ok(if is_last { Outcome::Last } else { Outcome::Answered })
            }
            Self::Two(mut sender) => {
                if sender.is_closed() || sender.ready().await.is_err() {
                    return Ok(Outcome::Unsent);
                }
                match sender.try_send_request(request).await {
                    Ok(answer) => check(answer, content).await.map(|()| Outcome::Answered),
                    Err(error) => unsent(error),
                }
            }
        }
    }
}

/// A request that hyper gives back was never on the wire.
fn unsent(mut error: TrySendError<Request<Full<Bytes>>>) -> Result<Outcome, Fault> {
    match error.take_message() {
        Some(_) => Ok(Outcome::Unsent),
        None => Err(at("hear an answer")(error.into_error())),
    }
}

async fn check(answer: Response<Incoming>, content: &[u8]) -> Result<(), Fault> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(at("hear the content"))?.to_bytes();
    if head.status != 200 {
        let text = String::from_utf8_lossy(&body).into_owned();
        return Err(Fault::wrong("hear an answer", format!("{}: {text}", head.status)));
    }
    if body != content {
        let what = format!("{} bytes instead of {}, or others", body.len(), content.len());
        return Err(Fault::wrong("hear the content", what));
    }
    Ok(())
}
