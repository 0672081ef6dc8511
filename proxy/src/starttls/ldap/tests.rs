//! What a client and an endpoint of LDAP get for what they say.

use proptest::prelude::*;

use super::super::ERRORS_MAX;
use super::super::rehearsal::{End, play_in_all_ways};
use super::*;

/// `StartTLS` with the id 1, as `ldapsearch -ZZ` writes it.
const START: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// A simple bind with the id 2, as `ldapwhoami -x -D cn=a -w b` writes it.
const BIND: &[u8] = b"\x30\x11\x02\x01\x02\x60\x0c\x02\x01\x03\x04\x04cn=a\x80\x01b";

const UNBIND: &[u8] = b"\x30\x05\x02\x01\x03\x42\x00";
const ABANDON: &[u8] = b"\x30\x06\x02\x01\x04\x50\x01\x02";

fn end(rule: WithoutTls, bytes: &[u8]) -> End {
    play_in_all_ways(|| Server::new(rule), bytes).end
}

fn strict(bytes: &[u8]) -> Step {
    Server::new(WithoutTls::Refused).feed(bytes)
}

/// A request of some kind, with these bytes in it.
fn request(id: u8, operation: u8, content: &[u8]) -> Vec<u8> {
    ber::element(ber::SEQUENCE, &[&[2, 1, id], &ber::element(operation, &[content])])
}

#[test]
fn starttls_is_granted_with_its_own_id() {
    // resultCode 0, no matchedDN, no diagnosticMessage, the name.
    let answer = b"\x30\x24\x02\x01\x01\x78\x1f\x0a\x01\x00\x04\x00\x04\x00\
        \x8a\x161.3.6.1.4.1.1466.20037";
    for rule in [WithoutTls::Allowed, WithoutTls::Refused] {
        assert_eq!(end(rule, START), End::Upgrade);
        let step = Server::new(rule).feed(START);
        assert_eq!(step, Step::silent(Next::Upgrade(answer.to_vec())));
    }
    // The long lengths of some directories' clients.
    let long = b"\x30\x84\x00\x00\x00\x22\x02\x01\x01\x77\x84\x00\x00\x00\x19\x80\x81\x16\
        1.3.6.1.4.1.1466.20037";
    assert_eq!(end(WithoutTls::Refused, long), End::Upgrade);
}

#[test]
fn bytes_behind_starttls_end_the_connection_with_operations_error() {
    for behind in [BIND, UNBIND, START, b"\0", b"\x16\x03\x01"] {
        let bytes = [START, behind].concat();
        assert_eq!(end(WithoutTls::Refused, &bytes), End::Refused(Refusal::Injected));
        assert_eq!(end(WithoutTls::Allowed, &bytes), End::Refused(Refusal::Injected));
        let step = strict(&bytes);
        assert!(step.say.starts_with(b"\x30"), "{step:?}");
        assert_eq!(step.say.get(5..10), Some(&b"\x78\x34\x0a\x01\x01"[..]), "{step:?}");
    }
}

#[test]
fn every_other_operation_is_refused_in_its_own_kind_of_answer() {
    for (request, response) in [
        (0x60, 0x61),
        (0x63, 0x65),
        (0x66, 0x67),
        (0x68, 0x69),
        (0x4a, 0x6b),
        (0x6c, 0x6d),
        (0x6e, 0x6f),
        (0x77, 0x78),
    ] {
        let step = strict(&self::request(9, request, b"\x80\x011"));
        // confidentialityRequired is 13.
        let start = [2, 1, 9, response, 27, 10, 1, 13, 4, 0, 4, 20];
        assert!(step.say.get(2..).is_some_and(|say| say.starts_with(&start)), "{step:?}");
        assert_eq!(step.next, Next::Listen);
    }
    assert_eq!(end(WithoutTls::Refused, &[BIND, START].concat()), End::Upgrade);
}

#[test]
fn who_leaves_gets_no_answer_and_nothing_is_abandoned() {
    assert_eq!(strict(UNBIND), Step::silent(Next::Quit));
    assert_eq!(strict(ABANDON), Step::listen(Vec::new()));
    assert_eq!(end(WithoutTls::Refused, &[ABANDON, START].concat()), End::Upgrade);
}

#[test]
fn what_is_allowed_without_tls_is_passed_on_whole() {
    for first in [BIND, UNBIND, ABANDON] {
        let bytes = [first, START, b"more"].concat();
        assert_eq!(end(WithoutTls::Allowed, &bytes), End::Clear(bytes));
    }
}

#[test]
fn a_long_message_may_be_had_without_tls_like_any_other() {
    // A bind with a ticket of Kerberos that names many groups.
    let bind = request(1, 0x60, &[b'x'; 5_000]);
    let mut server = Server::new(WithoutTls::Allowed);
    assert_eq!(server.feed(&bind), Step::silent(Next::Clear(bind.clone())));
    let head = &bind[..100];
    assert_eq!(Server::new(WithoutTls::Allowed).feed(head), Step::silent(Next::Clear(head.into())));
    assert_eq!(strict(&bind).next, Next::Refuse(Refusal::Flooded));
}

