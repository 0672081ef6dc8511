//! Who the client is, on whose word, and what backends hear of it.

use super::*;
use crate::metrics::{HandshakeKind, Suite, TlsVersion};
use crate::net::ClientAddr;

use ForwardedFields::{Forwarded, XForwarded};

const OURS: &str = "10.0.0.0/8";

fn peer(addr: &str) -> PeerAddr {
    PeerAddr::new(addr.parse().unwrap())
}

/// Who the client is of a request with `fields` that came from `sender`, a trusted peer.
fn client(family: ForwardedFields, fields: &[(&str, &str)]) -> String {
    let listener = listener(&[OURS, "2001:db8:a::/48"], family);
    let peer = peer("10.0.0.1:4000");
    let sender = Sender::new(peer.into(), &listener.trusted_peers);
    let parts = request("/", fields);
    sender.identify(&parts.headers, &listener).addr.ip().unwrap().to_string()
}

#[test]
fn a_trusted_peer_is_believed_about_whom_it_speaks_for() {
    let table = [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:1234", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:1234", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        // From the right, over those that are trusted, and no further.
        ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.3, ::ffff:10.0.0.2", "192.0.2.1"),
        ("192.0.2.1, 2001:db8:a::1", "192.0.2.1"),
        ("192.0.2.1,,10.0.0.2,", "192.0.2.1"),
        // All of them trusted: the first one asked.
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        // What is no address ends the list.
        ("192.0.2.1, unknown", "10.0.0.1"),
        ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("192.0.2.1 192.0.2.2", "10.0.0.1"),
        ("192.0.2.256", "10.0.0.1"),
        ("[192.0.2.1]", "10.0.0.1"),
        ("192.0.2.1:99999", "10.0.0.1"),
        ("2130706433", "10.0.0.1"),
        ("", "10.0.0.1"),
    ];
    for (list, expected) in table {
        assert_eq!(client(XForwarded, &[("x-forwarded-for", list)]), expected, "{list:?}");
    }
    let lines = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2, 10.0.0.2")];
    assert_eq!(client(XForwarded, &lines), "192.0.2.2");
}

#[test]
fn elements_of_rfc_7239_are_understood() {
    let table = [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=192.0.2.1;proto=https;by=203.0.113.43", "192.0.2.1"),
        ("proto=http; FOR=\"192.0.2.1:4711\" ;host=app.example", "192.0.2.1"),
        ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
        ("for=192.0.2.1:80", "192.0.2.1"),
        ("for=6.6.6.6, for=192.0.2.1", "192.0.2.1"),
        ("for=192.0.2.1;host=\"a.example:8443\", for=10.0.0.2", "192.0.2.1"),
        ("for=\"192.0.2.1\";ext=\"a,b;c\\\"d\", for=10.0.0.2", "192.0.2.1"),
        ("for=\"192.0.2.\\1\"", "192.0.2.1"),
        // The client is hidden, or nothing is said of it.
        ("for=192.0.2.1, for=unknown", "10.0.0.1"),
        ("for=192.0.2.1, for=_hidden", "10.0.0.1"),
        ("for=192.0.2.1, proto=https", "10.0.0.1"),
        // Nothing that could be read in two ways.
        ("for=192.0.2.1;for=192.0.2.2", "10.0.0.1"),
        ("for=192.0.2.1;host=\"a,for=10.0.0.2", "10.0.0.1"),
        ("for=192.0.2.1;proto=gopher", "10.0.0.1"),
        ("for=192.0.2.1;host=a/b", "10.0.0.1"),
        ("for=\"192.0.2.1\"x", "10.0.0.1"),
        ("for = 192.0.2.1", "10.0.0.1"),
        ("for=[2001:db8::1]", "10.0.0.1"),
        ("192.0.2.1", "10.0.0.1"),
        ("for=", "10.0.0.1"),
        ("", "10.0.0.1"),
    ];
    for (value, expected) in table {
        assert_eq!(client(Forwarded, &[("forwarded", value)]), expected, "{value:?}");
    }
}

#[test]
fn only_the_family_that_is_spoken_here_is_read() {
    let both = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.2")];
    assert_eq!(client(XForwarded, &both), "192.0.2.1");
    assert_eq!(client(Forwarded, &both), "192.0.2.2");
    for name in ["x_forwarded_for", "x-forwarded_for", "x.forwarded.for"] {
        assert_eq!(client(XForwarded, &[(name, "192.0.2.1")]), "10.0.0.1", "{name}");
    }
}

#[test]
fn a_list_without_end_is_read_to_a_limit() {
    let list = format!("192.0.2.1{}", ", 10.0.0.2".repeat(1000));
    assert_eq!(client(XForwarded, &[("x-forwarded-for", &list)]), "10.0.0.2");
}

