//! PROXY headers of both versions.
//!
//! Owns the one call, and what holds of its answer: how a header comes in parts, and what follows
//! it, changes nothing; and what was heard can be said again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portunus::config::{ProxyTlv, ProxyVersion, SendProxy};
use portunus::proxy_protocol::{
    Decoded, HEADER_BYTES_MAX, Introduction, LINE_BYTES_MAX, decode, encode,
};

fuzz_target!(|bytes: &[u8]| {
    let whole = decode(bytes);
    match &whole {
        Ok(Decoded::Complete { introduction, length }) => {
            let (header, rest) = bytes.split_at(*length);
            assert!(!header.is_empty() && header.len() <= HEADER_BYTES_MAX);
            // All of it is needed, and nothing else.
            let cut = usize::from(rest.first().copied().unwrap_or_default()) % header.len();
            for cut in [0, 1, cut, header.len() - 1] {
                assert_eq!(decode(&header[..cut]), Ok(Decoded::Incomplete), "{cut}");
            }
            assert_eq!(decode(header), whole);
            assert_eq!(decode(&[header, &[0xff; 50]].concat()), whole);
            say_again(introduction);
        }
        Ok(Decoded::Incomplete) => assert!(bytes.len() < HEADER_BYTES_MAX),
        // It was wrong from some byte on, and stays so.
        Err(_) => assert_eq!(decode(&[bytes, b"\r\n"].concat()), whole),
    }
});

/// Says in both versions what was heard.
fn say_again(heard: &Introduction) {
    let tlvs = vec![
        ProxyTlv::Alpn,
        ProxyTlv::Authority,
        ProxyTlv::ClientCert,
        ProxyTlv::Ssl,
        ProxyTlv::UniqueId,
    ];
    let said = encode(heard, &SendProxy { version: ProxyVersion::V2, tlvs });
    assert!(said.bytes.len() <= HEADER_BYTES_MAX);
    match decode(&said.bytes) {
        Ok(Decoded::Complete { introduction, length }) => {
            assert_eq!(length, said.bytes.len());
            assert_eq!(introduction.ends, heard.ends);
            assert!(said.omitted > 0 || *introduction == *heard);
        }
        other => panic!("{other:?}"),
    }
    let said = encode(heard, &SendProxy { version: ProxyVersion::V1, tlvs: Vec::new() });
    assert!(said.bytes.len() <= LINE_BYTES_MAX);
    match decode(&said.bytes) {
        Ok(Decoded::Complete { introduction, .. }) => {
            assert_eq!(introduction.ends.source(), heard.ends.source());
        }
        other => panic!("{other:?}"),
    }
}
