//! What the specification has, case by case; what holds of anything is in `laws`.

mod laws;

use super::*;
use crate::config::{ProxyTlv, ProxyVersion, SendProxy};

const ALL: [ProxyTlv; 5] =
    [ProxyTlv::Alpn, ProxyTlv::Authority, ProxyTlv::ClientCert, ProxyTlv::Ssl, ProxyTlv::UniqueId];

fn v1() -> SendProxy {
    SendProxy { version: ProxyVersion::V1, tlvs: Vec::new() }
}

fn v2(tlvs: &[ProxyTlv]) -> SendProxy {
    SendProxy { version: ProxyVersion::V2, tlvs: tlvs.to_vec() }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn tcp(source: &str, destination: &str) -> Ends {
    Ends::Tcp { source: addr(source), destination: addr(destination) }
}

/// What `bytes` say, which are one header and nothing else.
fn heard(bytes: &[u8]) -> Result<Introduction, Malformed> {
    match decode(bytes)? {
        Decoded::Complete { introduction, length } if length == bytes.len() => Ok(*introduction),
        other => panic!("not all of it: {other:?}"),
    }
}

/// A header of version 2 with `rest` behind the fixed part.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

fn vector(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// 192.0.2.1:1000 to 198.51.100.2:443.
const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 3, 232, 1, 187];

#[test]
fn lines_of_version_1_are_read_as_the_specification_has_them() {
    let table = [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 1000 443", tcp("192.0.2.1:1000", "198.51.100.2:443")),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535",
            tcp("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0", tcp("0.0.0.0:0", "0.0.0.0:0")),
        ("PROXY TCP6 2001:db8::1 2001:DB8::2 1 2", tcp("[2001:db8::1]:1", "[2001:db8::2]:2")),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
             ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
            tcp(
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            ),
        ),
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 2",
            tcp("192.0.2.1:1", "198.51.100.2:2"),
        ),
        ("PROXY UNKNOWN", Ends::Unknown),
        ("PROXY UNKNOWN ", Ends::Unknown),
        ("PROXY UNKNOWN 2001:db8::1 nonsense \u{e9}\0 1", Ends::Unknown),
    ];
    for (line, ends) in table {
        let bytes = format!("{line}\r\n").into_bytes();
        assert_eq!(heard(&bytes), Ok(Introduction::of(ends)), "{line}");
    }
}

#[test]
fn lines_that_are_not_of_version_1_are_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 1000 443 ",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1000",
        "PROXY TCP4  192.0.2.1 198.51.100.2 1000 443",
        "PROXY  TCP4 192.0.2.1 198.51.100.2 1000 443",
        "PROXY\tTCP4 192.0.2.1 198.51.100.2 1000 443",
        "PROXY TCP4 192.0.2.01 198.51.100.2 1000 443",
        "PROXY TCP4 192.0.2 198.51.100.2 1000 443",
        "PROXY TCP4 192.0.2.256 198.51.100.2 1000 443",
        "PROXY TCP4 192.0.2.1 198.51.100.2 01000 443",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 443",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1 443",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1000 ",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1000 443",
        "PROXY TCP4 localhost 198.51.100.2 1000 443",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1000 443",
        "PROXY TCP6 2001:db8::1%1 2001:db8::2 1000 443",
        "PROXY TCP6 [2001:db8::1] 2001:db8::2 1000 443",
        "PROXY TCP6 1:2:3:4:5:6:7 2001:db8::2 1000 443",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1000 443",
        "PROXY tcp4 192.0.2.1 198.51.100.2 1000 443",
        "PROXY UNKNOWNS",
        "PROXY unknown",
        "PROXY",
        "PROXYTCP4 192.0.2.1 198.51.100.2 1000 443",
    ] {
        assert_eq!(decode(format!("{line}\r\n").as_bytes()), Err(Malformed::Line), "{line}");
    }
    for line in ["PROXY UNKNOWN\n", "PROXY UNKNOWN\rx", "PROXY TCP4 1.2.3.4\n\r\n", "PROXY\n"] {
        assert_eq!(decode(line.as_bytes()), Err(Malformed::LineEnd), "{line:?}");
    }
}

