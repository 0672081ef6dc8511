//! Every way in which a client is refused, by asking the verifier itself.

use portunus_certs::client_auth::{ChainBounds, ClientTrust, CrlDepth, Demand, Rejection};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, NameConstraints, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertRevocationListError, Error, InvalidMessage, PeerMisbehaved};

use super::authority::{Authority, valid, valid_list};
use super::{at, rejection, trust, trust_with, verdict};

/// The alert that rustls sends for it.
fn alert(trust: &ClientTrust, chain: &[CertificateDer<'_>]) -> AlertDescription {
    match verdict(trust, chain, at(0)).unwrap_err() {
        Error::InvalidCertificate(error) => error.into(),
        error => panic!("{error}"),
    }
}

#[test]
fn a_good_client_is_let_in_directly_and_behind_an_intermediate() {
    let root = Authority::root("root");
    let intermediate = root.intermediate("intermediate", 2);
    let trust = trust(&[&root], &[]);
    assert_eq!(rejection(&trust, &[root.client(10)]), None);
    assert_eq!(rejection(&trust, &[intermediate.client(11), intermediate.der.clone()]), None);
}

#[test]
fn a_certificate_is_mandatory_where_it_is_required_and_only_there() {
    let root = Authority::root("root");
    let required = trust(&[&root], &[]).verifier();
    let requested = trust_with(&[&root], &[], |options| options.demand = Demand::Request);
    let requested = requested.verifier();
    assert!(required.offer_client_auth() && required.client_auth_mandatory());
    assert!(requested.offer_client_auth() && !requested.client_auth_mandatory());
    assert_eq!(Rejection::of(&Error::NoCertificatesPresented), Some(Rejection::Missing));
}

#[test]
fn a_certificate_that_is_shown_has_to_be_good_even_where_it_is_only_requested() {
    let (root, stranger) = (Authority::root("root"), Authority::root("stranger"));
    let trust = trust_with(&[&root], &[], |options| options.demand = Demand::Request);
    assert_eq!(rejection(&trust, &[stranger.client(1)]), Some(Rejection::UnknownIssuer));
}

#[test]
fn dates_are_kept() {
    let root = Authority::root("root");
    let trust = trust(&[&root], &[]);
    let expired = root.client_with(1, |params| valid(params, -9, -1));
    let early = root.client_with(2, |params| valid(params, 1, 9));
    assert_eq!(rejection(&trust, std::slice::from_ref(&expired)), Some(Rejection::Expired));
    assert_eq!(alert(&trust, &[expired]), AlertDescription::CertificateExpired);
    assert_eq!(rejection(&trust, std::slice::from_ref(&early)), Some(Rejection::NotYetValid));
    assert_eq!(alert(&trust, &[early]), AlertDescription::CertificateExpired);
}

#[test]
fn what_people_make_of_openssl_without_extensions_is_refused_in_words() {
    let root = Authority::root("root");
    let trust = trust(&[&root], &[]);
    let words = |chain: &[CertificateDer<'_>]| {
        let error = verdict(&trust, chain, at(0)).unwrap_err();
        assert_eq!(Rejection::of(&error), Some(Rejection::Other));
        Rejection::words(&error).unwrap()
    };
    let authority = words(&[Authority::root("self-signed").der]);
    assert!(authority.contains("basicConstraints"), "{authority}");
    let mut first = root.client(1).to_vec();
    let version = first.windows(5).position(|field| field == [0xa0, 3, 2, 1, 2]).unwrap();
    first[version + 4] = 0;
    let first = words(&[first.into()]);
    assert!(first.contains("X.509 version 1"), "{first}");
}

#[test]
fn a_client_of_nobody_we_know_is_refused() {
    let (root, stranger) = (Authority::root("root"), Authority::root("stranger"));
    let trust = trust(&[&root], &[]);
    let chain = [stranger.client(1), stranger.der.clone()];
    assert_eq!(rejection(&trust, &chain), Some(Rejection::UnknownIssuer));
    assert_eq!(alert(&trust, &chain), AlertDescription::UnknownCA);
}

#[test]
fn a_namesake_of_the_authority_cannot_vouch() {
    let (root, namesake) = (Authority::root("root"), Authority::root("root"));
    let chain = [namesake.client(1)];
    let trust = trust(&[&root], &[]);
    assert_eq!(rejection(&trust, &chain), Some(Rejection::Signature));
    assert_eq!(alert(&trust, &chain), AlertDescription::DecryptError);
}

#[test]
fn a_certificate_for_servers_is_no_clients_certificate() {
    let root = Authority::root("root");
    let server = root.client_with(1, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let trust = trust(&[&root], &[]);
    assert_eq!(rejection(&trust, std::slice::from_ref(&server)), Some(Rejection::Purpose));
    assert_eq!(alert(&trust, &[server]), AlertDescription::UnsupportedCertificate);
}

#[test]
fn the_revoked_are_refused_and_the_others_let_in() {
    let root = Authority::root("root");
    let trust = trust(&[&root], &[root.crl(&[13])]);
    assert_eq!(rejection(&trust, &[root.client(13)]), Some(Rejection::Revoked));
    assert_eq!(alert(&trust, &[root.client(13)]), AlertDescription::CertificateRevoked);
    assert_eq!(rejection(&trust, &[root.client(12)]), None);
}

#[test]
fn whoever_no_list_speaks_of_is_refused_once_there_are_lists() {
    let (one, other) = (Authority::root("one"), Authority::root("other"));
    let trust = trust(&[&one, &other], &[one.crl(&[])]);
    assert_eq!(rejection(&trust, &[one.client(1)]), None);
    assert_eq!(rejection(&trust, &[other.client(1)]), Some(Rejection::UnknownRevocation));
    assert_eq!(alert(&trust, &[other.client(1)]), AlertDescription::UnknownCA);
}

#[test]
fn a_list_that_has_expired_denies_the_clients_that_it_is_about_and_nobody_else() {
    let (one, other) = (Authority::root("one"), Authority::root("other"));
    let stale = one.crl_with(&[], |params| valid_list(params, -9, -1));
    let trust = trust(&[&one, &other], &[stale, other.crl(&[])]);
    assert_eq!(rejection(&trust, &[one.client(1)]), Some(Rejection::StaleRevocation));
    assert_eq!(alert(&trust, &[one.client(1)]), AlertDescription::UnknownCA);
    assert_eq!(rejection(&trust, &[other.client(1)]), None);
}

#[test]
fn the_whole_chain_is_looked_up_or_only_the_leaf() {
    let root = Authority::root("root");
    let (good, bad) = (root.intermediate("good", 2), root.intermediate("bad", 3));
    let lists = [root.crl(&[3]), good.crl(&[]), bad.crl(&[])];
    let whole = trust(&[&root], &lists);
    let leaf_only = trust_with(&[&root], &lists, |options| options.crl_depth = CrlDepth::Leaf);
    let behind_good = [good.client(1), good.der.clone()];
    let behind_bad = [bad.client(1), bad.der.clone()];
    assert_eq!(rejection(&whole, &behind_good), None);
    assert_eq!(rejection(&whole, &behind_bad), Some(Rejection::Revoked));
    assert_eq!(rejection(&leaf_only, &behind_bad), None);

    let silent_root = trust(&[&root], &lists[1..]);
    assert_eq!(rejection(&silent_root, &behind_good), Some(Rejection::UnknownRevocation));
}

#[test]
fn of_two_lists_of_one_issuer_the_newest_counts_in_whatever_order_they_stand() {
    let root = Authority::root("root");
    let old = root.crl_with(&[], |params| valid_list(params, -9, 9));
    let new = root.crl(&[13]);
    for lists in [[old.clone(), new.clone()], [new, old]] {
        let trust = trust(&[&root], &lists);
        assert_eq!(rejection(&trust, &[root.client(13)]), Some(Rejection::Revoked));
    }
}

#[test]
fn a_list_that_the_issuer_may_not_sign_denies() {
    let root = Authority::root("root");
    let namesake = Authority::root("intermediate");
    let intermediate = root.intermediate("intermediate", 2);
    let trust = trust(&[&root], &[root.crl(&[]), namesake.crl(&[])]);
    let chain = [intermediate.client(1), intermediate.der.clone()];
    let error = verdict(&trust, &chain, at(0)).unwrap_err();
    assert_eq!(error, Error::InvalidCertRevocationList(CertRevocationListError::BadSignature));
    assert_eq!(Rejection::of(&error), Some(Rejection::UnknownRevocation));
}

#[test]
fn chains_end_at_their_bounds() {
    let root = Authority::root("root");
    let intermediate = root.intermediate("intermediate", 2);
    let chain = [intermediate.client(1), intermediate.der.clone()];
    let bytes = chain.iter().map(|der| der.len()).sum();
    let with = |certificates_max, bytes_max| {
        trust_with(&[&root], &[], |options| {
            options.bounds = ChainBounds { certificates_max, bytes_max };
        })
    };
    assert_eq!(rejection(&with(2, bytes), &chain), None);
    assert_eq!(rejection(&with(1, bytes), &chain), Some(Rejection::TooDeep));
    assert_eq!(rejection(&with(2, bytes - 1), &chain), Some(Rejection::TooLarge));
    assert_eq!(alert(&with(1, bytes), &chain), AlertDescription::CertificateUnknown);
    assert_eq!(alert(&with(2, bytes - 1), &chain), AlertDescription::CertificateUnknown);
}

/// Twelve hundred certificates that all could have issued each other, and no one that did.
#[test]
fn a_pathological_chain_ends_at_its_bound_before_a_signature_is_verified() {
    let root = Authority::root("root");
    let maze: Vec<_> = (0..1200).map(|_| root.der.clone()).collect();
    let chain: Vec<_> = [Authority::root("root").client(1)].into_iter().chain(maze).collect();
    assert_eq!(rejection(&trust(&[&root], &[]), &chain), Some(Rejection::TooDeep));
}

#[test]
fn constraints_that_do_not_hold_have_no_word_of_their_own() {
    let narrow = Authority::root_with("narrow", |params| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("example.org".into())];
        let excluded_subtrees = Vec::new();
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees });
    });
    let named = |name: &str| {
        let name = SanType::DnsName(name.try_into().unwrap());
        narrow.client_with(1, |params| params.subject_alt_names = vec![name])
    };
    let trust = trust(&[&narrow], &[]);
    assert_eq!(rejection(&trust, &[named("a.example.org")]), None);
    assert_eq!(rejection(&trust, &[named("a.example.net")]), Some(Rejection::Other));
    let authority = narrow.client_with(2, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    assert_eq!(rejection(&trust, &[authority]), Some(Rejection::Other));
}

