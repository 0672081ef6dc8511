//! Lists that are signed as they should be and odd within, as parsers have stumbled over.

use portunus_certs::client_auth::{ClientAuth, check_crl};
use rcgen::SigningKey as _;

use super::authority::Authority;
use super::{Folder, at, rejection};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = vec![tag];
    if length < 0x80 {
        der.push(u8::try_from(length).unwrap());
    } else {
        der.push(0x84);
        der.extend(u32::try_from(length).unwrap().to_be_bytes());
        // The shortest form, as DER has it.
        let zeros = der[2..6].iter().take_while(|byte| **byte == 0).count();
        der.drain(2..2 + zeros);
        der[1] -= u8::try_from(zeros).unwrap();
    }
    der.extend(content);
    der
}

fn row(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

fn extension(number: u8, value: &[u8]) -> Vec<u8> {
    row(&[tlv(OID, &[0x55, 0x1d, number]), tlv(OCTET_STRING, value)])
}

fn crl_number() -> Vec<u8> {
    extension(20, &tlv(INTEGER, &[7]))
}

fn entry(serial: &[u8]) -> Vec<u8> {
    row(&[tlv(INTEGER, serial), tlv(UTC_TIME, b"260101000000Z")])
}

/// What a list consists of between the issuer's name and the signature.
struct Draft {
    version: Option<u8>,
    next_update: bool,
    revoked: Option<Vec<u8>>,
    extensions: Option<Vec<u8>>,
}

impl Draft {
    fn new() -> Self {
        let extensions = Some(crl_number());
        Self { version: Some(1), next_update: true, revoked: None, extensions }
    }

    fn signed_by(&self, authority: &Authority) -> Vec<u8> {
        let ecdsa_sha256 = tlv(OID, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]);
        let algorithm = row(&[ecdsa_sha256]);
        let (_, certificate) = x509_parser::parse_x509_certificate(&authority.der).unwrap();
        let mut parts: Vec<_> = self.version.iter().map(|v| tlv(INTEGER, &[*v])).collect();
        parts.push(algorithm.clone());
        parts.push(certificate.subject().as_raw().to_vec());
        parts.push(tlv(UTC_TIME, b"270110000000Z"));
        parts.extend(self.next_update.then(|| tlv(UTC_TIME, b"270401000000Z")));
        parts.extend(self.revoked.as_ref().map(|revoked| tlv(SEQUENCE, revoked)));
        parts.extend(self.extensions.as_ref().map(|them| tlv(0xa0, &tlv(SEQUENCE, them))));
        let signed = row(&parts);
        let signature = authority.issuer.key().sign(&signed).unwrap();
        row(&[signed, algorithm, tlv(BIT_STRING, &[&[0], &signature[..]].concat())])
    }
}

/// The sentence with which it is refused, or how many lists were taken.
fn judged(authority: &Authority, change: impl FnOnce(&mut Draft)) -> Result<usize, String> {
    let mut draft = Draft::new();
    change(&mut draft);
    let crl = draft.signed_by(authority);
    let checked = check_crl(&crl).map_err(|error| error.to_string());
    let folder = Folder::new();
    folder.write("ca.pem", &authority.pem);
    folder.write("root.crl", &crl);
    // Both ways come to one answer.
    let opened = ClientAuth::open(folder.options(&["root.crl"]), at(0));
    assert_eq!(opened.is_ok(), checked.is_ok(), "{checked:?}");
    if let Ok((auth, _)) = opened {
        let _ = rejection(&auth.load(), &[authority.client(1)]);
    }
    checked
}

#[test]
fn a_list_by_hand_is_as_good_as_any() {
    let root = Authority::root("root");
    assert_eq!(judged(&root, |_| {}), Ok(1));
    assert_eq!(judged(&root, |draft| draft.revoked = Some(entry(&[1]))), Ok(1));
}

#[test]
fn a_list_of_revoked_that_is_there_and_empty_is_an_empty_list() {
    assert_eq!(judged(&Authority::root("root"), |draft| draft.revoked = Some(Vec::new())), Ok(1));
}

#[test]
fn a_list_without_an_end_is_refused() {
    let refusal = judged(&Authority::root("root"), |draft| draft.next_update = false).unwrap_err();
    assert!(refusal.starts_with("the list of CN=root has no nextUpdate, so nobody could tell"));
}

