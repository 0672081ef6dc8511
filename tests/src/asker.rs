//! A client that asks, over HTTP/1.1 or HTTP/2, and gets an answer, an error, or nothing in time.
//!
//! Owns one connection of hyper's client, which repeats nothing by itself. Refuses to know what an
//! answer should be. Tests about bytes use [`Client`] alone.

use std::io;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::Client;
use crate::wait::within;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// HTTP/1.1
    One,
    /// HTTP/2
    Two,
}

/// A connection on which one request after the other is asked.
#[derive(Debug)]
pub struct Asker {
    name: String,
    sender: Sender,
}

/// What a request got.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The content.
    pub body: Bytes,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// A connection for requests of this version.
    pub async fn asker(&self, version: Version) -> io::Result<Asker> {
        let protocol = match version {
            Version::One => "http/1.1",
            Version::Two => "h2",
        };
        let client = self.clone().alpn(&[protocol]);
        let (address, name, config) = client.parts();
        let server = ServerName::try_from(name.to_owned()).expect("the test names a name");
        let connected = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let tls = TlsConnector::from(config).connect(server, tcp).await?;
            let io = TokioIo::new(tls);
            io::Result::Ok(match version {
                Version::One => {
                    let (sender, connection) = http1::handshake(io).await.map_err(error)?;
                    tokio::spawn(connection);
                    Sender::One(sender)
                }
                Version::Two => {
                    let connected = http2::handshake(TokioExecutor::new(), io).await;
                    let (sender, connection) = connected.map_err(error)?;
                    tokio::spawn(connection);
                    Sender::Two(sender)
                }
            })
        };
        let sender = within("a connection for requests", Box::pin(connected)).await?;
        Ok(Asker { name: name.to_owned(), sender })
    }
}

impl Asker {
    /// Asks, and takes the whole answer. An answer that is not complete is an error.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> io::Result<Answer> {
        let mut request = Request::builder().method(method);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (request, body) = match self.sender {
            Sender::One(_) => (request.uri(path).header("host", &self.name), body.into()),
            Sender::Two(_) => (request.uri(format!("https://{}{path}", self.name)), body.into()),
        };
        let request = request.body(Full::new(body)).expect("the test writes a request");
        let answered = async {
            if !self.is_open().await {
                return Err(io::ErrorKind::NotConnected.into());
            }
            let answer = match &mut self.sender {
                Sender::One(sender) => sender.send_request(request).await,
                Sender::Two(sender) => sender.send_request(request).await,
            };
            collected(answer.map_err(error)?).await
        };
        within("an answer", answered).await
    }

    /// Whether it may be asked once more.
    pub async fn is_open(&mut self) -> bool {
        match &mut self.sender {
            Sender::One(sender) => sender.ready().await.is_ok(),
            Sender::Two(sender) => sender.ready().await.is_ok(),
        }
    }

    /// One more of the same connection, if its version lets requests be asked side by side.
    #[must_use]
    pub fn beside(&self) -> Option<Self> {
        match &self.sender {
            Sender::One(_) => None,
            Sender::Two(sender) => {
                Some(Self { name: self.name.clone(), sender: Sender::Two(sender.clone()) })
            }
        }
    }
}

async fn collected(answer: Response<Incoming>) -> io::Result<Answer> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(error)?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

fn error(error: hyper::Error) -> io::Error {
    io::Error::other(error)
}