#[test]
fn what_is_no_certificate_is_refused_for_its_encoding() {
    let root = Authority::root("root");
    let trust = trust(&[&root], &[]);
    let mut longer = root.client(1).to_vec();
    longer.push(0);
    for der in [Vec::new(), b"garbage".to_vec(), longer] {
        let chain = [CertificateDer::from(der)];
        assert_eq!(rejection(&trust, &chain), Some(Rejection::Encoding));
        assert_eq!(alert(&trust, &chain), AlertDescription::BadCertificate);
    }
}

#[test]
fn names_with_control_characters_are_refused_wherever_they_identify() {
    let root = Authority::root("root");
    let trust = trust(&[&root], &[]);
    let ia5 = |text: &str| text.try_into().unwrap();
    for (text, plain) in
        [("a\0b", false), ("a\r\nb", false), ("a\u{7f}b", false), ("a\tb", false), ("ab", true)]
    {
        let name = |kind: DnType| {
            root.client_with(1, |params| {
                params.distinguished_name.push(kind, DnValue::Utf8String(text.into()));
            })
        };
        let alternative =
            |name: SanType| root.client_with(1, |params| params.subject_alt_names = vec![name]);
        let clients = [
            name(DnType::CommonName),
            name(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1])),
            alternative(SanType::DnsName(ia5(text))),
            alternative(SanType::Rfc822Name(ia5(text))),
            alternative(SanType::URI(ia5(text))),
        ];
        let expected = (!plain).then_some(Rejection::Encoding);
        for (index, client) in clients.iter().enumerate() {
            let found = rejection(&trust, std::slice::from_ref(client));
            assert_eq!(found, expected, "{text:?} in place {index}");
        }
    }
}

