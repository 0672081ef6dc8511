//! ClientHellos written byte by byte: what is looked up, and what is too strange for that. Those
//! of real clients are compared with what rustls asks for in the tests of the handshake.

use proptest::prelude::*;

use super::*;

const NOTHING: ResumptionOffer = ResumptionOffer {
    offered: Offered::Nothing,
    kind: OfferKind::None,
    identities: 0,
    tls13: false,
    is_extended: false,
};

/// The bytes behind their number, in two bytes.
fn vector16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

/// The bytes behind their number, in one byte.
fn vector8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

/// A ClientHello written byte by byte.
fn hello(session_id: &[u8], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (number, body) in extensions {
        all.extend(number.to_be_bytes());
        all.extend(vector16(body));
    }
    let suites = [0x0a, 0x0a, 0x13, 0x01, 0xc0, 0x2b];
    let body =
        [&[3, 3][..], &[7; 32], &vector8(session_id), &vector16(&suites), &[1, 0], &vector16(&all)];
    in_a_record(&body.concat())
}

/// The body of a ClientHello, in its message, in its record.
fn in_a_record(body: &[u8]) -> Vec<u8> {
    let message = [&[1, 0][..], &vector16(body)].concat();
    [&[22, 3, 1][..], &vector16(&message)].concat()
}

fn versions(list: &[u8]) -> (u16, Vec<u8>) {
    (43, vector8(list))
}

fn modes(list: &[u8]) -> (u16, Vec<u8>) {
    (45, vector8(list))
}

/// The pre-shared keys with these identities, and as many binders.
fn keys(identities: &[&[u8]], binders: usize) -> (u16, Vec<u8>) {
    let identity = |id: &&[u8]| [&vector16(id)[..], &[1, 2, 3, 4]].concat();
    let identities: Vec<u8> = identities.iter().flat_map(identity).collect();
    let binders = vector8(&[9; 32]).repeat(binders);
    (41, [vector16(&identities), vector16(&binders)].concat())
}

fn offer(session_id: &[u8], extensions: &[(u16, Vec<u8>)]) -> ResumptionOffer {
    ResumptionOffer::parse(&hello(session_id, extensions))
}

fn id(byte: u8) -> [u8; 32] {
    [byte; 32]
}

fn identities(first: u8, second: Option<u8>) -> Offered {
    let id = |byte| SessionId::from(id(byte));
    Offered::Identities([Some(id(first)), second.map(id)])
}

#[test]
fn the_first_two_distinct_identities_of_our_length_are_looked_up() {
    let v13 = || versions(&[3, 4]);
    let long = [5; 33];
    let cases: [(&[&[u8]], Offered); 7] = [
        (&[&id(1)], identities(1, None)),
        (&[&id(1), &id(2)], identities(1, Some(2))),
        (&[&id(1), &id(2), &id(3)], identities(1, Some(2))),
        (&[&long, &id(1), &long[..31], &id(2)], identities(1, Some(2))),
        (&[&id(1), &id(1), &id(2)], identities(1, Some(2))),
        (&[&id(1), &id(1)], identities(1, None)),
        (&[&long, &long[..1]], Offered::Nothing),
    ];
    for (offered, expected) in cases {
        let count = offered.len();
        let offer = offer(&id(8), &[v13(), modes(&[1]), keys(offered, count)]);
        let kind = OfferKind::Psk;
        let expected = ResumptionOffer {
            offered: expected,
            kind,
            identities: count,
            tls13: true,
            is_extended: false,
        };
        assert_eq!(offer, expected);
    }
}

#[test]
fn the_session_id_of_a_client_of_tls_1_3_is_never_looked_up_and_that_of_another_is() {
    let expected = ResumptionOffer { tls13: true, ..NOTHING };
    for list in [&[3, 4][..], &[0x1a, 0x1a, 3, 4, 3, 3], &[3, 3, 3, 4]] {
        assert_eq!(offer(&id(1), &[versions(list)]), expected);
        // Its ticket is for servers without TLS 1.3.
        assert_eq!(offer(&id(1), &[versions(list), (35, vec![6; 100])]), expected);
    }
    let kind = OfferKind::SessionId;
    let ours = Offered::SessionId(id(1).into());
    let known = ResumptionOffer { offered: ours, kind, ..NOTHING };
    assert_eq!(offer(&id(1), &[]), known);
    let extended = ResumptionOffer { is_extended: true, ..known };
    assert_eq!(offer(&id(1), &[(23, Vec::new())]), extended);
    assert_eq!(offer(&id(1), &[versions(&[0x1a, 0x1a, 3, 3, 3, 2])]), known);
    // A client that would take a ticket has none yet.
    assert_eq!(offer(&id(1), &[(35, Vec::new())]), known);
    let foreign = ResumptionOffer { offered: Offered::Nothing, ..known };
    assert_eq!(offer(&id(1)[..31], &[]), foreign);
    let ticket = ResumptionOffer { kind: OfferKind::Ticket, ..NOTHING };
    assert_eq!(offer(&id(1), &[(35, vec![6; 100])]), ticket);
    assert_eq!(offer(&[], &[(35, vec![6])]), ticket);
    assert_eq!(offer(&[], &[]), NOTHING);
}

