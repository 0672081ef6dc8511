//! The whole way of HTTP, byte by byte: a client in memory, backends on loopback that follow a
//! script and remember what they received.

mod blame;
mod bodies;
mod farewell;
mod floods;
pub(super) mod frames;
mod framing;
mod h2;
mod identity;
mod interim;
mod limits;
mod malformed;
mod reuse;
mod routes;
mod smoke;
mod tls;
mod upgrade;
mod upstream;
mod websocket;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use portunus_certs::name::NamePattern;
use prometheus::IntGauge;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{ConnectionFacts, HttpService, serve};
use crate::access::AccessLog;
use crate::backend::Backend;
use crate::config::{self, ClientCertForward, Limits};
use crate::drain::{Drain, DrainWatch};
use crate::forward::header::TlsFacts;
use crate::handshake::sites::{SiteId, Sites};
use crate::limit::Memory;
use crate::metrics::{
    Active, BackendTrait, HandshakeKind, HttpVersion, ListenerTrait, Metrics, Suite, TlsVersion,
};
use crate::net::{PeerAddr, Progress};
use crate::outcome::CloseReason;
use crate::route::{Routes, Site};
use crate::trace::Tracer;

/// Longer than every limit, for tests in which time does not pass by itself.
const PATIENCE: Duration = Duration::from_secs(1000);

impl Progress for TokioIo<DuplexStream> {
    /// Nothing between a client in memory and the test takes a part of what is written.
    fn bytes_sent(&self) -> u64 {
        0
    }
}

/// One step of a backend: what it waits for, what it says, and whether it stays.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// The end of what must have come since the last step.
    until: &'static str,
    answer: &'static str,
    then: Then,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Then {
    Stay,
    Close,
}

/// After the head of a request, `answer`.
pub(super) fn say(answer: &'static str) -> Step {
    Step { until: "\r\n\r\n", answer, then: Then::Stay }
}

impl Step {
    fn after(self, until: &'static str) -> Self {
        Self { until, ..self }
    }

    fn and_close(self) -> Self {
        Self { then: Then::Close, ..self }
    }
}

/// A backend on loopback. Each connection follows its own script, in the order of arrival.
pub(super) struct Mock {
    addr: String,
    /// What each connection received.
    received: Arc<Mutex<Vec<String>>>,
    open: IntGauge,
}

impl Mock {
    /// A connection beyond the scripts gets the last one.
    async fn start(watch: &DrainWatch, scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        let open = IntGauge::new("open", "connections").unwrap();
        let gauge = open.clone();
        let tasks = watch.clone();
        watch.spawn(async move {
            for number in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                log.lock().unwrap().push(String::new());
                let script = scripts.get(number).or(scripts.last()).unwrap().clone();
                let active = Active::new(&gauge);
                let follower = follow(socket, script, Arc::clone(&log), number);
                tasks.spawn(async move {
                    follower.await;
                    drop(active);
                });
            }
        });
        Self { addr, received, open }
    }

    /// How many connections are open.
    fn open(&self) -> i64 {
        self.open.get()
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }
}

async fn follow(
    mut socket: TcpStream,
    script: Vec<Step>,
    log: Arc<Mutex<Vec<String>>>,
    number: usize,
) {
    let mut heard = String::new();
    // Whatever comes behind the script is remembered, until the other side leaves.
    let rest = Step { until: NEVER, answer: "", then: Then::Stay };
    for step in script.into_iter().chain([rest]) {
        while !heard.ends_with(step.until) {
            let mut buf = [0; 4096];
            match socket.read(&mut buf).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let text = String::from_utf8_lossy(&buf[..read]);
                    heard.push_str(&text);
                    log.lock().unwrap()[number].push_str(&text);
                }
            }
        }
        heard.clear();
        if socket.write_all(step.answer.as_bytes()).await.is_err() || step.then == Then::Close {
            return;
        }
    }
}

/// What no client says.
const NEVER: &str = "\0never";

/// A proxy with one client connection.
pub(super) struct Client {
    io: DuplexStream,
    closed: oneshot::Receiver<CloseReason>,
    drain: Drain,
    mock: Mock,
    metrics: Metrics,
    service: Arc<HttpService>,
}

impl Client {
    /// A client of HTTP/1.1 in front of a backend whose every connection follows `script`.
    pub(super) async fn new(script: Vec<Step>) -> Self {
        Self::with(vec![script], |_| {}).await
    }

    pub(super) async fn with(scripts: Vec<Vec<Step>>, tweak: fn(&mut Limits)) -> Self {
        Self::at(scripts, |addr| service(addr, tweak), facts()).await
    }

    /// A client of the service that `make` makes for the address of the backend.
    pub(super) async fn at(
        scripts: Vec<Vec<Step>>,
        make: impl FnOnce(&str) -> (Arc<HttpService>, Metrics),
        facts: ConnectionFacts,
    ) -> Self {
        let (drain, watch) = Drain::new();
        let mock = Mock::start(&watch, scripts).await;
        let (service, metrics) = make(&mock.addr);
        let (io, stream) = duplex(64 * 1024);
        let (close, closed) = oneshot::channel();
        let finish = watch.clone();
        let served = Arc::clone(&service);
        watch.spawn(async move {
            let stream = TokioIo::new(stream);
            let reason = serve(stream, HttpVersion::H1, served, facts, finish).await;
            let _ = close.send(reason);
        });
        Self { io, closed, drain, mock, metrics, service }
    }

