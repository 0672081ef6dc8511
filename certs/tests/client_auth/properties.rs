//! What holds for every policy, and for every way in which a file can be damaged.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use portunus_certs::client_auth::{
    ChainBounds, ClientAuth, ClientAuthOptions, CrlDepth, Demand, check_bundle, check_crl,
};
use proptest::prelude::*;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;

use super::authority::Authority;
use super::{Folder, at, bundle, pem, rejection};

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
static AUTHORITIES: LazyLock<Vec<Authority>> =
    LazyLock::new(|| (0..4).map(|index| Authority::root(&format!("root {index}"))).collect());
static LISTS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| (0..3).map(|index| AUTHORITIES[index].crl(&[index as u64])).collect());

static REVOKED: LazyLock<CertificateDer<'static>> = LazyLock::new(|| AUTHORITIES[0].client(2));
static CLIENT: LazyLock<CertificateDer<'static>> = LazyLock::new(|| AUTHORITIES[0].client(4));

/// Everything that a digest has to tell apart. The sets are bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Policy {
    require: bool,
    leaf_only: bool,
    certificates_max: usize,
    bytes_max: usize,
    authorities: u8,
    lists: u8,
}

fn policies() -> impl Strategy<Value = Policy> {
    (any::<bool>(), any::<bool>(), 1..3_usize, 1..3_usize, 1..16_u8, 0..8_u8).prop_map(|fields| {
        let (require, leaf_only, certificates_max, bytes_max, authorities, lists) = fields;
        Policy { require, leaf_only, certificates_max, bytes_max, authorities, lists }
    })
}

impl Policy {
    /// Opens it from files in which everything stands in `reversed` order or not.
    fn digest(&self, reversed: bool) -> [u8; 32] {
        let folder = Folder::new();
        let mut authorities: Vec<_> = chosen(&AUTHORITIES, self.authorities).collect();
        let mut lists: Vec<_> = chosen(&LISTS, self.lists).collect();
        if reversed {
            authorities.reverse();
            lists.reverse();
        }
        folder.write("ca.pem", bundle(&authorities));
        let mut crls = Vec::new();
        for (index, list) in lists.iter().enumerate() {
            folder.write(&index.to_string(), list);
            crls.push(folder.path(&index.to_string()));
        }
        let options = ClientAuthOptions {
            demand: if self.require { Demand::Require } else { Demand::Request },
            ca: folder.path("ca.pem"),
            crls,
            crl_depth: if self.leaf_only { CrlDepth::Leaf } else { CrlDepth::Chain },
            bounds: ChainBounds {
                certificates_max: self.certificates_max,
                bytes_max: self.bytes_max,
            },
            provider: Arc::clone(&PROVIDER),
        };
        *ClientAuth::open(options, at(0)).unwrap().0.load().digest()
    }
}

fn chosen<T>(all: &[T], bits: u8) -> impl Iterator<Item = &T> {
    all.iter().enumerate().filter(move |(index, _)| bits >> index & 1 == 1).map(|(_, one)| one)
}

/// One way to damage bytes.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Drop(prop::sample::Index, usize),
    Double(prop::sample::Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<prop::sample::Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        (any::<prop::sample::Index>(), 1..80_usize).prop_map(|(at, n)| Damage::Drop(at, n)),
        (any::<prop::sample::Index>(), 1..80_usize).prop_map(|(at, n)| Damage::Double(at, n)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match damage {
            Damage::Set(at, byte) => bytes[at.index(length)] = *byte,
            Damage::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Drop(at, count) => {
                let at = at.index(length);
                bytes.drain(at..length.min(at + count));
            }
            Damage::Double(at, count) => {
                let at = at.index(length);
                let part = bytes[at..length.min(at + count)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    prop::collection::vec(damage(), 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn two_policies_have_one_digest_if_they_are_one(one in policies(), other in policies()) {
        prop_assert_eq!(one.digest(false) == other.digest(true), one == other);
        prop_assert_eq!(one.digest(false), one.digest(true));
    }

    #[test]
    fn a_change_of_any_one_field_changes_the_digest(one in policies(), field in 0..6_usize) {
        let mut other = one;
        match field {
            0 => other.require = !one.require,
            1 => other.leaf_only = !one.leaf_only,
            2 => other.certificates_max += 1,
            3 => other.bytes_max += 1,
            4 => other.authorities = one.authorities % 15 + 1,
            _ => other.lists = (one.lists + 1) % 8,
        }
        prop_assert_ne!(one.digest(false), other.digest(false));
    }

    /// Damage to the text, and damage to the certificate within the text.
    #[test]
    fn a_damaged_bundle_never_trusts_another_key(damages in damages(), within: bool) {
        let folder = Folder::new();
        let good = bundle(&AUTHORITIES.iter().collect::<Vec<_>>());
        folder.write("ca.pem", &good);
        let (auth, _) = folder.open(&[]);
        let known: HashSet<_> =
            auth.load().authorities().iter().map(|facts| facts.key_fingerprint).collect();
        let bad = if within {
            let first = damaged(AUTHORITIES[0].der.to_vec(), &damages);
            format!("{}{}", pem("CERTIFICATE", &first), AUTHORITIES[1].pem).into_bytes()
        } else {
            damaged(good.into_bytes(), &damages)
        };
        let checked = check_bundle(&bad, &PROVIDER);
        folder.write("ca.pem", &bad);
        let report = auth.reload(at(0));
        prop_assert_eq!(checked.is_ok(), report.failures.is_empty());
        let trust = auth.load();
        prop_assert!(!trust.authorities().is_empty());
        prop_assert!(trust.verifier().client_auth_mandatory());
        let mut trusted = trust.authorities().iter();
        prop_assert!(trusted.all(|facts| known.contains(&facts.key_fingerprint)));
    }

    /// Whoever is revoked stays so, and nobody new is.
    #[test]
    fn a_damaged_list_never_lets_in_the_revoked(damages in damages(), text: bool) {
        let folder = Folder::new();
        folder.write("ca.pem", &AUTHORITIES[0].pem);
        let good = AUTHORITIES[0].crl(&[1, 2, 3]);
        let good = if text { pem("X509 CRL", &good).into_bytes() } else { good };
        folder.write("root.crl", &good);
        let (auth, _) = folder.open(&["root.crl"]);
        let bad = damaged(good, &damages);
        let _ = check_crl(&bad);
        folder.write("root.crl", bad);
        let report = auth.reload(at(0));
        let trust = auth.load();
        prop_assert!(rejection(&trust, std::slice::from_ref(&*REVOKED)).is_some());
        if damages.len() == 1 {
            prop_assert!(!report.changed);
            prop_assert_eq!(rejection(&trust, std::slice::from_ref(&*CLIENT)), None);
        }
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..300), tag: bool) {
        let der = if tag { [&[0x30, 0x82, 0x01, 0x00], &bytes[..]].concat() } else { bytes };
        let _ = check_crl(&der);
        let _ = check_crl(pem("X509 CRL", &der).as_bytes());
        let _ = check_bundle(&der, &PROVIDER);
        let _ = check_bundle(pem("CERTIFICATE", &der).as_bytes(), &PROVIDER);
    }
}
