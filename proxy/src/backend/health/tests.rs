//! Endpoints that answer well, badly, late, in part or not at all, over real sockets.

use std::io;
use std::path::Path;
use std::sync::Mutex;

use portunus_certs::issue::DevelopmentCa;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::backend::BackendReport;
use crate::config::{self, BackendProtocol, HealthCheck};
use crate::drain::Drain;
use crate::metrics::{CheckResult, Metrics, Standing};

/// An endpoint that answers every connection with the same bytes, once a request is there, and
/// keeps what it was sent.
struct Stub {
    addr: String,
    answer: Arc<Mutex<Option<&'static str>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let answer = Arc::new(Mutex::new(Some(answer)));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stub = Self { addr, answer: Arc::clone(&answer), heard: Arc::clone(&heard) };
        let (_, watch) = Drain::new();
        watch.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Whoever breaks off is of no interest.
                let _ = Self::answer(socket, &answer, &heard).await;
            }
        });
        stub
    }

    async fn answer(
        mut socket: tokio::net::TcpStream,
        answer: &Mutex<Option<&'static str>>,
        heard: &Mutex<Vec<String>>,
    ) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let count = socket.read(&mut bytes).await?;
        heard.lock().unwrap().push(String::from_utf8_lossy(&bytes[..count]).into_owned());
        let answer = *answer.lock().unwrap();
        match answer {
            Some(answer) => socket.write_all(answer.as_bytes()).await,
            // Silence, until the other side has had enough.
            None => socket.read(&mut bytes).await.map(drop),
        }
    }

    fn say(&self, answer: Option<&'static str>) {
        *self.answer.lock().unwrap() = answer;
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

fn http() -> HealthCheck {
    let path = "/healthz?deep=1".parse().unwrap();
    HealthCheck::Http { path, host: None, expect: vec![200..=299, 418..=418] }
}

fn health(check: HealthCheck) -> Health {
    let (interval, timeout) = (Duration::from_millis(20), Duration::from_millis(500));
    Health { check, interval, timeout, rise: 2, fall: 2 }
}

fn config(endpoints: &[&str], health: Health) -> config::Backend {
    let text = format!(
        "[listener.a]\nlisten = ['[::]:1']\nbackend = 'app'\n\
         [backend.app]\nendpoints = {endpoints:?}\n",
    );
    let config = config::Config::parse(&text, "config.toml", Path::new("/")).unwrap();
    let backend = config.backends.into_iter().next().unwrap();
    config::Backend { health: Some(health), ..backend }
}

fn backend(endpoints: &[&str], health: Health, protocol: BackendProtocol) -> Arc<Backend> {
    let config = config::Backend { protocol, ..config(endpoints, health) };
    let metrics = Metrics::new().backend("app");
    Backend::new(&config, Arc::default(), metrics).unwrap()
}

/// The answer of the first endpoint to one question.
async fn ask(backend: &Backend) -> CheckResult {
    let (endpoint, _) = backend.members.all().remove(0);
    let health = backend.members.config().health.as_ref().unwrap();
    let answer = backend.check(&endpoint, health).await;
    answer.map_or_else(|error| error.result(), |()| CheckResult::Good)
}

/// Watches until the report of the backend is as wanted.
async fn watch_until(backend: &Backend, is_wanted: impl Fn(&BackendReport) -> bool) {
    let wait = async {
        while !is_wanted(&backend.report()) {
            tokio::task::yield_now().await;
        }
    };
    let watch = async {
        tokio::select! {
            () = backend.watch_health() => {}
            () = wait => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(20), watch).await.expect("it comes to that");
}

fn standing(report: &BackendReport, place: usize) -> Standing {
    report.endpoints[place].standing
}

#[tokio::test]
async fn an_answer_is_good_if_its_status_is_expected() {
    let stub = Stub::start(OK).await;
    let backend = backend(&[&stub.addr], health(http()), BackendProtocol::Http1);
    let cases = [
        (Some(OK), CheckResult::Good),
        (Some("HTTP/1.1 299 Odd\r\n\r\n"), CheckResult::Good),
        (Some("HTTP/1.0 200 OK\r\n\r\n"), CheckResult::Good),
        (Some("HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 418 Teapot\r\n\r\n"), CheckResult::Good),
        (Some(UNAVAILABLE), CheckResult::Status),
        (Some("HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n"), CheckResult::Status),
        (Some("HTTP/1.1 20"), CheckResult::NoResponse),
        (Some(""), CheckResult::NoResponse),
        (Some("220 mail ready\r\n"), CheckResult::NoResponse),
        (None, CheckResult::Timeout),
    ];
    for (answer, expected) in cases {
        stub.say(answer);
        assert_eq!(ask(&backend).await, expected, "{answer:?}");
    }
    let heard = stub.heard.lock().unwrap()[0].to_ascii_lowercase();
    assert!(heard.starts_with("get /healthz?deep=1 http/1.1\r\n"), "{heard}");
    for line in [format!("\r\nhost: {}\r\n", stub.addr), "\r\nconnection: close\r\n".to_owned()] {
        assert!(heard.contains(&line), "{line:?} is not in {heard:?}");
    }
}

#[tokio::test]
async fn without_a_listener_there_is_no_connection() {
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    for check in [HealthCheck::Tcp, http()] {
        let backend = backend(&[&addr], health(check), BackendProtocol::Http1);
        assert_eq!(ask(&backend).await, CheckResult::NoConnection);
    }
}

#[tokio::test]
async fn a_unix_socket_is_asked_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let name = format!("unix:{}", path.display());
    let tcp = backend(&[&name], health(HealthCheck::Tcp), BackendProtocol::Http1);
    assert_eq!(ask(&tcp).await, CheckResult::Good);
    drop(listener.accept().await.unwrap());
    let backend = backend(&[&name], health(http()), BackendProtocol::Http1);
    let answer = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 4096];
        let count = socket.read(&mut bytes).await.unwrap();
        socket.write_all(OK.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&bytes[..count]).to_ascii_lowercase()
    };
    let (result, heard) = tokio::join!(ask(&backend), answer);
    assert_eq!(result, CheckResult::Good);
    assert!(heard.contains("\r\nhost: localhost\r\n"), "{heard}");
}

