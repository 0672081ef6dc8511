//! Bundles and lists that change while the proxy runs: the good ones count, and a bad one leaves
//! the last good one in force. In no moment is anybody let in who was not before.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use portunus_tests::wait::eventually;
use portunus_tests::{
    Client, ClientAuthority, Credential, Flaw, Line, Proxy, authority, greeter, now, tls, write,
    write_and_rename,
};

use super::{GREETING, is_let_in};

const NAME: &str = "app.example";

/// A proxy that lets the clients of one authority in.
struct Guarded {
    proxy: Proxy,
    clients: ClientAuthority,
    own: Credential,
    stranger: Credential,
    /// The stranger's authority, which is what the system trusts.
    _system: tempfile::NamedTempFile,
}

impl Guarded {
    async fn start() -> Self {
        let clients = ClientAuthority::new("clients");
        let own = clients.issue("own", Flaw::Nothing);
        let strangers = ClientAuthority::new("strangers");
        let system = tempfile::NamedTempFile::new().unwrap();
        fs::write(system.path(), strangers.pem()).unwrap();
        let trusted = format!("SSL_CERT_FILE={}", system.path().display());
        let keys = "client_auth = { ca = \"clients.pem\", crl = [\"list.pem\"] }";
        let proxy = Proxy::builder()
            .listener(tls("open.example").site_with(NAME, "app", keys))
            .certificate("app", &authority().issue(&[NAME, "open.example"]))
            .file("clients.pem", &clients.pem())
            .file("list.pem", &clients.crl(&[]))
            .backend(greeter(GREETING))
            .set("certificates.poll_interval", "\"1h\"")
            .under(&["env", &trusted])
            .start()
            .await;
        let stranger = strangers.issue("stranger", Flaw::Nothing);
        Self { proxy, clients, own, stranger, _system: system }
    }

    fn client(&self, credential: &Credential) -> Client {
        self.proxy.client(NAME).certificate(credential)
    }

    /// Its own are let in, and nobody else.
    async fn stands(&self, what: &str) {
        assert!(is_let_in(&self.client(&self.own)).await, "{what}: a client of ours is not let in");
        assert!(!is_let_in(&self.client(&self.stranger)).await, "{what}: a stranger is let in");
        assert!(!is_let_in(&self.proxy.client(NAME)).await, "{what}: anybody is let in");
    }

    async fn becomes(&self, credential: &Credential, wanted: bool) {
        let client = self.client(credential);
        let what = format!("a client to be let in: {wanted}");
        eventually(&what, async || (is_let_in(&client).await == wanted).then_some(())).await;
    }

    /// Every way in which a file can be bad, with `good` in between; each is said and changes
    /// nothing.
    async fn withstands(&self, file: &str, good: &str, bad: &[(&str, String)]) {
        let path = self.proxy.folder().join(file);
        let gone: Option<&String> = None;
        let texts = bad.iter().map(|(what, text)| (*what, Some(text)));
        for (what, text) in texts.chain([("gone", gone)]) {
            let before = self.complaints(file);
            match text {
                Some(text) => write(&path, text),
                None => fs::remove_file(&path).unwrap(),
            }
            self.complains(file, before).await;
            self.stands(&format!("{file}, {what}")).await;
            write_and_rename(&path, good);
            self.proxy.reload().await;
            self.stands(&format!("{file}, repaired after {what}")).await;
        }
        let before = self.complaints(file);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        self.complains(file, before).await;
        self.stands(&format!("{file}, a folder")).await;
        fs::remove_dir(&path).unwrap();
        write(&path, good);
        self.proxy.reload().await;
        self.stands(&format!("{file}, repaired")).await;
    }

    fn complaints(&self, file: &str) -> usize {
        self.proxy.process().lines().iter().filter(|line| is_complaint(line, file)).count()
    }

    async fn complains(&self, file: &str, before: usize) {
        let more = async || (self.complaints(file) > before).then_some(());
        eventually(&format!("a word on {file}"), more).await;
    }
}

