//! The seeds of the fuzzer, as ordinary tests: whatever stands in a file, there is an answer.
//!
//! Owns nothing but the walk through `fuzz/seeds`. The name of a seed says what the answer is.

use std::fs;
use std::path::Path;

use portunus::handshake::hello::offer::{OfferKind, ResumptionOffer};
use portunus::proxy_protocol::{Decoded, decode};
use portunus::starttls::scram::{Doorstep, Message, Request};
use portunus::starttls::{WithoutTls, imap, ldap, mysql, pop3, postgresql, smtp, xmpp};
use portunus_certs::session::seal::SealingKeys;
use portunus_certs::tickets::FileKeys;
use portunus_certs::{client_auth, load};
use portunus_tests::dialogue::{self, End};
use rustls::crypto::aws_lc_rs::default_provider;

/// Gives every seed of a kind to `is_taken`, whole and cut short in many places.
fn replay(kind: &str, is_taken: impl Fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(kind);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let taken = is_taken(&bytes);
        match path.file_name().unwrap().to_str().unwrap().split('-').next().unwrap() {
            "good" => assert!(taken, "{} is not taken", path.display()),
            "bad" => assert!(!taken, "{} is taken", path.display()),
            _ => {}
        }
        for cut in (0..bytes.len()).step_by(STEP) {
            let _ = is_taken(&bytes[..cut]);
            let mut changed = bytes.clone();
            changed[cut] ^= 0x81;
            let _ = is_taken(&changed);
        }
        count += 1;
    }
    assert!(count > 5, "only {count} seeds of {kind}");
}

#[test]
fn every_file_of_certificates_and_every_bundle_of_authorities_gets_an_answer() {
    let provider = default_provider();
    replay("certificates", |bytes| {
        let _ = client_auth::check_bundle(bytes, &provider);
        load::check(bytes, &provider).is_ok()
    });
}

#[test]
fn every_revocation_list_gets_an_answer() {
    replay("revocation", |bytes| client_auth::check_crl(bytes).is_ok());
}

#[test]
fn every_staple_gets_an_answer() {
    let provider = default_provider();
    replay("staple", |bytes| load::check_staple(bytes, &provider).is_ok());
}

#[test]
fn every_client_hello_gets_an_answer() {
    replay("client_hello", |bytes| ResumptionOffer::parse(bytes).kind != OfferKind::None);
}

#[test]
fn nothing_that_stands_in_a_store_or_in_a_file_of_keys_opens_by_chance() {
    let keys = SealingKeys::parse(SEALING_KEY).unwrap();
    replay("sealed_entry", |bytes| {
        assert!(keys.open_text(b"another label", bytes).is_none());
        SealingKeys::parse(bytes).is_ok()
    });
}

#[test]
fn every_file_of_ticket_keys_gets_an_answer() {
    replay("ticket_keys", |bytes| FileKeys::parse(bytes).is_ok());
}

#[test]
fn every_proxy_header_gets_an_answer() {
    replay("proxy_protocol", |bytes| matches!(decode(bytes), Ok(Decoded::Complete { .. })));
}

#[test]
fn every_dialogue_before_tls_gets_an_end() {
    replay("starttls_smtp", |bytes| {
        let _ = dialogue::serve(|| smtp::server("mx.test", WithoutTls::Allowed), bytes);
        let _ = dialogue::ask(&mut smtp::Client::new("proxy.test"), bytes);
        let _ = dialogue::welcome(smtp::welcome, bytes);
        dialogue::serve(|| smtp::server("mx.test", WithoutTls::Refused), bytes) == End::Upgrade
    });
    replay("starttls_imap", |bytes| {
        let _ = dialogue::ask(&mut imap::Client::default(), bytes);
        let _ = dialogue::welcome(imap::welcome, bytes);
        dialogue::serve(|| imap::server("mx.test"), bytes) == End::Upgrade
    });
    replay("starttls_pop3", |bytes| {
        let _ = dialogue::ask(&mut pop3::Client::default(), bytes);
        let _ = dialogue::welcome(pop3::welcome, bytes);
        dialogue::serve(|| pop3::server("mx.test"), bytes) == End::Upgrade
    });
}

#[test]
fn every_dialogue_of_databases_and_directories_before_tls_gets_an_end() {
    replay("starttls_ldap", |bytes| {
        let _ = dialogue::ask(&mut ldap::Client::default(), bytes);
        let _ = dialogue::serve(|| ldap::Server::new(WithoutTls::Allowed), bytes);
        dialogue::serve(|| ldap::Server::new(WithoutTls::Refused), bytes) == End::Upgrade
    });
    replay("starttls_postgresql", |bytes| {
        let _ = dialogue::ask(&mut postgresql::Client::default(), bytes);
        let _ = dialogue::serve(|| postgresql::Server::new(WithoutTls::Allowed), bytes);
        let end = dialogue::serve(|| postgresql::Server::new(WithoutTls::Refused), bytes);
        matches!(end, End::DirectTls | End::Upgrade)
    });
    replay("starttls_mysql", |bytes| {
        let greeting = mysql::Packet { sequence: 0, payload: vec![10] };
        let server = |without_tls| mysql::Server::new(greeting.clone(), without_tls);
        let _ = dialogue::serve(|| server(WithoutTls::Allowed), bytes);
        dialogue::serve(|| server(WithoutTls::Refused), bytes) == End::DirectTls
    });
    replay("starttls_xmpp", |bytes| {
        dialogue::serve(|| xmpp::Server::new("chat.test", 1), bytes) == End::Upgrade
    });
}

#[test]
fn every_session_of_postgresql_without_tls_gets_an_answer() {
    replay("starttls_scram", |bytes| {
        let bytes = bytes.get(1..).unwrap_or_default();
        let mut message = Message::default();
        let mut rest = bytes.iter();
        while let Ok(1..) = message.missing()
            && let Some(byte) = rest.next()
        {
            message.take(&[*byte]);
        }
        if message.missing() == Ok(0) {
            let _ = message.finish();
            return true;
        }
        matches!(Doorstep::default().feed(bytes), Ok(Request::Session(_)))
    });
}

/// That of the seeds.
const SEALING_KEY: &[u8] = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Prime, so that it hits lines and lengths at every place.
const STEP: usize = 7;
