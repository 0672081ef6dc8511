//! Laws of the codec, for any bytes and any introduction.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;

fn any_addr() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ];
    (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

fn any_ends() -> impl Strategy<Value = Ends> {
    let name = || vec(any::<u8>(), 108).prop_map(|name| UnixName(name.try_into().unwrap()));
    let tcp = |(source, destination)| Ends::Tcp { source, destination };
    prop_oneof![
        4 => (any_addr(), any_addr()).prop_map(tcp),
        1 => (name(), name()).prop_map(|(source, destination)| Ends::Unix { source, destination }),
        1 => Just(Ends::Unknown),
    ]
}

fn any_text(most: usize) -> impl Strategy<Value = Option<Text>> {
    option::of(vec(any::<char>(), 0..most).prop_map(|text| Text::Owned(text.into_iter().collect())))
}

fn any_bytes(most: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(any::<u8>(), 0..most))
}

fn any_tls(most: usize) -> impl Strategy<Value = TlsIntroduction> {
    let shown = prop_oneof![Just(Shown::Now), Just(Shown::Never), Just(Shown::Once)];
    let words = || any_text(20);
    let first = (words(), words(), words(), words(), words(), words());
    (first, shown, any::<u32>(), any_text(most / 4), any_bytes(most)).prop_map(
        |(words, shown, verify, common_name, certificate)| {
            let (version, cipher, signature_algorithm, key_algorithm, group, signature_scheme) =
                words;
            TlsIntroduction {
                version,
                cipher,
                signature_algorithm,
                key_algorithm,
                group,
                signature_scheme,
                shown,
                verify,
                common_name,
                certificate,
            }
        },
    )
}

/// An introduction, no part of which is longer than about `most`.
fn any_introduction(most: usize) -> impl Strategy<Value = Introduction> {
    let attributes =
        (any_bytes(most), any_text(most / 4), any_bytes(129), option::of(any_tls(most)));
    (any_ends(), attributes).prop_map(|(ends, (alpn, authority, unique_id, tls))| Introduction {
        ends,
        alpn,
        authority,
        unique_id,
        tls,
    })
}

/// Bytes that are worth reading: headers, damaged headers, and others.
fn any_header() -> impl Strategy<Value = Vec<u8>> {
    let said = (any_introduction(300), any::<bool>()).prop_map(|(said, is_line)| {
        let form = if is_line { v1() } else { v2(&ALL) };
        encode(&said, &form).bytes
    });
    let damaged = (said, any::<prop::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(
        |(mut bytes, place, other, is_damaged)| {
            if is_damaged {
                let place = place.index(bytes.len());
                bytes[place] = other;
            }
            bytes
        },
    );
    let binary = (0x20_u8..0x22, any::<u8>(), vec(any::<u8>(), 0..300))
        .prop_map(|(command, family, rest)| binary(command, family & 0x3f, &rest));
    let line = "PROXY (TCP4|TCP6|UNKNOWN)[ -~\r\n]{0,110}\r\n".prop_map(String::into_bytes);
    prop_oneof![4 => damaged, 2 => binary, 2 => line, 1 => vec(any::<u8>(), 0..200)]
}

proptest! {
    #[test]
    fn what_is_said_is_what_is_heard(
        said in any_introduction(200),
        behind in vec(any::<u8>(), 0..50),
    ) {
        let Encoded { bytes, omitted } = encode(&said, &v2(&ALL));
        prop_assert_eq!(omitted, 0);
        let length = bytes.len();
        let introduction = Box::new(said);
        let all = [bytes, behind].concat();
        prop_assert_eq!(decode(&all), Ok(Decoded::Complete { introduction, length }));
    }

    #[test]
    fn the_length_in_the_header_is_that_of_the_header(
        said in any_introduction(6000),
        tlvs in subsequence(ALL.to_vec(), 0..=ALL.len()),
    ) {
        let Encoded { bytes, .. } = encode(&said, &v2(&tlvs));
        prop_assert!(bytes.len() <= HEADER_BYTES_MAX);
        let length = u16::from_be_bytes([bytes[14], bytes[15]]);
        prop_assert_eq!(usize::from(length) + FIXED_BYTES, bytes.len());
        let told = heard(&bytes).unwrap();
        prop_assert_eq!(&told.ends, &said.ends);
        for (tlv, is_told) in [
            (ProxyTlv::Alpn, told.alpn.is_some()),
            (ProxyTlv::Authority, told.authority.is_some()),
            (ProxyTlv::UniqueId, told.unique_id.is_some()),
            (ProxyTlv::ClientCert, told.tls.as_ref().is_some_and(|tls| tls.certificate.is_some())),
        ] {
            prop_assert!(tlvs.contains(&tlv) || !is_told);
        }
        // What is said is never something else.
        prop_assert!(told.alpn.is_none() || told.alpn == said.alpn);
        prop_assert!(told.authority.is_none() || told.authority == said.authority);
        prop_assert!(told.unique_id.is_none() || told.unique_id == said.unique_id);
    }

    #[test]
    fn a_line_says_the_addresses(said in any_introduction(20)) {
        let Encoded { bytes, .. } = encode(&said, &v1());
        prop_assert!(bytes.len() <= LINE_BYTES_MAX);
        let ends = match said.ends {
            ends @ Ends::Tcp { .. } => ends,
            _ => Ends::Unknown,
        };
        prop_assert_eq!(heard(&bytes), Ok(Introduction::of(ends)));
    }

    #[test]
    fn how_a_header_comes_in_parts_changes_nothing(bytes in any_header()) {
        let whole = decode(&bytes);
        let end = match &whole {
            Ok(Decoded::Complete { length, .. }) => *length,
            Ok(Decoded::Incomplete) => bytes.len() + 1,
            Err(_) => usize::MAX,
        };
        for cut in 0..=bytes.len() {
            let part = decode(&bytes[..cut]);
            // Nothing of what is incomplete stands behind the header.
            let expected = if cut < end { Ok(Decoded::Incomplete) } else { whole.clone() };
            let is_sound = part == expected || whole.is_err() && part == whole;
            prop_assert!(is_sound, "{} of {:?}", cut, bytes);
        }
    }

    #[test]
    fn what_follows_a_header_is_not_looked_at(
        bytes in any_header(),
        behind in vec(any::<u8>(), 1..50),
    ) {
        if let Ok(Decoded::Complete { introduction, length }) = decode(&bytes) {
            let header = &bytes[..length];
            let again = decode(&[header, &behind].concat());
            prop_assert_eq!(again, Ok(Decoded::Complete { introduction, length }));
        }
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in vec(any::<u8>(), 0..600)) {
        let _ = decode(&bytes);
        let _ = decode(&[SIGNATURE, &*bytes].concat());
        let _ = decode(&[WORD, &*bytes].concat());
    }
}
