//! PostgreSQL and MariaDB, each with one user, who has a password, and one database, `app`.
//!
//! Owns making a data folder as fast as each allows: nothing has to survive a loss of power.
//! Refuses to know what is asked of them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::program::{is_root, packaged, server, unprivileged_server};
use super::{Draft, PASSWORD, Peer, USER};
use crate::authority::Credential;

/// A PostgreSQL at the port `postgresql`, and at a Unix socket in its folder; with a credential it
/// takes TLS.
pub async fn postgresql(credential: Option<&Credential>) -> Option<Peer> {
    let mut making = unprivileged_server("initdb")?;
    let mut command = unprivileged_server("postgres")?;
    let mut draft = Draft::new("postgres");
    // What ends it at once, and with what it shares with its children.
    draft.farewell = "QUIT";
    let home = draft.folder_of("home", NOBODY);
    let password = draft.file("password", PASSWORD);
    making.args(["--auth=scram-sha-256", "--no-sync", "--no-instructions", "--encoding=UTF8"]);
    making.args(["--locale=C", "--username", USER, "--pwfile"]).arg(password);
    making.arg("-D").arg(home.join("data"));
    finish(making, "");
    let port = draft.port("postgresql").to_string();
    let mut settings = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", home.display()),
        "fsync=off".to_owned(),
        "log_connections=on".to_owned(),
        "jit=off".to_owned(),
    ];
    if let Some(credential) = credential {
        let (chain, key) = draft.credential(credential, NOBODY);
        settings.push("ssl=on".to_owned());
        settings.push(format!("ssl_cert_file={}", chain.display()));
        settings.push(format!("ssl_key_file={}", key.display()));
    }
    command.arg("-D").arg(home.join("data"));
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    let peer = draft.start(command, "database system is ready to accept connections").await;
    let mut create = server("psql")?;
    create.env("PGPASSWORD", PASSWORD).args(["-q", "-h", "127.0.0.1", "-p", &port, "-U", USER]);
    create.args(["-d", "postgres"]);
    finish(create, "create database app;\n");
    Some(peer)
}

/// A MariaDB at the port `mysql`; with a credential it takes TLS.
pub async fn mariadb(credential: Option<&Credential>) -> Option<Peer> {
    let mut making = server("mariadbd")?;
    let mut command = server("mariadbd")?;
    let mut draft = Draft::new("mariadbd");
    let data = draft.folder_of("data", 0);
    std::fs::create_dir(data.join("mysql")).expect("the folder is ours");
    let common = ["--no-defaults", "--skip-innodb", "--default-storage-engine=Aria"];
    let owner: &[&str] = if is_root() { &["--user=root"] } else { &[] };
    // One that starts clears away the temporary tables that it finds, other servers' too.
    let temporary = draft.folder_of("temporary", 0);
    for command in [&mut making, &mut command] {
        command.args(common).args(owner).arg("--datadir").arg(&data);
        command.arg("--tmpdir").arg(&temporary);
    }
    making.arg("--bootstrap");
    let mut tables = "create database if not exists mysql;\nuse mysql;\n".to_owned();
    for name in ["mysql_system_tables.sql", "mysql_system_tables_data.sql"] {
        let path = packaged(&format!("/usr/share/mysql/{name}"));
        tables += &std::fs::read_to_string(path).expect("the package has it");
    }
    finish(making, &tables);
    let users = format!(
        "create user '{USER}'@'%' identified by '{PASSWORD}';\ncreate database app;\n\
         grant all on app.* to '{USER}'@'%';\n"
    );
    let users = draft.file("users.sql", &users);
    command.arg("--init-file").arg(users);
    command.args(["--skip-name-resolve", "--bind-address=127.0.0.1", "--port"]);
    command.arg(draft.port("mysql").to_string());
    command.arg("--socket").arg(draft.path("socket")).arg("--pid-file").arg(draft.path("pid"));
    if let Some(credential) = credential {
        let (chain, key) = draft.credential(credential, 0);
        command.arg("--ssl-cert").arg(chain).arg("--ssl-key").arg(key);
    }
    Some(draft.start(command, "ready for connections").await)
}

/// Runs `command` with `input` to its end, which is a good one.
fn finish(mut command: Command, input: &str) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was found");
    let mut stdin = child.stdin.take().expect("stdin was asked for");
    // One that has ended does not listen, which its end will show.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the child is ours");
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    assert!(output.status.success(), "{command:?}: {}: {said:?}", output.status);
}

/// The user that owns nothing, on every Linux.
const NOBODY: u32 = 65534;