#[test]
fn a_postal_address_may_have_lines() {
    let root = Authority::root("root");
    let client = root.client_with(1, |params| {
        let address = DnValue::Utf8String("Street 1\nTown".into());
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 16]), address);
    });
    assert_eq!(rejection(&trust(&[&root], &[]), &[client]), None);
}

#[test]
fn alternative_names_that_cannot_be_read_are_refused() {
    let root = Authority::root("root");
    let trust = trust(&[&root], &[]);
    // SEQUENCE { dNSName of a byte that is no text }, and a SEQUENCE that is cut off.
    for content in [&[0x30, 0x03, 0x82, 0x01, 0xff][..], &[0x30, 0x05, 0x82, 0x04, b'a'][..]] {
        let client = root.client_with(1, |params: &mut CertificateParams| {
            let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content.to_vec());
            params.custom_extensions.push(extension);
        });
        assert_eq!(rejection(&trust, &[client]), Some(Rejection::Encoding), "{content:x?}");
    }
}

#[test]
fn clients_are_told_of_few_authorities_and_of_none_if_they_are_many() {
    let few: Vec<_> = (0..3).map(|index| Authority::root(&format!("root {index}"))).collect();
    let few: Vec<_> = few.iter().collect();
    assert_eq!(trust(&few, &[]).verifier().root_hint_subjects().len(), 3);

    let long = "x".repeat(60);
    let many: Vec<_> = (0..128).map(|i| Authority::root(&format!("{i} {long}"))).collect();
    let many: Vec<_> = many.iter().collect();
    let trust = trust(&many, &[]);
    assert_eq!(trust.authorities().len(), 128);
    assert!(trust.verifier().root_hint_subjects().is_empty());
    assert_eq!(rejection(&trust, &[many.last().unwrap().client(1)]), None);
}

#[test]
fn only_errors_about_the_clients_certificate_are_rejections() {
    let large = Error::InvalidMessage(InvalidMessage::CertificatePayloadTooLarge);
    assert_eq!(Rejection::of(&large), Some(Rejection::TooLarge));
    for error in [
        Error::HandshakeNotComplete,
        Error::DecryptError,
        Error::InvalidMessage(InvalidMessage::MessageTooShort),
        Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments),
        Error::General(String::new()),
    ] {
        assert_eq!(Rejection::of(&error), None, "{error}");
    }
}
