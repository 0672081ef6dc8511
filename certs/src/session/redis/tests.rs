//! Addresses, understood and refused. Everything else needs a real server: see the suite.

use super::url::{Host, Kind, Place};
use super::{RedisEngine, RedisOptions, RedisUrlError};

fn host(name: &str, port: u16) -> Host {
    Host { name: name.to_owned(), port }
}

#[test]
fn one_server_is_a_host_with_a_port_and_a_database() {
    let place = Place::parse("redis://me:p%40ss%2F@store.example:7000/3").unwrap();
    assert!(matches!(place.kind, Kind::Tcp(ref at) if *at == host("store.example", 7000)));
    assert!(!place.tls);
    assert_eq!(place.database, 3);
    assert_eq!(place.login.user.as_deref(), Some("me"));
    assert_eq!(place.login.password.as_ref().map(|word| word.as_str()), Some("p@ss/"));

    let place = Place::parse("rediss://:word@[::1]").unwrap();
    assert!(matches!(place.kind, Kind::Tcp(ref at) if *at == host("::1", 6379)));
    assert!(place.tls);
    assert_eq!(place.login.user, None);
    assert_eq!(place.to_string(), "rediss://[::1]:6379");
}

#[test]
fn the_other_name_of_the_program_is_as_good() {
    assert!(Place::parse("valkeys://store").unwrap().tls);
    assert!(!Place::parse("valkey+cluster://a,b").unwrap().tls);
}

#[test]
fn a_socket_is_a_path() {
    let place = Place::parse("redis+unix://:w@/run/a%20b.sock?db=2").unwrap();
    assert!(matches!(place.kind, Kind::Socket(ref path) if path.as_os_str() == "/run/a b.sock"));
    assert_eq!(place.database, 2);
    assert!(place.login.password.is_some());
}

#[test]
fn sentinels_and_clusters_are_lists_of_hosts() {
    let place =
        Place::parse("redis+sentinel://:w@a:1,b/main/4?sentinel_user=s&sentinel_password=t%25")
            .unwrap();
    let Kind::Sentinel { sentinels, master, login } = &place.kind else { panic!("{place:?}") };
    assert_eq!(*sentinels, [host("a", 1), host("b", 26379)]);
    assert_eq!((master.as_str(), place.database), ("main", 4));
    assert_eq!(login.password.as_ref().map(|word| word.as_str()), Some("t%"));

    let place = Place::parse("rediss+cluster://a:1,[::2]:3").unwrap();
    assert!(matches!(place.kind, Kind::Cluster(ref at) if *at == [host("a", 1), host("::2", 3)]));
}

#[test]
fn what_is_wrong_is_named() {
    for (url, wanted) in [
        ("store:6379", RedisUrlError::Scheme),
        ("http://store", RedisUrlError::Scheme),
        ("redis://", RedisUrlError::Host),
        ("redis://host:", RedisUrlError::Host),
        ("redis://host:port", RedisUrlError::Host),
        ("redis://a,b", RedisUrlError::Host),
        ("redis://[::1", RedisUrlError::Host),
        ("redis://:pa/ss@host", RedisUrlError::Host),
        ("redis://host/main", RedisUrlError::Database),
        ("redis://host/-1", RedisUrlError::Database),
        ("redis://host?db=1", RedisUrlError::Option),
        ("redis://:%4@host", RedisUrlError::Escape),
        ("redis://:%+1@host", RedisUrlError::Escape),
        ("redis://:%ff@host", RedisUrlError::Escape),
        ("redis+unix://run/a.sock", RedisUrlError::Path),
        ("redis+unix://", RedisUrlError::Path),
        ("redis+sentinel://a,b", RedisUrlError::Master),
        ("redis+sentinel://a,,b/main", RedisUrlError::Host),
        ("redis+cluster://a/1", RedisUrlError::ClusterDatabase),
    ] {
        assert_eq!(Place::parse(url).err(), Some(wanted), "{url}");
    }
}

#[test]
fn authorities_must_be_certificates_for_a_connection_with_tls() {
    let with = |url, ca: &[u8]| RedisOptions { ca: Some(ca.to_vec()), ..RedisOptions::new(url) };
    let refused = |options| RedisEngine::new(&options).err();
    assert_eq!(refused(with("redis://a", b"")), Some(RedisUrlError::AuthoritiesWithoutTls));
    assert_eq!(refused(with("rediss://a", b"")), Some(RedisUrlError::Authorities));
    let words = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(refused(with("rediss://a", words)), Some(RedisUrlError::Authorities));
}

#[test]
fn nobody_can_read_a_password() {
    let url = "redis+sentinel://me:planted@a/main?sentinel_password=sown";
    let options = RedisOptions::new(url);
    let engine = RedisEngine::new(&options).unwrap();
    let shown = format!("{options:?} {engine:?} {} {:#?}", engine.place(), Place::parse(url));
    assert!(!shown.contains("planted") && !shown.contains("sown"), "{shown}");
}