#[tokio::test]
async fn an_endpoint_of_http2_is_asked_in_http2() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let backend = backend(&[&addr], health(http()), BackendProtocol::Http2);
    let answer = async {
        let (socket, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        let response = http::Response::builder().status(204).body(()).unwrap();
        respond.send_response(response, true).unwrap();
        // Until the other side leaves.
        while connection.accept().await.is_some() {}
        request.uri().to_string()
    };
    let (result, heard) = tokio::join!(ask(&backend), answer);
    assert_eq!(result, CheckResult::Good);
    assert_eq!(heard, format!("http://{addr}/healthz?deep=1"));
    let stub = Stub::start(OK).await;
    let backend = self::backend(&[&stub.addr], health(http()), BackendProtocol::Http2);
    assert_eq!(ask(&backend).await, CheckResult::NoResponse);
}

/// The side of an endpoint, which has a certificate for `name` and speaks what is in `alpn`.
fn server(ca: &DevelopmentCa, name: &str, alpn: &[&str]) -> TlsAcceptor {
    let issued = ca.issue(&[name], UnixTime::now()).unwrap();
    let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key)
        .unwrap();
    server.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(server))
}

fn under_tls(addr: &str, bundle: &Path, protocol: BackendProtocol) -> Arc<Backend> {
    let ca = Some(bundle.to_owned());
    let tls = Some(config::BackendTls { ca, ..Default::default() });
    let config = config::Backend { tls, protocol, ..config(&[addr], health(http())) };
    let metrics = Metrics::new().backend("app");
    Backend::new(&config, Arc::default(), metrics).unwrap()
}