#[test]
fn a_line_has_107_bytes_at_most() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    assert_eq!(heard(line(107).as_bytes()), Ok(Introduction::of(Ends::Unknown)));
    assert_eq!(decode(line(108).as_bytes()), Err(Malformed::TooLong { max: 107 }));
    assert_eq!(decode(line(109).as_bytes()), Err(Malformed::TooLong { max: 107 }));
    assert_eq!(decode(&line(110).as_bytes()[..106]), Ok(Decoded::Incomplete));
}

#[test]
fn whatever_begins_otherwise_is_no_header_from_its_first_byte_on() {
    for bytes in
        [&b"\x16\x03\x01"[..], b"GET ", b"Q", b"PROXI", b"\r\n\r\n\r", b"proxy ", b" PROXY"]
    {
        assert_eq!(decode(bytes), Err(Malformed::NoHeader), "{bytes:?}");
    }
    assert_eq!(decode(b""), Ok(Decoded::Incomplete));
    assert_eq!(decode(b"PROX"), Ok(Decoded::Incomplete));
    assert_eq!(decode(&SIGNATURE[..11]), Ok(Decoded::Incomplete));
}

#[test]
fn addresses_of_version_2_are_read_as_the_specification_has_them() {
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0xfe; 16], &[3, 232, 1, 187]].concat();
    let mapped = [&[0; 10][..], &[255, 255, 192, 0, 2, 1], &[0; 15], &[1, 0, 1, 0, 2]].concat();
    let mut unix = [0; 216];
    unix[..4].copy_from_slice(b"/a/b");
    unix[108..111].copy_from_slice(b"/c\xff");
    let name = |bytes: &[u8]| {
        let mut name = [0; 108];
        name[..bytes.len()].copy_from_slice(bytes);
        UnixName(name)
    };
    let table = [
        (0x11, V4.to_vec(), tcp("192.0.2.1:1000", "198.51.100.2:443")),
        (0x21, v6, tcp("[2001:db8::1]:1000", "[fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe]:443")),
        (0x21, mapped, tcp("192.0.2.1:1", "[::1]:2")),
        (0x31, unix.to_vec(), Ends::Unix { source: name(b"/a/b"), destination: name(b"/c\xff") }),
        (0x00, Vec::new(), Ends::Unknown),
        (0x01, Vec::new(), Ends::Unknown),
        (0x10, V4.to_vec(), Ends::Unknown),
        (0x12, V4.to_vec(), Ends::Unknown),
        (0x22, vec![7; 36], Ends::Unknown),
        (0x32, vec![7; 216], Ends::Unknown),
    ];
    for (family, addresses, ends) in table {
        let header = binary(0x21, family, &addresses);
        assert_eq!(heard(&header), Ok(Introduction::of(ends)), "{family:#04x}");
        if !addresses.is_empty() {
            let short = binary(0x21, family, &addresses[1..]);
            assert_eq!(decode(&short), Err(Malformed::AddressesCut), "{family:#04x}");
            // It is known before the addresses have come.
            assert_eq!(decode(&short[..16]), Err(Malformed::AddressesCut), "{family:#04x}");
        }
    }
}

#[test]
fn what_a_local_connection_says_is_discarded() {
    for family in [0x00, 0x11, 0x21, 0x31, 0xff] {
        for rest in [&[][..], &[1], &V4, &[0xff; 300]] {
            let header = binary(0x20, family, rest);
            assert_eq!(heard(&header), Ok(Introduction::of(Ends::Local)), "{family:#04x}");
        }
    }
}

#[test]
fn what_version_2_does_not_have_is_refused() {
    for command in [0x00, 0x01, 0x11, 0x22, 0x2f, 0x31, 0xff] {
        let header = binary(command, 0x11, &V4);
        assert_eq!(decode(&header), Err(Malformed::Command(command)));
        assert_eq!(decode(&header[..13]), Err(Malformed::Command(command)));
    }
    for family in [0x03, 0x13, 0x1f, 0x23, 0x41, 0xf1] {
        let header = binary(0x21, family, &[0; 300]);
        assert_eq!(decode(&header), Err(Malformed::Family(family)));
    }
}