/// First a PROXY header, then those who are trusted, then the socket.
#[test]
fn a_proxy_header_has_the_first_word_and_who_is_trusted_then_the_second() {
    let listener = listener(&[OURS], XForwarded);
    let parts = request("/", &[("x-forwarded-for", "192.0.2.1"), ("x-request-id", "theirs")]);
    let heard = |opened: &str, proxied: Option<&str>| {
        let opened = peer(opened);
        let client = proxied.map_or(opened.into(), |addr| ClientAddr::from(peer(addr)));
        let sender = Sender::new(client, &listener.trusted_peers);
        let id = sender.request_id(&parts.headers).is_some();
        (sender.identify(&parts.headers, &listener).addr.ip().unwrap().to_string(), id)
    };
    let trusted = "10.0.0.1:1";
    let other = "203.0.113.9:1";
    let is = |addr: &str, id| (addr.to_owned(), id);
    assert_eq!(heard(trusted, None), is("192.0.2.1", true));
    assert_eq!(heard(other, None), is("203.0.113.9", false));
    assert_eq!(heard(trusted, Some("198.51.100.4:7")), is("198.51.100.4", false));
    assert_eq!(heard(other, Some("198.51.100.4:7")), is("198.51.100.4", false));
    // Whoever a PROXY header tells of is believed as if it had come itself.
    assert_eq!(heard(trusted, Some("10.9.9.9:7")), is("192.0.2.1", true));
    assert_eq!(heard(other, Some("10.9.9.9:7")), is("192.0.2.1", true));
}

#[test]
fn a_peer_without_an_address_is_trusted_by_nobody() {
    let listener = listener(&["0.0.0.0/0", "::/0"], XForwarded);
    let sender = Sender::new(PeerAddr::UNIX.into(), &listener.trusted_peers);
    let parts = request("/", &[("x-forwarded-for", "192.0.2.1")]);
    assert_eq!(sender.identify(&parts.headers, &listener).addr.ip(), None);
}

#[test]
fn the_id_of_a_trusted_peer_is_kept_if_it_is_one() {
    let peer = peer("10.0.0.1:1");
    let sender = Sender::new(peer.into(), &[OURS.parse().unwrap()]);
    let id = |values: &[&str]| {
        let fields: Vec<_> = values.iter().map(|value| ("x-request-id", *value)).collect();
        sender.request_id(&request("/", &fields).headers)
    };
    let longest = "a".repeat(128);
    for good in ["7", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "Root=1-67891233-abc/0", &longest] {
        assert_eq!(id(&[good]).unwrap(), good);
    }
    let longer = "a".repeat(129);
    for bad in ["", "a b", "a,b", "a\"b", "<script>", "a\tb", "{a}", "a;b", &longer] {
        assert_eq!(id(&[bad]), None, "{bad:?}");
    }
    assert_eq!(id(&["a", "b"]), None);
    assert_eq!(id(&[]), None);
}

/// What a backend hears if `192.0.2.7`, which is trusted or not, sends `fields`.
fn told(
    trusted: &[&str],
    family: ForwardedFields,
    fields: &[(&str, &str)],
) -> Vec<(String, String)> {
    let fields = [&[("host", "app.example:8443")], fields].concat();
    let parts = forwarded_by(request("/", &fields), &listener(trusted, family), &[], false);
    let ours = |name: &&HeaderName| name.as_str().contains("forwarded");
    let mut names: Vec<_> = parts.headers.keys().filter(ours).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    let line = |name: &HeaderName| {
        assert_eq!(parts.headers.get_all(name).iter().count(), 1, "{name}");
        (name.to_string(), parts.headers[name].to_str().unwrap().to_owned())
    };
    names.into_iter().map(line).collect()
}

fn lines(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn who_is_not_trusted_is_told_of_and_says_nothing() {
    let forged = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "for=6.6.6.6;proto=http"),
    ];
    let expected = [
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "app.example:8443"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(told(&[OURS], XForwarded, &forged), lines(&expected));
    let expected = [("forwarded", "for=192.0.2.7;host=\"app.example:8443\";proto=https")];
    assert_eq!(told(&[OURS], Forwarded, &forged), lines(&expected));
}