#[tokio::test]
async fn an_endpoint_is_asked_in_what_it_speaks() {
    let ca = DevelopmentCa::new(UnixTime::now()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    std::fs::write(&bundle, ca.certificate_pem()).unwrap();
    let offers: [&[&str]; 4] = [&["h2"], &["h2", "http/1.1"], &["http/1.1"], &[]];
    for offer in offers {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let acceptor = server(&ca, "127.0.0.1", offer);
        let answer = async {
            let (socket, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(socket).await.unwrap();
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let (_, mut respond) = connection.accept().await.unwrap().unwrap();
                respond.send_response(http::Response::new(()), true).unwrap();
                while connection.accept().await.is_some() {}
            } else {
                let mut bytes = [0; 4096];
                assert!(stream.read(&mut bytes).await.unwrap() > 0);
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        };
        let backend = under_tls(&addr, &bundle, BackendProtocol::Auto);
        let (result, ()) = tokio::join!(ask(&backend), answer);
        assert_eq!(result, CheckResult::Good, "{offer:?}");
    }
}

#[tokio::test]
async fn an_endpoint_with_tls_is_asked_under_tls_and_only_if_it_is_who_it_should_be() {
    let ca = DevelopmentCa::new(UnixTime::now()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    std::fs::write(&bundle, ca.certificate_pem()).unwrap();
    for (name, expected) in
        [("127.0.0.1", CheckResult::Good), ("other.example", CheckResult::NoConnection)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let server = server(&ca, name, &[]);
        let answer = async {
            let (socket, _) = listener.accept().await.unwrap();
            let stream = server.accept(socket).await;
            let Ok(mut stream) = stream else { return };
            let mut bytes = [0; 4096];
            assert!(stream.read(&mut bytes).await.unwrap() > 0);
            stream.write_all(OK.as_bytes()).await.unwrap();
        };
        let backend = under_tls(&addr, &bundle, BackendProtocol::Http1);
        let (result, ()) = tokio::join!(ask(&backend), answer);
        assert_eq!(result, expected, "{name}");
    }
}

#[tokio::test]
async fn endpoints_fall_and_rise_with_their_answers_and_the_others_get_the_requests() {
    let (one, other) = (Stub::start(OK).await, Stub::start(OK).await);
    let backend = backend(&[&one.addr, &other.addr], health(http()), BackendProtocol::Http1);
    let good = || backend.metrics.health_checks.of(CheckResult::Good).get();
    watch_until(&backend, |_| good() >= 2).await;
    one.say(Some(UNAVAILABLE));
    watch_until(&backend, |report| standing(report, 0) == Standing::Unhealthy).await;
    for _ in 0..20 {
        let load = backend.choose(None, &[]).unwrap();
        assert_eq!(load.endpoint().addr.to_string(), other.addr);
    }
    other.say(Some(UNAVAILABLE));
    watch_until(&backend, |report| standing(report, 1) == Standing::Unhealthy).await;
    assert!(backend.choose(None, &[]).is_err());
    one.say(Some(OK));
    watch_until(&backend, |report| standing(report, 0) == Standing::Usable).await;
    assert_eq!(backend.choose(None, &[]).unwrap().endpoint().addr.to_string(), one.addr);
}

#[tokio::test]
async fn an_endpoint_that_joins_is_asked_too() {
    let (one, other) = (Stub::start(OK).await, Stub::start(UNAVAILABLE).await);
    let backend = backend(&[&one.addr], health(http()), BackendProtocol::Http1);
    let good = || backend.metrics.health_checks.of(CheckResult::Good).get();
    watch_until(&backend, |_| good() >= 1).await;
    let mut all = backend.members.all();
    let addr = EndpointAddr::Tcp(other.addr.parse().unwrap());
    all.push((backend.members.endpoint(0, addr), all[0].1));
    backend.members.replace(all);
    watch_until(&backend, |report| standing(report, 1) == Standing::Unhealthy).await;
    assert_eq!(standing(&backend.report(), 0), Standing::Usable);
}

#[test]
fn pauses_differ_by_a_tenth_at_most() {
    let interval = Duration::from_secs(10);
    for chance in (0..1000).chain([u64::MAX]) {
        let pause = jitter(interval, chance);
        assert!(pause >= interval * 9 / 10 && pause <= interval * 11 / 10, "{pause:?}");
    }
}

#[tokio::test]
async fn a_crowd_of_endpoints_is_not_asked_all_at_once() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let names: Vec<_> = (1..=100).map(|last| format!("127.0.1.{last}:{port}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let backend = backend(&names, health(http()), BackendProtocol::Http1);
    let mut silent = Vec::new();
    let listen = async {
        while silent.len() < CHECKS_MAX + 10 {
            silent.push(listener.accept().await.unwrap());
            let over = backend.metrics().health_checks.of(CheckResult::Timeout).get();
            assert!(silent.len() as u64 <= CHECKS_MAX as u64 + over);
        }
    };
    tokio::select! {
        () = backend.watch_health() => {}
        () = listen => {}
    }
}

#[test]
fn the_first_question_is_put_at_once_to_a_few_and_soon_to_the_others() {
    let interval = Duration::from_secs(5);
    assert_eq!(first_pause(AT_ONCE - 1, interval, 99), Duration::ZERO);
    assert_eq!(first_pause(AT_ONCE, interval, 99), Duration::from_millis(495));
    assert_eq!(first_pause(AT_ONCE, interval, 100), Duration::ZERO);
}
