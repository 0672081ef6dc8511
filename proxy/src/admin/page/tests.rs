//! What the paths answer, to whom.

use std::path::Path;
use std::sync::Arc;

use portunus_certs::issue::DevelopmentCa;
use portunus_certs::store::{CertificateStore, StoreOptions};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;

use super::*;
use crate::admin::View;
use crate::backend::Backend;
use crate::config::{Config, Secret};
use crate::control::Orders;
use crate::limit::{Memory, Pressure};
use crate::metrics::Metrics;
use crate::phase::{Phase, PhaseTeller, PhaseWatch};

const CONFIG: &str = "[listener.a]\nlisten = ['[::]:1']\nbackend = 'b'\n\
                      [backend.b]\nendpoints = ['h:1']\n";

fn status(pages: &Pages, path: &str, headers: &[(&'static str, &'static str)]) -> u16 {
    let headers = headers.iter().map(|(name, value)| {
        let name = http::HeaderName::from_static(name);
        (name, http::HeaderValue::from_static(value))
    });
    pages.answer_to(&Method::GET, &path.parse().unwrap(), &headers.collect()).status().as_u16()
}

fn pages(token: Option<Secret>) -> (Pages, PhaseTeller) {
    let (teller, phase) = PhaseTeller::new();
    let folder = tempfile::tempdir().expect("a folder");
    let ca = DevelopmentCa::new(UnixTime::now()).expect("an authority");
    let issued = ca.issue(&["localhost"], UnixTime::now()).expect("a certificate");
    issued.write(folder.path(), "localhost").expect("the folder can be written");
    (Pages::new(about(phase, folder.path(), token), Place::Port), teller)
}

fn about(phase: PhaseWatch, certificates: &Path, token: Option<Secret>) -> About {
    let options = StoreOptions {
        paths: vec![certificates.to_owned()],
        strict_permissions: false,
        provider: Arc::new(aws_lc_rs::default_provider()),
    };
    let (certificates, _) = CertificateStore::open(options, UnixTime::now());
    let metrics = Arc::new(Metrics::new());
    let certificates = Arc::new(certificates);
    let config = Config::parse(CONFIG, "config.toml", Path::new("/")).expect("it is good");
    let resumption = status::Resumption::new(&config, &metrics);
    let backend = |backend: &crate::config::Backend| {
        Backend::new(backend, Arc::default(), metrics.backend(&backend.name))
            .expect("nothing is encrypted")
    };
    let backends = config.backends.iter().map(backend).collect();
    let (orders, _) = Orders::new();
    let client_policies = Vec::new();
    let view = View {
        generation: 1,
        token,
        listeners: status::Listeners::new(&config, &[], &metrics),
        resources: status::Resources::new(&config, &metrics),
        client_policies,
        resumption,
        backends,
    };
    let (view, panics) = (Arc::new(Arc::new(view).into()), Arc::default());
    let memory = Memory::guarded();
    let (history, failures, confinement) = (Arc::default(), Arc::default(), None);
    About {
        metrics,
        phase,
        history,
        panics,
        memory,
        certificates,
        failures,
        view,
        confinement,
        orders,
    }
}

#[test]
fn without_a_certificate_nobody_should_come() {
    let (teller, phase) = PhaseTeller::new();
    let folder = tempfile::tempdir().expect("a folder");
    let pages = Pages::new(about(phase, folder.path(), None), Place::Port);
    teller.enter(Phase::Running);
    assert_eq!(status(&pages, "/readyz", &[]), 503);
}

