//! `[traces]`: what a URL becomes, and what is refused.

use ::http::HeaderValue;

use super::*;
use crate::net::EndpointName;

fn traces(keys: &str) -> Option<Traces> {
    parse(&format!("{LEAST}[traces]\n{keys}\n")).unwrap().traces
}

fn refused(keys: &str) -> String {
    parse(&format!("{LEAST}[traces]\n{keys}\n")).unwrap_err().to_string()
}

#[test]
fn traces_are_off_without_an_endpoint() {
    assert!(parse(LEAST).unwrap().traces.is_none());
    assert!(traces("sample = 0.5").is_none());
}

#[test]
fn a_collector_is_where_its_url_says() {
    let of = |url: &str| {
        let traces = traces(&format!("endpoint = '{url}'")).unwrap();
        let collector = traces.collector;
        let name = collector.endpoints[0].name.clone();
        let host = traces.host.to_str().unwrap().to_owned();
        (name.to_string(), host, traces.path.to_string(), collector.tls.is_some())
    };
    let tuple = |name: &str, host: &str, path: &str, is_secure| {
        (name.to_owned(), host.to_owned(), path.to_owned(), is_secure)
    };
    assert_eq!(
        of("http://127.0.0.1:4318/v1/traces"),
        tuple("127.0.0.1:4318", "127.0.0.1:4318", "/v1/traces", false)
    );
    assert_eq!(
        of("https://collector.example"),
        tuple("collector.example:443", "collector.example", "/v1/traces", true)
    );
    assert_eq!(
        of("HTTP://[::1]/otlp/v1/traces?tenant=a"),
        tuple("[::1]:80", "[::1]", "/otlp/v1/traces?tenant=a", false)
    );
    let traces = traces("endpoint = 'http://[::1]:1'").unwrap();
    let host = EndpointName::Host { host: "::1".into(), port: 1 };
    assert_eq!(traces.collector.endpoints[0].name, host);
}

#[test]
fn what_is_no_url_of_a_collector_is_refused_and_not_shown() {
    for url in ["collector:4318", "ftp://h/", "http://", "http://u:secret@h/", "http://h:0/", "/p"]
    {
        let error = refused(&format!("endpoint = '{url}'"));
        assert!(error.contains("traces.endpoint: not the URL of a collector"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let error = refused("endpoint = 'http://h/'\nca = 'ca.pem'");
    assert!(error.contains("traces.ca: only an `https://…` endpoint has it"), "{error}");
}

#[test]
fn the_share_is_a_number_from_0_to_1() {
    let share =
        |text: &str| traces(&format!("endpoint = 'http://h'\nsample = {text}")).unwrap().share;
    assert!(share("0.01").to_bits() == 0.01_f64.to_bits());
    assert!(share("0").to_bits() == 0 && share("1").to_bits() == 1.0_f64.to_bits());
    for text in ["1.1", "-0.1", "2", "nan", "inf"] {
        let error = refused(&format!("sample = {text}"));
        assert!(error.contains("traces.sample: out of range: expected 0 to 1"), "{error}");
    }
    assert!(refused("sample = '50 %'").contains("expected a number from 0 to 1"));
}

#[test]
fn fields_of_requests_may_stand_in_files_and_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "Bearer of-a-file\n").unwrap();
    let with = |headers: &str| {
        let text = format!("{LEAST}[traces]\nendpoint = 'http://h'\nheaders = {{ {headers} }}\n");
        Config::parse(&text, "config.toml", folder.path())
    };
    let config = with("Authorization = 'file:token', x-tenant = 'a'").unwrap();
    let traces = config.traces.as_ref().unwrap();
    assert_eq!(traces.headers[0].1, HeaderValue::from_static("Bearer of-a-file"));
    assert_eq!(config.files, [folder.path().join("token")]);
    assert!(!format!("{config:?}").contains("of-a-file"));
    std::fs::write(folder.path().join("token"), "Bearer of-another\n").unwrap();
    let next = with("Authorization = 'file:token', x-tenant = 'a'").unwrap();
    let lines = changes(&config, &next).lines();
    assert_eq!(lines, ["traces.headers.Authorization: changed"]);
    for (headers, said) in [
        ("authorization = 'file:nowhere'", "cannot read"),
        ("host = 'x'", "is what messages are framed with"),
        ("content-type = 'x'", "is what messages are framed with"),
        ("connection = 'x'", "is what messages are framed with"),
        ("'a b' = 'x'", "is not the name of a header field"),
        ("a = \"x\\u0000\"", "not a value of a header field"),
    ] {
        let error = with(headers).unwrap_err().to_string();
        assert!(error.contains(said), "{headers}: {error}");
    }
}
