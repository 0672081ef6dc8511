//! Every flaw, in both versions, where a certificate is required and where it is requested, with
//! and without a session from elsewhere: OpenSSL is told which one, and the backend hears nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use portunus_tests::foreign::s_client;
use portunus_tests::{
    Backend, ClientAuthority, Credential, Flaw, Proxy, authority, greeter, tls, write,
};
use tokio::task::JoinSet;

use super::{GREETING, Outcome, caller, outcome};

const OPEN: &str = "open.example";
const SITES: [&str; 2] = ["require.example", "request.example"];
const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];
const FAILURES: &str = "portunus_handshake_failures_total";

/// As many calls at once as keep two processors busy.
const AT_ONCE: usize = 6;

/// A client and what it is told; no alert means that it is let in.
struct Case {
    name: &'static str,
    credential: Option<Credential>,
    told: Option<(u8, &'static str)>,
}

struct Setup {
    proxy: Proxy,
    guarded: Backend,
    cases: Vec<Case>,
}

/// The leaf and `others` further certificates, which nobody needs.
fn lengthened(credential: &Credential, others: usize) -> Credential {
    // No two alike: OpenSSL sends each once.
    let other = |_| ClientAuthority::new("padding").pem();
    let chain = (0..others).map(other).fold(credential.chain.clone(), |chain, one| chain + &one);
    Credential { chain, ..credential.clone() }
}

/// Every client, and the revocation lists.
fn cases(ours: &ClientAuthority, unlisted: &ClientAuthority) -> (Vec<Case>, String) {
    let below = ours.intermediate("Portunus suite, clients, below");
    let good = ours.issue("good", Flaw::Nothing);
    let revoked = ours.issue("revoked", Flaw::Nothing);
    let stranger = ClientAuthority::new("Nobody").issue("stranger", Flaw::Nothing);
    // The name is right, the key is not.
    let impostor = ClientAuthority::new(OURS).issue("impostor", Flaw::Nothing);
    let flawed = |flaw| Some(ours.issue("flawed", flaw));
    let case = |name, credential, told| Case { name, credential, told };
    let lists = ours.crl(&[&revoked]) + &below.crl(&[]);
    let cases = vec![
        case("below", Some(below.issue("below", Flaw::Nothing)), None),
        case("long", Some(lengthened(&good, 7)), None),
        case("bulky", Some(ours.issue_padded("bulky", 30 * 1024)), None),
        case("good", Some(good.clone()), None),
        case("none", None, Some((116, "client_cert_missing"))),
        case("expired", flawed(Flaw::Expired), Some((45, "client_cert_expired"))),
        case("early", flawed(Flaw::NotYetValid), Some((45, "client_cert_not_yet_valid"))),
        case("revoked", Some(revoked), Some((44, "client_cert_revoked"))),
        case("stranger", Some(stranger), Some((48, "client_cert_unknown_issuer"))),
        case("impostor", Some(impostor), Some((51, "client_cert_signature"))),
        case("server", flawed(Flaw::ServerOnly), Some((43, "client_cert_purpose"))),
        case("control", flawed(Flaw::ControlCharacter), Some((42, "client_cert_encoding"))),
        case(
            "unlisted",
            Some(unlisted.issue("unlisted", Flaw::Nothing)),
            Some((48, "client_cert_unknown_revocation")),
        ),
        case("deep", Some(lengthened(&good, 8)), Some((46, "client_cert_too_deep"))),
        case(
            "large",
            Some(ours.issue_padded("large", 33 * 1024)),
            Some((46, "client_cert_too_large")),
        ),
    ];
    (cases, lists)
}

async fn setup() -> Setup {
    let ours = ClientAuthority::new(OURS);
    let unlisted = ClientAuthority::new("Portunus suite, clients without a list");
    let (cases, lists) = cases(&ours, &unlisted);
    let keys = |mode| {
        format!("client_auth = {{ mode = {mode:?}, ca = \"clients.pem\", crl = [\"lists.pem\"] }}")
    };
    let listener = tls(OPEN).site_with(SITES[0], "guarded", &keys("require")).site_with(
        SITES[1],
        "guarded",
        &keys("request"),
    );
    let guarded = greeter(GREETING);
    let proxy = Proxy::builder()
        .listener(listener)
        .certificate("all", &authority().issue(&[OPEN, SITES[0], SITES[1]]))
        .file("clients.pem", &(ours.pem() + &unlisted.pem()))
        .file("lists.pem", &lists)
        .backend(greeter(GREETING))
        .backend_named("guarded", &guarded)
        .start()
        .await;
    Setup { proxy, guarded, cases }
}

/// One call of one client at one site.
#[derive(Clone, Copy, Debug)]
struct Call {
    case: usize,
    site: &'static str,
    version: &'static str,
    /// Whether a session is offered that the open site gave.
    session: bool,
}

impl Call {
    fn all(cases: usize) -> Vec<Self> {
        let mut calls = Vec::new();
        for case in 0..cases {
            for site in SITES {
                for version in VERSIONS {
                    let call = |session| Self { case, site, version, session };
                    calls.extend([call(false), call(true)]);
                }
            }
        }
        calls
    }