#[test]
fn readiness_follows_the_phase_and_never_comes_back() {
    let (pages, teller) = pages(None);
    let expected = [
        (Phase::Starting, 503),
        (Phase::Running, 200),
        (Phase::Leaving, 503),
        (Phase::Running, 503),
        (Phase::Draining, 503),
    ];
    for (phase, code) in expected {
        teller.enter(phase);
        assert_eq!(status(&pages, "/readyz", &[]), code, "{phase:?}");
        assert_eq!(status(&pages, "/livez", &[]), 200, "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_ends_where_nothing_new_is_accepted_for_long() {
    let (pages, teller) = pages(None);
    teller.enter(Phase::Running);
    pages.about.memory.enter(Pressure::Severe);
    assert_eq!(status(&pages, "/readyz", &[]), 200);
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert_eq!(status(&pages, "/readyz", &[]), 503);
    pages.about.memory.enter(Pressure::High);
    assert_eq!(status(&pages, "/readyz", &[]), 200);
}

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_panics_to_stop() {
    let (pages, teller) = pages(None);
    teller.enter(Phase::Running);
    for _ in 0..10 {
        assert_eq!(status(&pages, "/readyz", &[]), 200);
        pages.about.panics.note(tokio::time::Instant::now());
    }
    assert_eq!(status(&pages, "/readyz", &[]), 503);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(status(&pages, "/readyz", &[]), 200);
}

#[test]
fn web_pages_are_not_answered() {
    let (pages, _teller) = pages(None);
    for host in ["localhost", "localhost:9090", "127.0.0.1:9090", "[::1]:9090", "[::1]"] {
        assert_eq!(status(&pages, "/metrics", &[("host", host)]), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:9090", "localhost.evil.example"] {
        assert_eq!(status(&pages, "/metrics", &[("host", host)]), 403, "{host}");
    }
    let origin = ("origin", "http://localhost:9090");
    assert_eq!(status(&pages, "/metrics", &[("host", "localhost"), origin]), 403);
}

#[test]
fn a_token_is_asked_for_but_not_of_probes() {
    let (pages, _teller) = pages(Some(Secret::new("let me in")));
    assert_eq!(status(&pages, "/livez", &[("host", "pod.example")]), 200);
    assert_eq!(status(&pages, "/metrics", &[]), 401);
    assert_eq!(status(&pages, "/metrics", &[("authorization", "Bearer let me")]), 401);
    assert_eq!(status(&pages, "/metrics", &[("authorization", "Bearer let me in")]), 200);
}

fn post(pages: &Pages, target: &str, headers: &[(&'static str, &'static str)]) -> u16 {
    let headers = headers.iter().map(|(name, value)| {
        let name = http::HeaderName::from_static(name);
        (name, http::HeaderValue::from_static(value))
    });
    let target = target.parse().expect("it is one");
    pages.answer_to(&Method::POST, &target, &headers.collect()).status().as_u16()
}

const DRAIN: &str = "/endpoints/drain?backend=b&endpoint=h%3A1";

#[test]
fn only_who_shows_the_token_or_has_the_socket_changes_anything() {
    let (open, _teller) = pages(None);
    assert_eq!(post(&open, DRAIN, &[]), 403);
    let (guarded, _teller) = pages(Some(Secret::new("let me in")));
    assert_eq!(post(&guarded, DRAIN, &[]), 401);
    let token = ("authorization", "Bearer let me in");
    assert_eq!(post(&guarded, DRAIN, &[token, ("origin", "http://localhost")]), 403);
    assert_eq!(post(&guarded, DRAIN, &[token]), 200);
    let (mut filed, _teller) = pages(None);
    filed.place = Place::File;
    assert_eq!(post(&filed, DRAIN, &[]), 200);
    assert_eq!(post(&filed, DRAIN, &[("host", "evil.example")]), 403);
    assert_eq!(status(&filed, DRAIN, &[]), 405);
    assert_eq!(post(&filed, "/status", &[]), 405);
}

#[test]
fn an_endpoint_that_is_not_there_is_not_found() {
    let (mut pages, _teller) = pages(None);
    pages.place = Place::File;
    for (query, code) in [
        ("backend=b&endpoint=h:1", 200),
        ("endpoint=h:1&backend=b", 200),
        ("backend=c&endpoint=h:1", 404),
        ("backend=b&endpoint=h:2", 404),
        ("backend=b", 400),
        ("", 400),
    ] {
        assert_eq!(post(&pages, &format!("/endpoints/resume?{query}"), &[]), code, "{query}");
    }
}
