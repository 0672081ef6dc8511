//! One question to one endpoint, and its answer.
//!
//! Owns what is sent and which answers are good. Each question has a connection of its own, which
//! ends with the answer: what works on an old connection need not work on a new one. The body of a
//! response is not read. Refuses to know what follows. Read next: `connect`, for how it is dialled.

use std::future::Future;
use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use crate::backend::Backend;
use crate::backend::connect::{DialError, Limit, dial};
use crate::backend::endpoint::Endpoint;
use crate::backend::introduction::OnBehalf;
use crate::backend::tls::Alpn;
use crate::config::{BackendProtocol, Health, HealthCheck};
use crate::metrics::CheckResult;

impl Backend {
    /// Asks `endpoint`.
    pub(super) async fn check(
        &self,
        endpoint: &Endpoint,
        health: &Health,
    ) -> Result<(), CheckError> {
        let limit = Limit { at: Instant::now() + health.timeout, of: health.timeout };
        let asked = timeout_at(limit.at, async {
            let keepalive = &self.means.limits().keepalive;
            let alpn = match self.members.config().protocol {
                BackendProtocol::Http1 => Alpn::Http1,
                BackendProtocol::Http2 => Alpn::Http2,
                BackendProtocol::Auto => Alpn::Either,
            };
            let secure = match &health.check {
                HealthCheck::Tcp => None,
                HealthCheck::Http { .. } => endpoint.secure(&self.means, alpn),
            };
            let herald = self.means.herald(OnBehalf::Ourselves, &self.metrics);
            let link = dial(&endpoint.addr, limit, keepalive, herald, secure).await?;
            let HealthCheck::Http { path, host, expect } = &health.check else { return Ok(()) };
            let config = self.members.config();
            let name =
                config.endpoints.get(endpoint.place).map(|endpoint| endpoint.name.authority());
            let host = host.as_deref().or(name.as_deref()).unwrap_or_default();
            let scheme = match &config.tls {
                Some(_) => Scheme::HTTPS,
                None => Scheme::HTTP,
            };
            let status = match link.speaks_http2(alpn) {
                true => ask_http2(link, &scheme, path, host).await?,
                false => ask_http1(link, path, host).await?,
            };
            match expect.iter().any(|range| range.contains(&status.as_u16())) {
                true => Ok(()),
                false => Err(CheckError::Status(status)),
            }
        });
        asked.await.unwrap_or(Err(CheckError::Timeout(health.timeout)))
    }
}

async fn ask_http1(
    link: impl AsyncRead + AsyncWrite + Unpin,
    path: &PathAndQuery,
    host: &str,
) -> Result<StatusCode, CheckError> {
    let request = Request::get(Uri::from(path.clone()))
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(CheckError::Request)?;
    let mut builder = http1::Builder::new();
    let builder = builder.max_buf_size(HEAD_BYTES_MAX).max_header_size(HEAD_BYTES_MAX);
    let shaken = builder.handshake(TokioIo::new(link)).await;
    let (mut sender, connection) = shaken.map_err(CheckError::Http1)?;
    let response = drive(sender.send_request(request), connection).await;
    Ok(response.map_err(CheckError::Http1)?.status())
}

async fn ask_http2(
    link: impl AsyncRead + AsyncWrite + Unpin,
    scheme: &Scheme,
    path: &PathAndQuery,
    host: &str,
) -> Result<StatusCode, CheckError> {
    let authority: Authority = host.parse::<Authority>().map_err(http::Error::from)?;
    let uri = Uri::builder().scheme(scheme.clone()).authority(authority);
    let uri = uri.path_and_query(path.clone()).build()?;
    let request = Request::get(uri).header(USER_AGENT, AGENT).header(ACCEPT, "*/*").body(())?;
    let mut builder = h2::client::Builder::new();
    let builder = builder.max_header_list_size(HEAD_BYTES_MAX as u32).enable_push(false);
    let (sender, connection) = builder.handshake::<_, Bytes>(link).await?;
    let ask = async {
        let mut sender = sender.ready().await?;
        let (response, _) = sender.send_request(request, true)?;
        Ok::<_, h2::Error>(response.await?.status())
    };
    Ok(drive(ask, connection).await?)
}

/// Waits for `response` while `connection` moves.
async fn drive<T>(response: impl Future<Output = T>, connection: impl Future) -> T {
    match select(pin!(response), pin!(connection)).await {
        Either::Left((response, _)) => response,
        // With the connection ends what waits for it.
        Either::Right((_, response)) => response.await,
    }
}

/// Why an answer is not good.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// There is no response.
    #[error("no response")]
    Http1(#[source] hyper::Error),
    /// There is no response over HTTP/2.
    #[error("no response")]
    Http2(#[from] h2::Error),
    /// What is to be asked cannot be.
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
    /// The response has another status than it should.
    #[error("the response is {0}")]
    Status(StatusCode),
    /// There was no answer in time.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
}

impl CheckError {
    /// The word in metrics.
    pub(super) fn result(&self) -> CheckResult {
        match self {
            Self::Dial(error) if error.is_ours() => CheckResult::Unasked,
            Self::Dial(DialError::Timeout(_)) | Self::Timeout(_) => CheckResult::Timeout,
            Self::Dial(_) => CheckResult::NoConnection,
            Self::Http1(_) | Self::Http2(_) | Self::Request(_) => CheckResult::NoResponse,
            Self::Status(_) => CheckResult::Status,
        }
    }
}

/// How we call ourselves.
const AGENT: &str = concat!("portunus/", env!("CARGO_PKG_VERSION"), " (health check)");

/// Bytes of the head of a response.
const HEAD_BYTES_MAX: usize = 64 * 1024;
