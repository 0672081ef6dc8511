//! Real services behind Portunus and real clients before it, and the other way round.
//!
//! Each file is about the servers of one kind, which come from `portunus_tests::peers`; `alone` is
//! about them without Portunus. What is promised of each dialogue to the last byte is in
//! `starttls`; here those judge who speak it for a living.

mod alone;
mod both_sides;
mod client_mode;
mod databases;
mod directory;
mod mail;
mod messages;
mod openssl;

use std::path::Path;

use portunus_tests::authority;
use portunus_tests::foreign::{Foreign, program, python};
use portunus_tests::peers::{PASSWORD, USER, client};
use tempfile::NamedTempFile;

/// The name by which every client here knows every listener.
const HOST: &str = "localhost";

/// A file with the authority that everybody trusts.
fn ca() -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority().pem()).unwrap();
    file
}

/// `tests/foreign/mail.py` that speaks `protocol` in this way at this port.
fn mail_client(protocol: &str, way: &str, port: u16, ca: &Path) -> Option<Foreign> {
    let python = python()?.arg(program("mail.py"));
    Some(python.args([protocol, way, &port.to_string()]).arg(ca))
}

/// `psql` that asks the database `app` at this port of [`HOST`].
fn psql(port: u16) -> Option<Foreign> {
    let psql = client("psql")?.args(["-X", "-At", "-h", HOST, "-p", &port.to_string()]);
    Some(psql.args(["-U", USER, "-d", "app"]).env("PGPASSWORD", PASSWORD).env("PGSYSCONFDIR", "/"))
}

/// MariaDB's client that asks the database `app` at this port of [`HOST`], by TCP.
fn mariadb_client(port: u16, ca: &Path) -> Option<Foreign> {
    let client = client("mariadb")?.args(["--no-defaults", "--protocol=tcp", "-h", HOST]);
    let client = client.args(["-P", &port.to_string(), "-u", USER, "-D", "app", "-N"]);
    Some(client.arg(format!("-p{PASSWORD}")).arg("--ssl-ca").arg(ca))
}