    pub(super) async fn send(&mut self, bytes: &str) {
        self.io.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads until what was read ends with `end`.
    pub(super) async fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        let reading = async {
            while !text.ends_with(end) {
                let mut buf = [0; 4096];
                match self.io.read(&mut buf).await.unwrap() {
                    0 => return,
                    read => text.push_str(&String::from_utf8_lossy(&buf[..read])),
                }
            }
        };
        assert!(timeout(PATIENCE, reading).await.is_ok(), "only came: {text}");
        text
    }

    /// Reads until the connection is closed.
    pub(super) async fn read_to_end(&mut self) -> String {
        let mut text = Vec::new();
        let reading = self.io.read_to_end(&mut text);
        timeout(PATIENCE, reading).await.unwrap().unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What the backend received on its only connection.
    pub(super) fn backend_received(&self) -> String {
        let received = self.mock.received();
        assert!(received.len() <= 1, "more than one connection: {received:?}");
        received.first().cloned().unwrap_or_default()
    }

    pub(super) fn backend_connections(&self) -> Vec<String> {
        self.mock.received()
    }

    pub(super) fn metrics(&self) -> String {
        self.metrics.encode(crate::metrics::Exposition::Text)
    }

    /// Sends `request`, and returns the answer and how the connection ended.
    pub(super) async fn ask(mut self, request: &str) -> (String, CloseReason) {
        self.send(request).await;
        let answer = self.read_to_end().await;
        drop(self.io);
        (answer, self.closed.await.unwrap())
    }
}

pub(super) fn service(addr: &str, tweak: fn(&mut Limits)) -> (Arc<HttpService>, Metrics) {
    service_with(addr, tweak, &[Place { host: "app.example", ..Place::default() }])
}

/// A site and what it asks of clients.
#[derive(Clone, Copy)]
pub(super) struct Place {
    host: &'static str,
    client_auth: Option<usize>,
    forward: ClientCertForward,
}

impl Default for Place {
    fn default() -> Self {
        Self { host: "", client_auth: None, forward: ClientCertForward::None }
    }
}

pub(super) fn sites(places: &[Place]) -> Sites {
    let sites = places.iter().map(|place| config::Site {
        hosts: vec![NamePattern::parse(place.host).unwrap()],
        alpn: Vec::new(),
        termination: config::Termination::Here,
        behind: config::Behind::forwarding(0),
        client_auth: place.client_auth,
    });
    Sites::new(&config::Sites::Named(sites.collect()))
}

pub(super) fn service_with(
    addr: &str,
    tweak: fn(&mut Limits),
    places: &[Place],
) -> (Arc<HttpService>, Metrics) {
    service_of(addr, tweak, places, &config::Behind::forwarding(0), |_| {})
}

/// A service whose every site has the routes of `behind`; the only backend is at `addr`.
pub(super) fn service_of(
    addr: &str,
    tweak: impl FnOnce(&mut Limits),
    places: &[Place],
    behind: &config::Behind,
    listen: impl FnOnce(&mut config::HttpListener),
) -> (Arc<HttpService>, Metrics) {
    let keys = format!("endpoints = ['{addr}']");
    let (service, metrics, _) = service_before(&keys, tweak, places, behind, listen);
    (service, metrics)
}

/// The same for the only backend as `keys` of the configuration describe it.
pub(super) fn service_before(
    keys: &str,
    tweak: impl FnOnce(&mut Limits),
    places: &[Place],
    behind: &config::Behind,
    listen: impl FnOnce(&mut config::HttpListener),
) -> (Arc<HttpService>, Metrics, Arc<Backend>) {
    let metrics = Metrics::new();
    metrics.expect_listener("https", &[ListenerTrait::Http]);
    metrics.expect_backend("app", &[BackendTrait::Ejection, BackendTrait::Http]);
    let mut limits = Limits::default();
    tweak(&mut limits);
    let limits = Arc::new(limits);
    let text =
        format!("[listener.a]\nlisten = ['[::]:1']\nbackend = 'app'\n[backend.app]\n{keys}\n");
    let config = config::Config::parse(&text, "config.toml", "/".as_ref()).unwrap();
    let mut listener = config.listeners.first().unwrap().http.clone();
    listen(&mut listener);
    let config = config.backends.first().unwrap();
    let backend = Backend::new(config, Arc::clone(&limits), metrics.backend("app")).unwrap();
    let backends = [Arc::clone(&backend)];
    let site = |place: &Place| {
        Site::new(behind, place.client_auth, place.forward, &backends, &limits.http)
    };
    let routes = places.iter().map(site).collect();
    let routes = Arc::new(Routes::new(Arc::new(sites(places)), routes));
    let access = AccessLog::default();
    let (name, handles) = ("https".into(), metrics.listener("https"));
    let memory = Memory::unguarded();
    let tracer = Tracer::default();
    let service =
        HttpService { name, limits, metrics: handles, routes, access, tracer, memory, listener };
    (Arc::new(service), metrics, backend)
}

pub(super) fn facts() -> ConnectionFacts {
    let peer = PeerAddr::new("192.0.2.7:50000".parse().unwrap());
    ConnectionFacts {
        client: peer.into(),
        local_port: Some(8443),
        server_name: Some("app.example".into()),
        site: SiteId::FIRST,
        identity: None,
        tls: Some(TlsFacts {
            version: TlsVersion::V1_3,
            suite: Suite::Tls13Aes128,
            kind: HandshakeKind::Full,
        }),
        ja4: None,
        footprint: None,
    }
}

/// Asserts that `text` has all of `lines`.
#[track_caller]
pub(super) fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.split("\r\n").any(|have| have == *line), "`{line}` is not in:\n{text}");
    }
}