#[test]
fn starttls_with_a_value_or_a_critical_control_is_refused() {
    let oid = ber::element(NAME, &[STARTTLS]);
    let with_value = request(1, EXTENDED_REQUEST, &[&oid[..], b"\x81\x01x"].concat());
    assert_eq!(strict(&with_value).say.get(5..10), Some(&b"\x78\x1c\x0a\x01\x02"[..]));
    let envelope = |control: &[u8]| {
        let request = ber::element(EXTENDED_REQUEST, &[&oid]);
        let controls = ber::element(0xa0, &[&ber::element(ber::SEQUENCE, &[control])]);
        ber::element(ber::SEQUENCE, &[&[2, 1, 1], &request, &controls])
    };
    let critical = envelope(b"\x04\x011\x01\x01\xff");
    assert_eq!(strict(&critical).say.get(5..10), Some(&b"\x78\x19\x0a\x01\x0c"[..]));
    for harmless in [&b"\x04\x011"[..], b"\x04\x011\x01\x01\x00\x04\x01x"] {
        assert!(matches!(strict(&envelope(harmless)).next, Next::Upgrade(_)), "{harmless:?}");
    }
}

#[test]
fn floods_end_the_connection() {
    let errors = [BIND].repeat(ERRORS_MAX as usize).concat();
    let refused = End::Refused(Refusal::TooManyErrors);
    assert_eq!(end(WithoutTls::Refused, &errors), refused);
    for length in [b"\x00\x10\x00\x00", b"\xff\xff\xff\xff"] {
        let large = [b"\x30\x84", &length[..], b"\x02\x01\x01\x60"].concat();
        assert_eq!(end(WithoutTls::Refused, &large), End::Refused(Refusal::Flooded));
    }
    let mut server = Server::new(WithoutTls::Refused);
    let whole = request(1, 0x60, &[b'x'; 4080]);
    for piece in whole.chunks(7) {
        server.feed(piece);
        assert!(server.held.len() <= message::MESSAGE_BYTES_MAX);
    }
}

#[test]
fn what_is_no_message_ends_the_connection_with_a_notice() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\x30\x80\x02\x01\x01",
        b"\x30\x05\x02\x01\x00\x60\x00",
        b"\x30\x06\x02\x02\xff\xff\x60\x00",
        b"\x30\x05\x02\x01\x01\x61\x00",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x1d\x02\x01\x00\x77\x18\x80\x161.3.6.1.4.1.1466.20037",
    ] {
        let refused = End::Refused(Refusal::NotTheProtocol);
        assert_eq!(end(WithoutTls::Refused, bytes), refused, "{bytes:?}");
        let say = strict(bytes).say;
        assert!(say.ends_with(b"\x8a\x161.3.6.1.4.1.1466.20036"), "{bytes:?}");
        assert_eq!(say.get(2..6), Some(&b"\x02\x01\x00\x78"[..]));
    }
}

#[test]
fn an_endpoint_consents_with_success_and_nothing_behind_it() {
    assert_eq!(Client::default().opening(), START);
    let response = |id: u8, code: u8, more: &[u8]| {
        let content = [&[10, 1, code, 4, 0, 4, 0], more].concat();
        request(id, EXTENDED_RESPONSE, &content)
    };
    let good = response(1, 0, b"\x8a\x161.3.6.1.4.1.1466.20037");
    let behind = [&good[..], b"\x30"].concat();
    for (answer, step) in [
        (good, ClientStep::Upgrade),
        (response(1, 0, b""), ClientStep::Upgrade),
        (behind, ClientStep::Refuse(Unwilling::Injected)),
        (response(2, 0, b""), ClientStep::Refuse(Unwilling::NotTheProtocol)),
        (response(1, 2, b""), ClientStep::Refuse(Unwilling::NoTls)),
        (response(0, 52, b""), ClientStep::Refuse(Unwilling::Refused)),
        (request(1, 0x61, b"\x0a\x01\x00"), ClientStep::Refuse(Unwilling::NotTheProtocol)),
        (b"220 ready\r\n".to_vec(), ClientStep::Refuse(Unwilling::NotTheProtocol)),
        (b"\x30\x84\x7f\xff\xff\xff".to_vec(), ClientStep::Refuse(Unwilling::NotTheProtocol)),
    ] {
        let mut client = Client::default();
        assert_eq!(client.feed(&answer), step, "{answer:?}");
        let mut client = Client::default();
        let steps = answer.chunks(1).map(|byte| client.feed(byte));
        let first = steps.into_iter().find(|step| *step != ClientStep::Listen);
        match step {
            // The driver sees what else is there.
            ClientStep::Refuse(Unwilling::Injected) => assert_eq!(first, Some(ClientStep::Upgrade)),
            step => assert_eq!(first, Some(step), "{answer:?}"),
        }
    }
}

proptest! {
    #[test]
    fn bytes_that_nobody_wrote_do_the_same_however_they_are_cut(
        start in prop::sample::select(vec![&b""[..], START, BIND, ABANDON, b"\x30"]),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let bytes = [start, &bytes].concat();
        end(WithoutTls::Allowed, &bytes);
        end(WithoutTls::Refused, &bytes);
        Client::default().feed(&bytes);
    }
}