#[test]
fn a_header_has_4096_bytes_at_most() {
    let header = |length: usize| {
        binary(0x21, 0x11, &[&V4[..], &vector(0xe0, &vec![0; length - 16 - 12 - 3])].concat())
    };
    assert!(heard(&header(4096)).is_ok());
    assert_eq!(decode(&header(4097)), Err(Malformed::TooLong { max: 4096 }));
    assert_eq!(decode(&header(4097)[..16]), Err(Malformed::TooLong { max: 4096 }));
    let local = binary(0x20, 0, &[0; 5000]);
    assert_eq!(decode(&local), Err(Malformed::TooLong { max: 4096 }));
}

/// What stands behind the addresses of a header.
fn behind(rest: &[u8]) -> Result<Introduction, Malformed> {
    heard(&binary(0x21, 0x11, &[&V4[..], rest].concat()))
}

#[test]
fn a_vector_ends_where_the_header_does() {
    assert!(behind(&vector(0x01, b"h2")).is_ok());
    for rest in [
        &[0x01][..],
        &[0x01, 0],
        &[0x01, 0, 3, b'h', b'2'],
        &[0x01, 0xff, 0xff, b'h', b'2'],
        &[0x04, 0, 1],
        &[0xe0, 0, 1],
        &[0, 0, 0, 0],
        &[0x01, 0, 2, b'h', b'2', 0],
        &[0x01, 0, 2, b'h', b'2', 4, 0],
    ] {
        assert_eq!(behind(rest), Err(Malformed::VectorCut), "{rest:?}");
        // Nothing is borrowed from what follows the header.
        let mut bytes = binary(0x21, 0x11, &[&V4[..], rest].concat());
        bytes.extend([0; 100]);
        assert_eq!(decode(&bytes), Err(Malformed::VectorCut), "{rest:?}");
    }
    let tls = |inner: &[u8]| behind(&vector(0x20, &[&[1, 0, 0, 0, 0][..], inner].concat()));
    assert!(tls(&vector(0x21, b"TLSv1.3")).is_ok());
    assert_eq!(tls(&[0x21, 0, 8, b'T']), Err(Malformed::VectorCut));
    assert_eq!(tls(&[0x21]), Err(Malformed::VectorCut));
    // The inner one may not reach into the next outer one.
    let outer = [&[0x20, 0, 8, 1, 0, 0, 0, 0, 0x21, 0, 5][..], &vector(0xe0, b"xx")].concat();
    assert_eq!(behind(&outer), Err(Malformed::VectorCut));
}

#[test]
fn a_vector_whose_value_makes_no_sense_is_refused() {
    for (kind, value) in [
        (0x02, &b"\xff"[..]),
        (0x03, &[0; 3]),
        (0x03, &[0; 5]),
        (0x05, &[0; 129]),
        (0x20, &[]),
        (0x20, &[1, 0, 0, 0]),
    ] {
        assert_eq!(behind(&vector(kind, value)), Err(Malformed::VectorValue(kind)), "{value:?}");
    }
    let inner = [&[1, 0, 0, 0, 0][..], &vector(0x22, b"\xc3")].concat();
    assert_eq!(behind(&vector(0x20, &inner)), Err(Malformed::VectorValue(0x22)));
    assert_eq!(behind(&vector(0x05, &[7; 128])).unwrap().unique_id, Some(vec![7; 128]));
}

#[test]
fn what_is_said_twice_is_refused_and_what_is_not_understood_is_passed_over() {
    for (kind, value) in [(0x01, &b"h2"[..]), (0x02, b"a"), (0x05, b"a"), (0x20, &[0; 5])] {
        let twice = [vector(kind, value), vector(kind, value)].concat();
        assert_eq!(behind(&twice), Err(Malformed::VectorTwice(kind)));
    }
    let twice = [&[1, 0, 0, 0, 0][..], &vector(0x22, b"a"), &vector(0x22, b"b")].concat();
    assert_eq!(behind(&vector(0x20, &twice)), Err(Malformed::VectorTwice(0x22)));
    let others = [0x04, 0x04, 0x30, 0x40, 0xe0, 0xe0, 0xea, 0xff].map(|kind| vector(kind, &[1, 2]));
    let authority = vector(0x02, "b\u{fc}cher.example".as_bytes());
    let heard = behind(&[others.concat(), authority, others.concat()].concat()).unwrap();
    assert_eq!(heard.authority.as_deref(), Some("b\u{fc}cher.example"));
}