#[test]
fn lists_of_another_version_or_kind_are_refused_by_name() {
    let root = Authority::root("root");
    let first = judged(&root, |draft| {
        draft.version = None;
        draft.extensions = None;
    });
    let first = first.unwrap_err();
    assert!(first.contains("`crl_extensions` and `crlnumber`"), "version 1: {first}");
    assert!(judged(&root, |draft| draft.version = Some(2)).unwrap_err().contains("version"));
    assert!(judged(&root, |draft| draft.extensions = None).unwrap_err().contains("extensions"));
    let delta = |draft: &mut Draft| {
        let base = extension(27, &tlv(INTEGER, &[1]));
        draft.extensions = Some([crl_number(), base].concat());
    };
    assert!(judged(&root, delta).unwrap_err().contains("it is a delta list"));
}

#[test]
fn entries_that_are_none_are_refused_and_never_a_panic() {
    let root = Authority::root("root");
    let huge = vec![1; 100_000];
    let date = tlv(UTC_TIME, b"260101000000Z");
    let reason = |value: &[u8]| row(&[extension(21, value)]);
    let with = |extensions: Vec<u8>| row(&[tlv(INTEGER, &[1]), date.clone(), extensions]);
    let entries = [
        row(&[]),
        row(&[tlv(INTEGER, &[])]),
        row(&[tlv(INTEGER, &[1])]),
        row(&[date.clone(), tlv(INTEGER, &[1])]),
        row(&[tlv(INTEGER, &[1]), tlv(UTC_TIME, b"")]),
        tlv(INTEGER, &[1]),
        with(row(&[row(&[])])),
        with(reason(&[])),
        with(reason(&tlv(0x0a, &[]))),
        with(reason(&tlv(0x0a, &[7]))),
        with(tlv(SEQUENCE, &[0x30])),
        vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        vec![0x30, 0x80],
        vec![0x02],
    ];
    for entry in entries {
        let refusal = judged(&root, |draft| draft.revoked = Some(entry.clone()));
        assert!(refusal.is_err(), "{entry:x?}: {refusal:?}");
    }
    // What nobody's number is may stand there; it denies nobody.
    for serial in [&huge[..], &[], &[0], &[0xff], &[0x80; 40], &[0, 0, 1]] {
        let _ = judged(&root, |draft| draft.revoked = Some(entry(serial)));
    }
    let many: Vec<u8> = (0..40_000_u32).flat_map(|n| entry(&(n | 1 << 30).to_be_bytes())).collect();
    assert_eq!(judged(&root, |draft| draft.revoked = Some(many)), Ok(1));
}

/// A BIT STRING without its first byte once stopped webpki for good.
#[test]
fn distribution_points_that_are_odd_are_refused_and_never_a_panic() {
    let root = Authority::root("root");
    for (tag, content) in [
        (0x83, &[][..]),
        (0x83, &[0]),
        (0x83, &[9, 1]),
        (0x83, &[7, 0x80]),
        (0x81, &[]),
        (0x81, &[1]),
        (0x82, &[0xff, 0xff]),
        (0x84, &[0xff]),
        (0x85, &[0xff]),
        (0xa0, &[]),
        (0xa0, &[0xa0, 0x00]),
        (0xa0, &[0xa1, 0x00]),
        (0xa0, &[0xa0, 0x02, 0x86, 0x05]),
        (0x9f, &[0]),
    ] {
        let point = extension(28, &tlv(SEQUENCE, &tlv(tag, content)));
        let extensions = [crl_number(), point].concat();
        let found = judged(&root, |draft| draft.extensions = Some(extensions));
        // A name is looked at no closer than it takes to see that it is no name of a certificate.
        assert!(found.is_err() || tag == 0xa0, "{tag:x} {content:x?}");
    }
}

#[test]
fn numbers_that_are_odd_are_refused_and_never_a_panic() {
    let root = Authority::root("root");
    for number in [&[][..], &[0x80], &[1; 21], &[0, 1]] {
        let value = extension(20, &tlv(INTEGER, number));
        assert!(judged(&root, |draft| draft.extensions = Some(value)).is_err(), "{number:x?}");
    }
    let twice = [crl_number(), crl_number()].concat();
    let _ = judged(&root, |draft| draft.extensions = Some(twice));
    let none = extension(20, &[]);
    assert!(judged(&root, |draft| draft.extensions = Some(none)).is_err());
}
