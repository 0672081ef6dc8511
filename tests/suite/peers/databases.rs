//! PostgreSQL and MariaDB, which know nothing of TLS here, and their own clients.

use portunus_tests::foreign::Output;
use portunus_tests::peers::{Peer, USER, mariadb, postgresql};
use portunus_tests::{Builder, ClientAuthority, Proxy, authority, tls};

use super::{HOST, ca, mariadb_client, psql};

/// A proxy with the listeners `strict` and `either` before the peer.
fn before(peer: &Peer, protocol: &str) -> Builder {
    // MySQL's server speaks before a client could name a host: there is one backend, and no sites.
    let listener = |name: &str| match protocol {
        "mysql" => tls(HOST).named(name).without_sites(),
        _ => tls(HOST).named(name),
    };
    let starttls = format!("{protocol:?}");
    Proxy::builder()
        .certificate(HOST, &authority().issue(&[HOST]))
        .listener(listener("strict").with("starttls", &starttls))
        .listener(listener("either").with("starttls", &starttls).with("require_tls", "false"))
        .endpoints("app", &[&peer.endpoint(protocol)])
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_is_served_in_every_mode_that_allows_tls() {
    let Some(peer) = postgresql(None).await else { return };
    let proxy = before(&peer, "postgresql").start().await;
    let (ca, stranger) = (ca(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(stranger.path(), ClientAuthority::new("Stranger").pem()).unwrap();
    let ask = async |listener: &str, mode: &str, roots: &std::path::Path| -> Option<Output> {
        let psql = psql(proxy.address(listener).port())?.env("PGSSLMODE", mode);
        let psql = psql.env("PGSSLROOTCERT", roots).env("PGGSSENCMODE", "disable");
        Some(psql.args(["-c", "select 6 * 7"]).run().await)
    };
    for listener in ["strict", "either"] {
        for mode in ["allow", "prefer", "require", "verify-ca", "verify-full"] {
            let Some(said) = ask(listener, mode, ca.path()).await else { return };
            assert_eq!(said.expect_success(), "42\n", "{listener} {mode}");
        }
        let said = ask(listener, "verify-full", stranger.path()).await.unwrap().everything();
        assert!(said.contains("certificate verify failed"), "{said}");
    }
    let said = ask("either", "disable", ca.path()).await.unwrap();
    assert_eq!(said.expect_success(), "42\n");
    let refused = ask("strict", "disable", ca.path()).await.unwrap();
    assert!(!refused.status.success());
    // Of psql's own making is only the first word: severity and words are ours.
    assert!(refused.everything().contains("FATAL:"), "{refused:?}");
    assert!(refused.everything().to_lowercase().contains("tls"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_through_psql_both_ways() {
    let Some(peer) = postgresql(None).await else { return };
    let proxy = before(&peer, "postgresql").start().await;
    let Some(psql) = psql(proxy.address("strict").port()) else { return };
    let rows: String = (0..100_000).map(|row| format!("{row}\t{}\n", "x".repeat(80))).collect();
    let script = format!(
        "create table t (a int, b text);\ncopy t from stdin;\n{rows}\\.\ncopy t to stdout;\n"
    );
    let said = psql.env("PGSSLMODE", "require").arg("-q").input(script).run().await;
    assert!(said.expect_success() == rows, "what came back is not what went there");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_reached_by_tls_from_the_begin() {
    let Some(peer) = postgresql(None).await else { return };
    let proxy = before(&peer, "postgresql").start().await;
    let client = proxy.client(HOST).at(proxy.address("strict"));
    let mut direct = client.alpn(&["postgresql"]).connect().await;
    assert_eq!(direct.protocol().as_deref(), Some("postgresql"));
    let text = format!("user\0{USER}\0database\0app\0\0");
    let length = u32::try_from(text.len() + 8).unwrap().to_be_bytes();
    direct.send(&[&length[..], &[0, 3, 0, 0], text.as_bytes()].concat()).await;
    // It asks for a password by SCRAM: an `R`, its length, and which kind it is.
    let answer = direct.receive().await.unwrap();
    assert_eq!((answer[0], &answer[5..9]), (b'R', &[0, 0, 0, 10][..]), "{answer:?}");

    let client = proxy.client(HOST).at(proxy.address("strict"));
    let unnamed = client.try_connect().await;
    let ended = match unnamed {
        Ok(mut tls) => tls.receive_all().await.map_or(true, |said| said.is_empty()),
        Err(_) => true,
    };
    assert!(ended, "without a word of ALPN it could be any protocol");
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_served_under_tls() {
    let Some(peer) = mariadb(None).await else { return };
    let proxy = before(&peer, "mysql").start().await;
    let ca = ca();
    let ask = async |listener: &str, tls: &str, query: &str| -> Option<Output> {
        let client = mariadb_client(proxy.address(listener).port(), ca.path())?;
        let limit = "--max-allowed-packet=64M";
        Some(client.args([tls, limit, "--local-infile=1", "-e", query]).run().await)
    };
    for listener in ["strict", "either"] {
        let Some(said) = ask(listener, "--ssl-verify-server-cert", "select 6 * 7").await else {
            return;
        };
        assert_eq!(said.expect_success(), "42\n", "{listener}");
    }
    let said = ask("either", "--skip-ssl", "select 6 * 7").await.unwrap();
    assert_eq!(said.expect_success(), "42\n");
    let refused = ask("strict", "--skip-ssl", "select 6 * 7").await.unwrap();
    assert!(refused.everything().contains("ERROR 3159 (HY000)"), "{refused:?}");

    // Larger than one packet of the protocol can be, and a file that the client is asked for.
    let large = "select length(repeat('x', 15000000)), repeat('x', 15000000)";
    let said = ask("strict", "--ssl-verify-server-cert", large).await.unwrap().expect_success();
    assert_eq!(said.len(), "15000000\t\n".len() + 15_000_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "1\n2\n3\n").unwrap();
    let load = format!(
        "create table t (a int); load data local infile '{}' into table t; select sum(a) from t",
        file.path().display()
    );
    let said = ask("strict", "--ssl-verify-server-cert", &load).await.unwrap();
    assert_eq!(said.expect_success(), "6\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_by_the_database_itself() {
    let (Some(postgresql), Some(mariadb)) = (postgresql(None).await, mariadb(None).await) else {
        return;
    };
    let ca = ca();
    let proxy = before(&postgresql, "postgresql").start().await;
    let Some(psql) = psql(proxy.address("strict").port()) else { return };
    let psql = psql.env("PGSSLMODE", "require").env("PGPASSWORD", "wrong");
    let said = psql.args(["-c", "select 1"]).run().await.everything();
    assert!(said.contains("password authentication failed"), "{said}");
    let proxy = before(&mariadb, "mysql").start().await;
    let Some(client) = mariadb_client(proxy.address("strict").port(), ca.path()) else { return };
    let said = client.args(["--ssl", "-pwrong", "-e", "select 1"]).run().await.everything();
    assert!(said.contains("ERROR 1045 (28000): Access denied"), "{said}");
}