#[test]
fn a_connection_in_the_clear_has_no_tls_whatever_else_is_said() {
    let inner = [&[0, 0, 0, 0, 1][..], &vector(0x22, b"admin")].concat();
    assert_eq!(behind(&vector(0x20, &inner)).unwrap().tls, None);
}

#[test]
fn a_header_whose_checksum_is_not_its_own_is_refused() {
    let vectors = [vector(0x02, b"a.example"), vector(0x03, &[0; 4]), vector(0x04, &[9; 9])];
    let mut header = binary(0x21, 0x11, &[&V4[..], &vectors.concat()].concat());
    let place = 16 + 12 + (3 + 9) + 3;
    let sum = crc32c::crc32c([&*header]).to_be_bytes();
    header[place..place + 4].copy_from_slice(&sum);
    assert_eq!(heard(&header).unwrap().authority.as_deref(), Some("a.example"));
    for (place, bit) in [(16, 1), (31, 1), (place, 0x80), (place + 3, 1), (header.len() - 1, 2)] {
        let mut damaged = header.clone();
        damaged[place] ^= bit;
        assert_eq!(decode(&damaged), Err(Malformed::Checksum), "byte {place}");
    }
}

#[test]
fn what_is_too_long_is_left_out_the_certificate_first() {
    let mut said = Introduction {
        ends: tcp("192.0.2.1:1", "192.0.2.2:2"),
        alpn: Some(b"imap".to_vec()),
        authority: Some("a.example".into()),
        unique_id: Some(b"id".to_vec()),
        tls: Some(TlsIntroduction {
            version: Some("TLSv1.3".into()),
            common_name: Some("somebody".into()),
            certificate: Some(vec![0x30; 5000]),
            shown: Shown::Now,
            ..TlsIntroduction::default()
        }),
    };
    let say = |said: &Introduction| {
        let Encoded { bytes, omitted } = encode(said, &v2(&ALL));
        (heard(&bytes).unwrap(), omitted)
    };
    let (told, omitted) = say(&said);
    said.tls.as_mut().unwrap().certificate = None;
    assert_eq!((told, omitted), (said.clone(), 1));
    // A common name that fills everything is the next to go, a long one of 64 KiB likewise.
    for length in [4096, 70_000] {
        said.tls.as_mut().unwrap().common_name = Some("x".repeat(length).into());
        let (told, omitted) = say(&said);
        let mut rest = said.clone();
        rest.tls.as_mut().unwrap().common_name = None;
        assert_eq!((told, omitted), (rest, 1));
    }
    said.alpn = Some(vec![0; 70_000]);
    said.authority = Some("x".repeat(70_000).into());
    let (told, omitted) = say(&said);
    let rest = Introduction { unique_id: Some(b"id".to_vec()), ..Introduction::of(said.ends) };
    assert_eq!((told, omitted), (rest, 4));
}

#[test]
fn version_1_says_addresses_and_nothing_else() {
    let line = |ends| {
        let Encoded { bytes, omitted } = encode(&Introduction::of(ends), &v1());
        assert_eq!(omitted, 0);
        String::from_utf8(bytes).unwrap()
    };
    let said = line(tcp("192.0.2.1:1000", "198.51.100.2:443"));
    assert_eq!(said, "PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n");
    let said = line(tcp("[2001:db8::1]:1", "[2001:db8::2]:2"));
    assert_eq!(said, "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n");
    let said = line(tcp("[::ffff:192.0.2.1]:1", "192.0.2.2:2"));
    assert_eq!(said, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    let said = line(tcp("192.0.2.1:1", "[2001:db8::2]:2"));
    assert_eq!(said, "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n");
    for ends in [Ends::Unknown, Ends::Local] {
        assert_eq!(line(ends), "PROXY UNKNOWN\r\n");
    }
}

#[test]
fn a_connection_without_a_name_gets_one_that_no_other_has() {
    let names: std::collections::HashSet<_> = (0..1000).map(|_| unique_id()).collect();
    assert_eq!(names.len(), 1000);
    for name in names {
        let name = String::from_utf8(name).unwrap();
        let parts: Vec<_> = name.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(name.bytes().all(|byte| b"-0123456789abcdef".contains(&byte)), "{name}");
        assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{name}");
    }
}