#[test]
fn grease_and_unknown_extensions_are_stepped_over() {
    let grease = |byte: u8, body: &[u8]| (u16::from_be_bytes([byte, byte]), body.to_vec());
    let offer = offer(
        &id(8),
        &[
            grease(0x2a, &[]),
            versions(&[0xca, 0xca, 3, 4, 3, 3]),
            (13, vec![0, 2, 4, 3]),
            (0x7777, vec![1; 500]),
            modes(&[0x0b, 1]),
            grease(0xea, &[0]),
            keys(&[&id(1)], 1),
        ],
    );
    assert_eq!(offer.offered, identities(1, None));
}

#[test]
fn a_client_that_wants_no_key_exchange_resumes_nothing_here() {
    let key = || keys(&[&id(1)], 1);
    let expected = ResumptionOffer { kind: OfferKind::Psk, identities: 1, tls13: true, ..NOTHING };
    assert_eq!(offer(&[], &[versions(&[3, 4]), modes(&[0]), key()]), expected);
    assert_eq!(offer(&[], &[versions(&[3, 4]), key()]), expected);
}

#[test]
fn whatever_is_strange_is_no_offer() {
    let (v13, dhe) = (|| versions(&[3, 4]), || modes(&[1]));
    let key = || keys(&[&id(1)], 1);
    let with = |extension: (u16, Vec<u8>)| hello(&id(8), &[v13(), dhe(), extension]);
    assert_eq!(ResumptionOffer::parse(&with(key())).offered, identities(1, None));
    let (_, good) = key();
    let many: Vec<_> = (100..200).map(|number| (number, Vec::new())).collect();
    let short_binder =
        [vector16(&[&vector16(&id(1))[..], &[0; 4]].concat()), vector16(&vector8(&[9; 31]))];
    let cases = [
        ("keys that are not last", hello(&[], &[v13(), dhe(), key(), (99, Vec::new())])),
        ("keys twice", hello(&[], &[v13(), dhe(), key(), key()])),
        ("versions twice", hello(&[], &[v13(), v13(), dhe(), key()])),
        (
            "an unknown extension twice",
            hello(&id(1), &[(99, vec![1]), (98, vec![]), (99, vec![2])]),
        ),
        ("too many extensions", hello(&id(1), &many)),
        ("no identity", with(keys(&[], 0))),
        ("an empty identity", with(keys(&[&[], &id(1)], 2))),
        ("fewer binders", with(keys(&[&id(1), &id(2)], 1))),
        ("more binders", with(keys(&[&id(1)], 2))),
        ("a short binder", with((41, short_binder.concat()))),
        ("bytes behind the keys", with((41, [&good[..], &[0]].concat()))),
        ("half the keys", with((41, good[..good.len() - 1].to_vec()))),
        ("half a version", hello(&id(1), &[versions(&[3, 4, 3])])),
        ("no version", hello(&id(1), &[versions(&[])])),
        ("bytes behind the versions", hello(&id(1), &[(43, vec![2, 3, 3, 0])])),
        ("no key exchange", hello(&[], &[v13(), modes(&[]), key()])),
        ("a long session id", hello(&[1; 33], &[])),
    ];
    for (what, hello) in cases {
        assert_eq!(ResumptionOffer::parse(&hello), NOTHING, "{what}");
    }
}

#[test]
fn records_and_messages_that_are_none_are_no_offer() {
    let good = hello(&id(1), &[]);
    assert_eq!(ResumptionOffer::parse(&good).kind, OfferKind::SessionId);
    let changed = |place: usize, byte: u8| {
        let mut changed = good.clone();
        changed[place] = byte;
        changed
    };
    let body = &good[9..];
    let cases = [
        ("nothing", Vec::new()),
        ("another type of record", changed(0, 23)),
        ("another protocol", changed(1, 2)),
        ("another message", changed(5, 2)),
        ("a longer message", changed(8, good[8] + 1)),
        ("a shorter message", changed(8, good[8] - 1)),
        ("TLS 1.1", changed(10, 2)),
        ("an empty record", [&[22, 3, 1, 0, 0][..], &good].concat()),
        ("bytes behind the extensions", in_a_record(&[body, &[0]].concat())),
        ("half a suite", in_a_record(&[&body[..67], &[0, 3, 0, 0, 0, 1, 0]].concat())),
        ("no suite", in_a_record(&[&body[..67], &[0, 0, 1, 0]].concat())),
        ("no compression", in_a_record(&[&body[..67], &[0, 2, 0x13, 1, 0]].concat())),
    ];
    for (what, records) in cases {
        assert_eq!(ResumptionOffer::parse(&records), NOTHING, "{what}");
    }
    // A hello without extensions, as RFC 5246 allows it.
    let bare = in_a_record(&[&body[..67], &[0, 2, 0xc0, 0x2b, 1, 0]].concat());
    assert_eq!(ResumptionOffer::parse(&bare).kind, OfferKind::SessionId);
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = ResumptionOffer::parse(&bytes);
        let _ = ResumptionOffer::parse(&in_a_record(&bytes));
        let _ = ResumptionOffer::parse(&hello(&id(1), &[(43, bytes.clone())]));
        let _ = ResumptionOffer::parse(&hello(&[], &[versions(&[3, 4]), modes(&[1]), (41, bytes)]));
    }
}
