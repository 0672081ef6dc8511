//! Sites, their routes, and what is worked out for them.

use http::StatusCode;
use http::header::SERVER;
use portunus_certs::name::NamePattern;

use super::*;
use crate::config::Behind;
use crate::metrics::Metrics;

fn backends(names: &[&str]) -> Vec<Arc<Backend>> {
    let metrics = Metrics::new();
    let mut text = "[listener.a]\nlisten = ['[::]:1']\nbackend = 'a'\n".to_owned();
    for name in names {
        text.push_str(&format!("[backend.{name}]\nendpoints = ['127.0.0.1:1']\n"));
    }
    let config = config::Config::parse(&text, "config.toml", "/".as_ref()).unwrap();
    let backend = |backend: &config::Backend| {
        Backend::new(backend, Arc::default(), metrics.backend(&backend.name)).unwrap()
    };
    config.backends.iter().map(backend).collect()
}

/// A prefix and the backend behind it.
fn prefix(path: &str, backend: usize) -> config::Route {
    let route = Behind::forwarding(backend).routes.remove(0);
    config::Route { path: path.into(), ..route }
}

fn site(behind: &Behind, client_auth: Option<usize>) -> Site {
    let limits = HttpLimits::default();
    Site::new(behind, client_auth, ClientCertForward::None, &backends(&["a", "b"]), &limits)
}

/// The name of the backend that serves `path`.
fn backend_of(site: &Site, path: &str) -> Option<Arc<str>> {
    match &site.route(path).action {
        Action::Forward { backend, .. } => Some(Arc::clone(backend.name())),
        _ => None,
    }
}

#[test]
fn a_path_leads_to_the_backend_of_its_route_and_to_none_without() {
    let exact = config::Route { matching: PathMatch::Exact, ..prefix("/api/", 0) };
    let behind = Behind { routes: vec![prefix("/api/", 1), exact, prefix("/a", 0)], hsts: None };
    let site = site(&behind, None);
    for (path, name) in
        [("/api/x", Some("b")), ("/api/", Some("a")), ("/app", Some("a")), ("/", None), ("*", None)]
    {
        assert_eq!(backend_of(&site, path).as_deref(), name, "{path}");
    }
}

#[test]
fn a_request_about_all_of_a_site_goes_where_its_root_goes() {
    let site = site(&Behind { routes: vec![prefix("/", 1)], hsts: None }, None);
    assert_eq!(backend_of(&site, "*").as_deref(), Some("b"));
}

#[test]
fn a_site_without_paths_has_one_backend() {
    let site = site(&Behind::forwarding(1), None);
    assert_eq!(&**site.backend().unwrap().name(), "b");
}

#[test]
fn what_a_route_does_not_say_is_what_the_limits_say() {
    let limits = HttpLimits::default();
    let second = Duration::from_secs(1);
    let own = config::Route {
        response_head_timeout: Some(second),
        request_body_timeout: Some(second),
        body_bytes_max: Some(7),
        ..prefix("/own", 0)
    };
    let site = site(&Behind { routes: vec![prefix("/", 0), own], hsts: None }, None);
    let of = |path: &str| {
        let route = site.route(path);
        (route.response_head_timeout, route.response_body_timeout, route.request_body_timeout)
    };
    let all = limits.response_body_timeout;
    assert_eq!(of("/"), (limits.response_head_timeout, all, limits.request_body_timeout));
    assert_eq!(of("/own"), (second, all, second));
    assert_eq!(site.route("/own").body_bytes_max, Some(7));
}

#[test]
fn every_response_of_a_site_says_that_it_needs_tls_and_a_route_may_say_otherwise() {
    let hsts = HeaderValue::from_static("max-age=1");
    let set = FieldEdit::Set(STRICT_TRANSPORT_SECURITY, hsts.clone());
    let remove = FieldEdit::Remove(SERVER);
    let own = config::Route { response_fields: vec![remove.clone()], ..prefix("/own", 0) };
    let moved = config::Route {
        action: config::Action::Redirect { status: StatusCode::FOUND, to: "/".into() },
        ..prefix("/moved", 0)
    };
    let site = site(&Behind { routes: vec![own, moved], hsts: Some(hsts) }, None);
    assert_eq!(*site.route("/own").response_fields, [set.clone(), remove]);
    for path in ["/moved", "/elsewhere"] {
        assert_eq!(*site.route(path).response_fields, *std::slice::from_ref(&set), "{path}");
    }
}

#[test]
fn a_host_leads_to_its_own_site_or_to_none() {
    let named = |host: &str| config::Site {
        hosts: vec![NamePattern::parse(host).unwrap()],
        alpn: Vec::new(),
        termination: config::Termination::Here,
        behind: Behind::forwarding(0),
        client_auth: None,
    };
    let hosts = ["a.example", "*.b.example", "c.example"];
    let names = Sites::new(&config::Sites::Named(hosts.map(named).into()));
    let sites = [(0, None), (1, None), (1, Some(0))];
    let sites = sites.map(|(backend, auth)| site(&Behind::forwarding(backend), auth));
    let routes = Routes::new(Arc::new(names), sites.into());
    let of = |host| {
        let site = routes.of_host(host, SiteId::FIRST)?;
        Ok(backend_of(site, "/").unwrap().to_string())
    };
    assert_eq!(of("a.example"), Ok("a".to_owned()));
    assert_eq!(of("A.EXAMPLE."), Ok("a".to_owned()));
    assert_eq!(of("x.b.example"), Ok("b".to_owned()));
    for host in ["b.example", "x.a.example", "a.example.evil", "192.0.2.1", "[::1]", "", "."] {
        assert_eq!(of(host), Err(Misdirected::Unknown), "{host}");
    }
    assert_eq!(of("c.example"), Err(Misdirected::OtherPolicy));
}
