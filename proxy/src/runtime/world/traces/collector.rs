//! The connection to a collector.
//!
//! Owns [`Collector`], which posts one message and waits for the answer, over a connection that it
//! keeps for the next. A kept connection that fails has waited for too long, and a new one is tried
//! at once. Refuses to know what is posted and what the answer means. Read next: `export`.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::backend::{Backend, ConnectError};
use crate::config;
use crate::proxy_protocol::Introduction;

/// Where messages are posted.
pub(super) struct Collector {
    config: config::Traces,
    backend: Arc<Backend>,
    kept: Option<Line>,
}

/// A connection, which moves only while it is waited for.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Collector {
    /// Nothing is connected yet.
    pub(super) fn new(config: config::Traces, backend: Arc<Backend>) -> Self {
        Self { config, backend, kept: None }
    }

    /// Posts `message`, and waits for the whole answer.
    pub(super) async fn post(&mut self, message: &Bytes) -> Result<Response<Bytes>, PostError> {
        let limit = self.config.timeout;
        timeout(limit, self.post_now(message)).await.unwrap_or(Err(PostError::Timeout(limit)))
    }

    async fn post_now(&mut self, message: &Bytes) -> Result<Response<Bytes>, PostError> {
        if let Some(line) = self.kept.take()
            && let Ok(answer) = self.ask(line, message).await
        {
            return Ok(answer);
        }
        let connected = self.backend.connect(None, &Introduction::default()).await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(connected.link))
            .await?;
        let connection = Box::pin(async move {
            // Whoever waits for an answer hears of it as well.
            let _ = connection.await;
        });
        self.ask(Line { sender, connection }, message).await
    }

    async fn ask(&mut self, line: Line, message: &Bytes) -> Result<Response<Bytes>, PostError> {
        let request = self.request(message)?;
        let Line { mut sender, mut connection } = line;
        let asking = async {
            sender.ready().await?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => PostError::Http(*error),
                Err(_) => PostError::TooLong,
            })?;
            Ok::<_, PostError>(Response::from_parts(head, body.to_bytes()))
        };
        let (answer, is_open) = match select(pin!(asking), connection.as_mut()).await {
            Either::Left((answer, _)) => (answer, true),
            // With the connection ends what waits for it.
            Either::Right(((), asking)) => (asking.await, false),
        };
        let answer = answer?;
        if is_open && sender.is_ready() {
            self.kept = Some(Line { sender, connection });
        }
        Ok(answer)
    }

    fn request(&self, message: &Bytes) -> Result<Request<Full<Bytes>>, PostError> {
        let config::Traces { path, host, headers, .. } = &self.config;
        let mut request =
            Request::post(Uri::from(path.clone())).body(Full::new(message.clone()))?;
        let fields = request.headers_mut();
        for (name, value) in headers {
            fields.append(name.clone(), value.clone());
        }
        fields.insert(HOST, host.clone());
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        fields.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        Ok(request)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    /// The collector cannot be reached.
    #[error("the collector cannot be reached")]
    Connect(#[from] ConnectError),
    /// It does not speak as it should.
    #[error("the collector gave no answer")]
    Http(#[from] hyper::Error),
    /// What is to be asked cannot be.
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
    /// It did not answer in time.
    #[error("the collector gave no answer within {0:?}")]
    Timeout(Duration),
    /// It has more to say than anybody reads.
    #[error("the answer of the collector is too long")]
    TooLong,
}

/// How we call ourselves.
const AGENT: &str = concat!("portunus/", env!("CARGO_PKG_VERSION"));
const HEAD_BYTES_MAX: usize = 64 * 1024;
const ANSWER_BYTES_MAX: usize = 64 * 1024;