#[test]
fn to_what_a_trusted_peer_says_it_is_itself_added() {
    let trusted = ["192.0.2.0/24"];
    let said = [
        ("x-forwarded-for", "6.6.6.6, 198.51.100.1:5, 192.0.2.9"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-host", "evil.example"),
    ];
    let expected = [
        ("x-forwarded-for", "198.51.100.1, 192.0.2.9, 192.0.2.7"),
        ("x-forwarded-host", "app.example:8443"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-proto", "http"),
    ];
    assert_eq!(told(&trusted, XForwarded, &said), lines(&expected));
    let said = [(
        "forwarded",
        "for=6.6.6.6, for=\"[2001:db8::1]:9\";proto=HTTP;host=a.example;by=x;secret=1, \
         For=192.0.2.9;host=\"a.example:80\"",
    )];
    let expected = [(
        "forwarded",
        "for=\"[2001:db8::1]\";host=a.example;proto=http, \
         for=192.0.2.9;host=\"a.example:80\", \
         for=192.0.2.7;host=\"app.example:8443\";proto=https",
    )];
    assert_eq!(told(&trusted, Forwarded, &said), lines(&expected));
}

#[test]
fn a_scheme_and_a_port_pass_only_if_they_are_such() {
    let trusted = ["192.0.2.0/24"];
    let table = [
        (&[("x-forwarded-proto", "https")][..], None, "https"),
        (&[("x-forwarded-port", "8080")], Some("8080"), "https"),
        (&[("x-forwarded-proto", "HTTP")], Some("443"), "https"),
        (&[("x-forwarded-proto", "https, http")], Some("443"), "https"),
        (&[("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")], Some("443"), "https"),
        (&[("x-forwarded-port", "+80")], Some("443"), "https"),
        (&[("x-forwarded-port", "0")], Some("443"), "https"),
        (&[("x-forwarded-port", "65536")], Some("443"), "https"),
    ];
    for (said, port, proto) in table {
        let told = told(&trusted, XForwarded, said);
        let of = |name: &str| told.iter().find(|line| line.0 == name).map(|line| line.1.as_str());
        assert_eq!(of("x-forwarded-port"), port, "{said:?}");
        assert_eq!(of("x-forwarded-proto"), Some(proto), "{said:?}");
    }
}

#[test]
fn backends_hear_of_tls_in_four_fields() {
    let told = |facts: &TlsFacts, name| {
        let fields = TlsFields::new(facts, name);
        let line = |(name, value): &(HeaderName, HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        fields.fields().map(line).collect::<Vec<_>>()
    };
    let facts = TlsFacts {
        version: TlsVersion::V1_3,
        suite: Suite::Tls13Aes128,
        kind: HandshakeKind::Ticket,
    };
    let expected = [
        "x-tls-version: TLSv1.3",
        "x-tls-cipher: TLS_AES_128_GCM_SHA256",
        "x-tls-resumed: 1",
        "x-tls-sni: app.example",
    ];
    assert_eq!(told(&facts, Some("app.example")), expected);
    let facts = TlsFacts { version: TlsVersion::V1_2, kind: HandshakeKind::Full, ..facts };
    let expected =
        ["x-tls-version: TLSv1.2", "x-tls-cipher: TLS_AES_128_GCM_SHA256", "x-tls-resumed: 0"];
    assert_eq!(told(&facts, None), expected);
}

/// Something that looks like a list of proxies, more or less.
fn list() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "(for=)?(10|192|6)\\.0\\.[0-2]\\.[0-9]",
        "for=\"\\[2001:db8::[0-9a-f]\\](:[0-9]{1,5})?\"",
        "[a-z=;\"\\\\ ]{0,8}",
    ];
    prop::collection::vec(word, 0..6).prop_map(|words| words.join(", "))
}

proptest! {
    /// Property: what a backend reads was written by us, or by a peer that is trusted.
    #[test]
    fn what_stands_left_of_a_stranger_goes_no_further(
        lists in prop::collection::vec(list(), 0..3),
        is_forwarded in any::<bool>(),
    ) {
        let (family, name) = match is_forwarded {
            true => (Forwarded, "forwarded"),
            false => (XForwarded, "x-forwarded-for"),
        };
        let mut fields = vec![("host", "app.example")];
        fields.extend(lists.iter().map(|list| (name, list.as_str())));
        let strange = forwarded_by(request("/", &fields), &listener(&[], family), &[], false);
        let trusting = listener(&["192.0.2.7/32"], family);
        let told = forwarded_by(request("/", &fields), &trusting, &[], false);
        let of = |parts: &Parts| parts.headers[name].to_str().unwrap().to_owned();
        prop_assert!(of(&told).ends_with(&of(&strange)), "{} {}", of(&told), of(&strange));
        // One stranger at most: whoever the trusted peer has named.
        let told_of = of(&told);
        let strangers = told_of.split(", ").filter(|one| !one.contains("192.0.2.7"));
        prop_assert!(strangers.count() <= 1, "{}", of(&told));
        // What was written is understood in the same way by whoever comes next.
        let here = peer("10.0.0.1:1");
        let next = Sender::new(here.into(), &[OURS.parse().unwrap()]);
        let beyond = listener(&[OURS, "192.0.2.7/32"], family);
        let opened = peer("192.0.2.7:1");
        let first = Sender::new(opened.into(), &trusting.trusted_peers);
        let known = first.identify(&request("/", &fields).headers, &trusting).addr.ip();
        prop_assert_eq!(next.identify(&told.headers, &beyond).addr.ip(), known);
    }
}