fn is_complaint(line: &Line, file: &str) -> bool {
    ["WARN", "ERROR"].contains(&line.field("level").as_str()) && line.text().contains(file)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_goes_bad_leaves_the_last_good_one_in_force() {
    let guarded = Guarded::start().await;
    guarded.stands("at the start").await;
    let good = guarded.clients.pem();
    let bad = [
        ("empty", String::new()),
        ("half", good[..good.len() / 2].to_owned()),
        ("words", "everybody is welcome\n".to_owned()),
        ("a stranger's and a half", {
            let stranger = ClientAuthority::new("strangers").pem();
            format!("{stranger}{}", &good[..good.len() / 2])
        }),
    ];
    guarded.withstands("clients.pem", &good, &bad).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_goes_bad_leaves_the_last_good_one_in_force() {
    let guarded = Guarded::start().await;
    let revoked = guarded.clients.issue("revoked", Flaw::Nothing);
    let good = guarded.clients.crl(&[&revoked]);
    write_and_rename(&guarded.proxy.folder().join("list.pem"), &good);
    guarded.becomes(&revoked, false).await;
    let bad = [
        ("empty", String::new()),
        ("half", good[..good.len() / 2].to_owned()),
        ("words", "nobody is revoked\n".to_owned()),
        ("a bundle", guarded.clients.pem()),
    ];
    guarded.withstands("list.pem", &good, &bad).await;
    assert!(!is_let_in(&guarded.client(&revoked)).await, "a revoked client is let in");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_bundle_is_in_force_for_the_next_connection() {
    let guarded = Guarded::start().await;
    let others = ClientAuthority::new("others");
    let other = others.issue("other", Flaw::Nothing);
    let folder = guarded.proxy.folder();
    // The list first: a bundle whose clients have no list lets none of them in.
    let both = guarded.clients.crl(&[]) + &others.crl(&[]);
    write_and_rename(&folder.join("list.pem"), &both);
    guarded.proxy.reload().await;
    write_and_rename(&folder.join("clients.pem"), &others.pem());
    guarded.becomes(&other, true).await;
    assert!(!is_let_in(&guarded.client(&guarded.own)).await, "the old authority still counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_refused_in_two_seconds_and_let_in_again_when_that_is_taken_back() {
    let guarded = Guarded::start().await;
    let list = guarded.proxy.folder().join("list.pem");
    let mut took = Vec::new();
    for _ in 0..3 {
        took.push(revoke(&guarded, &list, &[&guarded.own], false).await);
        took.push(revoke(&guarded, &list, &[], true).await);
    }
    // A busy machine may take longer now and then.
    let in_time = took.iter().filter(|took| **took < Duration::from_secs(2)).count();
    assert!(in_time >= took.len() / 2, "until it was in force: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_a_bundle_that_change_together_are_both_in_force() {
    let guarded = Guarded::start().await;
    let folder = guarded.proxy.folder();
    for _ in 0..8 {
        let others = ClientAuthority::new("others");
        let other = others.issue("other", Flaw::Nothing);
        let renewed = authority().issue(&[NAME, "open.example"]);
        write_and_rename(&folder.join("list.pem"), &(guarded.clients.crl(&[]) + &others.crl(&[])));
        write_and_rename(&folder.join("clients.pem"), &(guarded.clients.pem() + &others.pem()));
        write_and_rename(&folder.join("certs.d/app.pem"), &renewed.pem());
        guarded.becomes(&other, true).await;
        eventually("the renewed certificate", async || {
            let shown = guarded.proxy.client("open.example").connect().await.leaf();
            (shown == renewed.leaf).then_some(())
        })
        .await;
    }
}

/// Revokes these and nobody else, and returns how long it took until that was in force.
async fn revoke(guarded: &Guarded, list: &Path, revoked: &[&Credential], wanted: bool) -> Duration {
    write_and_rename(list, &guarded.clients.crl(revoked));
    let wrote = Instant::now();
    guarded.becomes(&guarded.own, wanted).await;
    wrote.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_past_its_time_lets_nobody_in() {
    let guarded = Guarded::start().await;
    let end = now() + 3;
    let short = guarded.clients.crl_between(&[], now() - 1_800, end);
    write_and_rename(&guarded.proxy.folder().join("list.pem"), &short);
    guarded.proxy.reload().await;
    guarded.becomes(&guarded.own, false).await;
    assert!(now() >= end, "refused before the time");
    let stale = [("reason", "client_cert_stale_revocation")];
    let failures = "portunus_handshake_failures_total";
    guarded.proxy.wait_for_metric(failures, &stale, |count| count >= 1.0).await;
    // A new one makes it good.
    let long = guarded.clients.crl_between(&[], now() - 60, now() + 3_600);
    write_and_rename(&guarded.proxy.folder().join("list.pem"), &long);
    guarded.becomes(&guarded.own, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_list_does_not_take_back_what_a_newer_one_has_revoked() {
    let guarded = Guarded::start().await;
    let path = guarded.proxy.folder().join("list.pem");
    let old = guarded.clients.crl_between(&[], now() - 1_800, now() + 3_600);
    let other = guarded.clients.issue("other", Flaw::Nothing);
    let new = guarded.clients.crl_between(&[&other], now() - 60, now() + 3_600);
    write_and_rename(&path, &new);
    guarded.becomes(&other, false).await;
    let before = guarded.complaints("list.pem");
    write_and_rename(&path, &old);
    guarded.complains("list.pem", before).await;
    assert!(!is_let_in(&guarded.client(&other)).await, "a revoked client is let in again");
    guarded.stands("with the newer list").await;
}