    fn expected(self, setup: &Setup) -> Option<(u8, &'static str)> {
        let case = &setup.cases[self.case];
        let may_be_nobody = self.site == SITES[1] && case.credential.is_none();
        case.told.filter(|_| !may_be_nobody)
    }

    async fn outcome(self, number: usize, setup: &Setup) -> Outcome {
        let Setup { proxy, cases, .. } = setup;
        let credential = cases[self.case].credential.as_ref();
        let client = caller(proxy, self.site, credential).expect("it was found before");
        let mut client = client.arg(self.version);
        if self.session {
            client = client.arg("-sess_in").arg(session(proxy, self.version, number).await);
        }
        outcome(client).await
    }
}

/// A session of the open site, in a file; a ticket is good for one use, so each call has its own.
async fn session(proxy: &Proxy, version: &str, number: usize) -> PathBuf {
    let file = proxy.folder().join(format!("session-{number}"));
    let client = s_client(proxy, OPEN).expect("it was found before");
    let got = outcome(client.arg(version).arg("-sess_out").arg(&file)).await;
    assert_eq!(got, Outcome::LetIn { resumed: false });
    assert!(file.exists(), "the open site gives sessions");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flaw_gets_its_alert_and_its_count_and_nothing_reaches_the_backend() {
    let setup = Arc::new(setup().await);
    if s_client(&setup.proxy, OPEN).is_none() {
        return;
    }
    let (mut let_in, mut told) = (0, BTreeMap::new());
    let mut running = JoinSet::new();
    let mut calls = Call::all(setup.cases.len()).into_iter().enumerate();
    loop {
        while running.len() < AT_ONCE
            && let Some((number, call)) = calls.next()
        {
            let setup = Arc::clone(&setup);
            running.spawn(async move { (call, call.outcome(number, &setup).await) });
        }
        let Some(done) = running.join_next().await else { break };
        let (call, outcome) = done.unwrap();
        let name = setup.cases[call.case].name;
        match call.expected(&setup) {
            None => {
                assert_eq!(outcome, Outcome::LetIn { resumed: false }, "{name}: {call:?}");
                let_in += 1;
            }
            Some((alert, label)) => {
                assert_eq!(outcome, Outcome::Alert(alert), "{name}: {call:?}");
                *told.entry(label).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(setup.guarded.connections(), let_in, "a backend heard of a client that was refused");
    let refused: usize = told.values().sum();
    setup.proxy.wait_for_metric(FAILURES, &[], |count| count >= refused as f64).await;
    for (label, count) in told {
        let counted = setup.proxy.metric(FAILURES, &[("reason", label)]).await;
        assert_eq!(counted, f64::from(count as u32), "{label}");
    }
    assert_eq!(setup.proxy.metric(FAILURES, &[]).await, refused as f64, "another reason");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_authenticates_gives_no_session_to_anybody() {
    let Setup { proxy, cases, .. } = setup().await;
    let session = proxy.folder().join("session");
    let gives = async |site: &str, version: &str, credential| {
        let client = caller(&proxy, site, credential)?.arg(version).arg("-sess_out").arg(&session);
        let got = outcome(client).await;
        assert_eq!(got, Outcome::LetIn { resumed: false }, "{site} {version}");
        let given = session.exists();
        let _ = std::fs::remove_file(&session);
        Some(given)
    };
    let good = cases.iter().find(|case| case.name == "good").unwrap();
    for version in VERSIONS {
        let Some(given) = gives(OPEN, version, None).await else { return };
        assert!(given, "{version}: the open site gives sessions");
        for (site, credential) in [
            (SITES[0], good.credential.as_ref()),
            (SITES[1], good.credential.as_ref()),
            (SITES[1], None),
        ] {
            let given = gives(site, version, credential).await;
            assert_eq!(given, Some(false), "{site} gives {version} sessions");
        }
    }
    assert_eq!(proxy.metric("portunus_resumption_lookups_total", &[("result", "hit")]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_1_2_client_that_cannot_bind_its_handshake_is_not_authenticated() {
    let Setup { proxy, cases, .. } = setup().await;
    let good = cases.iter().find(|case| case.name == "good").unwrap();
    let without = proxy.folder().join("openssl.cnf");
    write(
        &without,
        "openssl_conf = all\n[all]\nssl_conf = tls\n[tls]\nsystem_default = each\n\
                     [each]\nOptions = -ExtendedMasterSecret\n",
    );
    for (site, let_in) in [(OPEN, true), (SITES[0], false), (SITES[1], false)] {
        let Some(client) = caller(&proxy, site, good.credential.as_ref()) else { return };
        let client = client.arg("-tls1_2").env("OPENSSL_CONF", &without);
        // RFC 7627 §5.2: what is proved in such a handshake could be proved to somebody else.
        let expected = if let_in { Outcome::LetIn { resumed: false } } else { Outcome::Alert(40) };
        assert_eq!(outcome(client).await, expected, "{site}");
    }
}

const OURS: &str = "Portunus suite, clients";
