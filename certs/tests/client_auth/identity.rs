//! What is told about a client that was let in.

use portunus_certs::client_auth::ClientIdentity;
use proptest::prelude::*;
use rcgen::{DistinguishedName, DnType, DnValue, SerialNumber};
use rustls::pki_types::CertificateDer;

use super::authority::{Authority, openssl};

fn identity(chain: &[CertificateDer<'_>]) -> ClientIdentity {
    ClientIdentity::new(chain).unwrap()
}

fn named(parts: &[(DnType, DnValue)]) -> CertificateDer<'static> {
    Authority::root("root").client_with(1, |params| {
        params.distinguished_name = DistinguishedName::new();
        parts.iter().for_each(|(kind, value)| {
            params.distinguished_name.push(kind.clone(), value.clone());
        });
    })
}

fn common_name(text: &str) -> String {
    let leaf = named(&[(DnType::CommonName, DnValue::Utf8String(text.into()))]);
    identity(&[leaf]).subject().to_owned()
}

#[test]
fn without_a_certificate_that_can_be_read_there_is_no_identity() {
    assert!(ClientIdentity::new(&[]).is_none());
    assert!(ClientIdentity::new(&[CertificateDer::from(b"garbage".to_vec())]).is_none());
    let mut longer = Authority::root("root").client(1).to_vec();
    longer.push(0);
    assert!(ClientIdentity::new(&[CertificateDer::from(longer)]).is_none());
}

#[test]
fn the_facts_are_those_that_openssl_shows() {
    let root = Authority::root("root");
    for serial in [&[0x01][..], &[0x7f, 0], &[0xff, 0xee, 0xdd], &[0x0a; 20]] {
        let leaf = root.client_with(1, |params| {
            params.serial_number = Some(SerialNumber::from_slice(serial));
            let email = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
            let title = DnType::CustomDnType(vec![2, 5, 4, 12]);
            params
                .distinguished_name
                .push(DnType::OrganizationName, "Müller, \"Söhne\" + Co; <x>\\#");
            params.distinguished_name.push(DnType::OrganizationalUnitName, "#1");
            params.distinguished_name.push(DnType::LocalityName, " a=b ");
            params.distinguished_name.push(DnType::CountryName, "DE");
            params.distinguished_name.push(DnType::StateOrProvinceName, "line\r\nline");
            params.distinguished_name.push(email, DnValue::Ia5String("a@b".try_into().unwrap()));
            params.distinguished_name.push(title, DnValue::BmpString("Prof".try_into().unwrap()));
        });
        let identity = identity(std::slice::from_ref(&leaf));
        let shown = |arguments: &[&str]| {
            let fixed = ["x509", "-inform", "der", "-noout"];
            let text = openssl(&[&fixed, arguments].concat(), &leaf);
            text.trim_end_matches('\n').split_once('=').unwrap().1.to_owned()
        };
        // Without ESC_MSB, which escapes all that is not ASCII.
        let subject = shown(&["-subject", "-nameopt", "RFC2253,-esc_msb"]);
        assert_eq!(identity.subject(), subject);
        assert_eq!(identity.serial(), shown(&["-serial"]).to_lowercase());
        let fingerprint = shown(&["-fingerprint", "-sha256"]).replace(':', "").to_lowercase();
        assert_eq!(identity.fingerprint(), fingerprint);
        assert_eq!((identity.leaf(), identity.chain().len()), (&leaf[..], 1));
    }
}

#[test]
fn names_of_every_kind_of_string_are_read() {
    let kinds = [
        DnValue::Utf8String("Name".into()),
        DnValue::PrintableString("Name".try_into().unwrap()),
        DnValue::Ia5String("Name".try_into().unwrap()),
        DnValue::TeletexString("Name".try_into().unwrap()),
        DnValue::BmpString("Name".try_into().unwrap()),
        DnValue::UniversalString("Name".try_into().unwrap()),
    ];
    for kind in kinds {
        let leaf = named(&[(DnType::CommonName, kind.clone())]);
        assert_eq!(identity(&[leaf]).subject(), "CN=Name", "{kind:?}");
    }
}

#[test]
fn a_kind_of_name_without_a_short_one_is_shown_by_its_number() {
    let kind = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 1466, 0]);
    let leaf = named(&[(kind, DnValue::Utf8String("ab".into()))]);
    assert_eq!(identity(&[leaf]).subject(), "1.3.6.1.4.1.1466.0=#0c026162");
}

#[test]
fn what_would_act_on_a_terminal_or_a_log_is_never_raw() {
    assert_eq!(common_name("a\u{1b}[31mb"), r"CN=a\1B[31mb");
    assert_eq!(common_name("a\u{85}\u{2028}b"), r"CN=a\C2\85\E2\80\A8b");
    assert_eq!(common_name("a\u{202e}b\u{2066}\u{feff}"), r"CN=a\E2\80\AEb\E2\81\A6\EF\BB\BF");
    assert_eq!(common_name("a\0b"), r"CN=a\00b");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Escaped, every name fits into one line of a log, and two names never read alike.
    #[test]
    fn the_text_of_a_name_can_be_read_back(name in "[\\PC\0-\u{1f}]{1,20}") {
        let text = common_name(&name);
        prop_assert!(!text.chars().any(char::is_control));
        let escaped = text.strip_prefix("CN=").unwrap().as_bytes();
        let (mut bytes, mut rest) = (Vec::new(), escaped);
        while let [first, behind @ ..] = rest {
            rest = match behind {
                [special, behind @ ..] if *first == b'\\' && b" \"#+,;<>\\".contains(special) => {
                    bytes.push(*special);
                    behind
                }
                [high, low, behind @ ..] if *first == b'\\' => {
                    let digits = [*high, *low];
                    let digits = std::str::from_utf8(&digits).unwrap();
                    bytes.push(u8::from_str_radix(digits, 16).unwrap());
                    behind
                }
                behind => {
                    bytes.push(*first);
                    behind
                }
            };
        }
        prop_assert_eq!(String::from_utf8(bytes).unwrap(), name);
    }

    /// Whatever a client sends behind its certificate, it is the same client.
    #[test]
    fn the_identity_is_a_function_of_the_leaf(
        behind in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
    ) {
        let leaf = named(&[(DnType::CommonName, "somebody".into())]);
        let mut chain = vec![leaf.clone()];
        chain.extend(behind.into_iter().map(CertificateDer::from));
        let (alone, among) = (identity(&[leaf]), identity(&chain));
        prop_assert_eq!(alone.fingerprint(), among.fingerprint());
        prop_assert_eq!(alone.subject(), among.subject());
        prop_assert_eq!(alone.serial(), among.serial());
        prop_assert_eq!(alone.leaf(), among.leaf());
        prop_assert_eq!(among.chain(), &chain);
    }
}
