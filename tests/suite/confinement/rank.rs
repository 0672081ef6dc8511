//! Who the process is once it serves.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::{fs, process};

use portunus_tests::{Proxy, command, echo, tls};

use super::{NAME, Status, is_root, status};

/// No user of the machine; with `user:group` none needs to be.
const STRANGER: u32 = 65532;

#[tokio::test(flavor = "multi_thread")]
async fn root_becomes_the_user_that_is_configured_and_keeps_only_low_ports() {
    if !is_root("root_becomes_the_user_that_is_configured_and_keeps_only_low_ports") {
        return;
    }
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.user", "\"65532:65532\"")
        .under(&["sh", "-c", "chown -R 65532:65532 \"$(dirname \"$3\")\" && exec \"$0\" \"$@\""])
        .start()
        .await;
    let id = STRANGER.to_string();
    for thread in Status::of_threads(proxy.process().id()) {
        assert_eq!(thread.line("Uid"), [&id; 4], "{}", thread.0);
        assert_eq!(thread.line("Gid"), [&id; 4], "{}", thread.0);
        assert!(thread.line("Groups").iter().all(|group| *group == id), "{}", thread.0);
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(thread.line(set), ["0000000000000400"], "{set}: {}", thread.0);
        }
    }
    let mut client = proxy.client(NAME).connect().await;
    client.send(b"hello").await;
    client.expect(b"hello").await;
    // It reads as that user from the first file on, so a renewal is no surprise.
    proxy.reload().await;
    proxy.client(NAME).connect().await;
    let status = status(&proxy).await;
    assert_eq!(status["confinement"]["measures"]["user"]["detail"], "65532:65532");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_the_user_already_keeps_no_id_of_another_and_tells_of_groups() {
    let name = "who_is_the_user_already_keeps_no_id_of_another_and_tells_of_groups";
    if !is_root(name) {
        return;
    }
    let start = async |rank: &str| {
        let start = format!(
            "chown -R 65532:65532 \"$(dirname \"$3\")\" && \
             exec setpriv --regid 65532 --groups 42,65532 {rank} \"$0\" \"$@\""
        );
        let builder = Proxy::builder().listener(tls(NAME)).backend(echo());
        let builder = builder.set("server.user", "\"65532:65532\"");
        builder.under(&["sh", "-c", &start]).start().await
    };
    let could_return = start("--ruid 65532 --euid 65532").await;
    let status_of = |proxy: &Proxy| Status::of_threads(proxy.process().id()).remove(0);
    let id = STRANGER.to_string();
    let thread = status_of(&could_return);
    assert_eq!((thread.line("Uid"), thread.line("Gid")), (vec![&*id; 4], vec![&*id; 4]));
    let may_not = start("--reuid 65532 --bounding-set=-all --inh-caps=-all").await;
    assert_eq!(status_of(&may_not).line("Groups"), ["42", &id]);
    let user = &status(&may_not).await["confinement"]["measures"]["user"];
    assert_eq!(user["standing"], "missing", "{user}");
    assert!(user["detail"].as_str().unwrap().contains("[42]"), "{user}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_cannot_be_had_keeps_the_process_from_starting() {
    let builder = || Proxy::builder().listener(tls(NAME)).backend(echo());
    for (user, said, code) in [
        ("\"no-such-user\"", "there is no user `no-such-user`", 1),
        ("\"4000000000\"", "the group of user 4000000000 is not known", 1),
    ] {
        let (_folder, process) = builder().set("server.user", user).spawn();
        assert_eq!(process.exit().await.code(), Some(code), "{:?}", process.text());
        let text = process.text().join("\n");
        assert!(text.contains(said) && text.contains("hint: "), "{text}");
    }
    let (_folder, process) = builder().set("server.user", "\"0:0\"").unprivileged().spawn();
    assert_eq!(process.exit().await.code(), Some(1), "{:?}", process.text());
    let text = process.text().join("\n");
    assert!(text.contains("server.user = \"0:0\": Operation not permitted"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_file_of_the_admin_listener_is_the_users() {
    if !is_root("the_socket_file_of_the_admin_listener_is_the_users") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(STRANGER), Some(STRANGER)).unwrap();
    let socket = folder.path().join("admin.sock");
    let proxy = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.user", "\"65532:65532\"")
        .set("admin.listen", &format!("\"unix:{}\"", socket.display()))
        .under(&["sh", "-c", "chown -R 65532:65532 \"$(dirname \"$3\")\" && exec \"$0\" \"$@\""])
        .start()
        .await;
    let file = fs::metadata(&socket).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (STRANGER, STRANGER, 0o660));
    proxy.process().signal("TERM");
    proxy.process().signal("TERM");
    proxy.process().exit().await;
    assert!(!socket.exists(), "who made it removes it");
}

#[tokio::test]
async fn a_check_names_what_the_user_will_not_be_able_to_read() {
    let folder = Proxy::builder()
        .listener(tls(NAME))
        .backend(echo())
        .set("server.user", "\"65532:65532\"")
        .set("log.access", "\"logs/access.log\"")
        .write();
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod(folder.path(), 0o755);
    chmod(&folder.path().join("certs.d"), 0o755);
    chmod(&folder.path().join("config.toml"), 0o644);
    fs::create_dir(folder.path().join("logs")).unwrap();
    let key = folder.path().join(format!("certs.d/{NAME}.pem"));
    let check = || {
        let mut check = command();
        let check: &mut process::Command = check.arg("check").current_dir(folder.path());
        String::from_utf8(check.output().unwrap().stderr).unwrap()
    };
    chmod(&key, 0o600);
    let said = check();
    let warning = |path: &str, verb: &str| {
        let line = format!("{path}: user `65532:65532` cannot {verb} it");
        said.lines().any(|said| said.starts_with("warning: ") && said.contains(&line))
    };
    assert!(warning(&format!("{NAME}.pem"), "read"), "{said}");
    assert!(warning("logs", "write"), "{said}");
    chmod(&key, 0o644);
    chmod(&folder.path().join("logs"), 0o777);
    assert!(!check().contains("cannot"), "{}", check());
}
