//! Postfix and Dovecot: mail that is taken in, and mail that is read.
//!
//! Owns the smallest configuration under which they serve everybody on this machine: Postfix takes
//! mail for every address of `example.test` and delivers it to one folder, Dovecot knows one user
//! by a password, who may also say it in clear. Refuses to know what the mail says.

use std::fmt::Write as _;
use std::os::unix::fs::chown;
use std::process::Command;

use super::program::{is_root, server};
use super::{Draft, PASSWORD, Peer, USER};
use crate::authority::Credential;

/// A Postfix at the port `smtp`; with a credential it offers STARTTLS there, and speaks TLS from
/// the begin at the port `smtps`. Mail comes to the folder `spool/inbox/new`. It needs root.
pub async fn postfix(credential: Option<&Credential>) -> Option<Peer> {
    if !is_root() {
        // Nothing could be installed that would help.
        crate::foreign::skip("postfix as root");
        return None;
    }
    let mut command = server("master")?;
    let mut draft = Draft::new("postfix");
    let folder = draft.folder.path().display().to_string();
    let mut main = format!(
        "compatibility_level = 3.6\nqueue_directory = {folder}/queue\n\
         data_directory = {folder}/data\nmeta_directory = {folder}\nmaillog_file = /dev/stdout\n\
         mail_owner = mail\nsetgid_group = uucp\ninet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\nmyhostname = backend.example\nmynetworks = 127.0.0.0/8\n\
         mydestination =\nalias_maps =\nvirtual_mailbox_domains = example.test\n\
         virtual_mailbox_base = {folder}/spool\nvirtual_mailbox_maps = static:inbox/\n\
         virtual_uid_maps = static:{NOBODY}\nvirtual_gid_maps = static:{NOBODY}\n\
         smtpd_recipient_restrictions = permit_mynetworks, reject\n"
    );
    let mut services = format!("127.0.0.1:{} inet n - n - - smtpd\n", draft.port("smtp"));
    if let Some(credential) = credential {
        let (chain, key) = draft.credential(credential, 0);
        let (chain, key) = (chain.display(), key.display());
        let _ = writeln!(main, "smtpd_tls_cert_file = {chain}\nsmtpd_tls_key_file = {key}");
        main += "smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\n";
        let port = draft.port("smtps");
        let _ = writeln!(
            services,
            "127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes"
        );
    }
    services += POSTFIX_SERVICES;
    draft.file("main.cf", &main);
    draft.file("master.cf", &services);
    draft.folder_of("data", MAIL);
    draft.folder_of("spool", NOBODY);
    draft.folder_of("queue", 0);
    for name in POSTFIX_QUEUES {
        draft.folder_of(&format!("queue/{name}"), MAIL);
    }
    draft.folder_of("queue/pid", 0);
    for name in ["public", "maildrop"] {
        let path = draft.folder_of(&format!("queue/{name}"), MAIL);
        chown(&path, None, Some(UUCP)).expect("root may give away");
    }
    command.args(["-s", "-d", "-c"]).arg(draft.folder.path());
    Some(draft.start(command, "").await)
}

/// A Dovecot at the ports `imap` and `pop3`; with a credential it offers STARTTLS and STLS there,
/// and speaks TLS from the begin at the ports `imaps` and `pop3s`.
pub async fn dovecot(credential: Option<&Credential>) -> Option<Peer> {
    let mut command = server("dovecot")?;
    let mut draft = Draft::new("dovecot");
    let folder = draft.folder.path().display().to_string();
    let mut tls = "ssl = no\n".to_owned();
    if let Some(credential) = credential {
        let (chain, key) = draft.credential(credential, 0);
        tls = format!("ssl = yes\nssl_cert = <{}\nssl_key = <{}\n", chain.display(), key.display());
    }
    let (user, group) = if is_root() {
        ("nobody".to_owned(), "nogroup".to_owned())
    } else {
        (own_name("-un"), own_name("-gn"))
    };
    let mut text = format!(
        "base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = /dev/stderr\n\
         protocols = imap pop3\n{tls}disable_plaintext_auth = no\n\
         default_internal_user = {user}\ndefault_login_user = {user}\n\
         default_internal_group = {group}\nfirst_valid_uid = 1\nlast_valid_uid = {NOBODY}\n\
         last_valid_gid = {NOBODY}\nmail_location = maildir:{folder}/mail\n\
         mail_max_userip_connections = 1000\nmailbox_list_index = no\n\
         passdb {{\n driver = passwd-file\n args = {folder}/users\n}}\n\
         userdb {{\n driver = static\n args = uid={NOBODY} gid={NOBODY} home={folder}/mail\n}}\n",
    );
    for protocol in ["imap", "pop3"] {
        let clear = draft.port(protocol);
        let port = if credential.is_some() { draft.port(&format!("{protocol}s")) } else { 0 };
        let _ = writeln!(
            text,
            "service {protocol}-login {{\n chroot =\n\
             inet_listener {protocol} {{\n address = 127.0.0.1\n port = {clear}\n }}\n\
             inet_listener {protocol}s {{\n address = 127.0.0.1\n port = {port}\n }}\n}}"
        );
    }
    text += "service anvil {\n chroot =\n}\nservice stats {\n chroot =\n}\n";
    draft.file("users", &format!("{USER}:{{PLAIN}}{PASSWORD}\n"));
    draft.folder_of("mail", NOBODY);
    let config = draft.file("dovecot.conf", &text);
    command.args(["-F", "-c"]).arg(config);
    Some(draft.start(command, "").await)
}

/// The name of the test's own user or group, as `id` gives it.
fn own_name(which: &str) -> String {
    let asked = Command::new("id").arg(which).output().expect("every machine has it");
    String::from_utf8_lossy(&asked.stdout).trim().to_owned()
}

/// The user that owns nothing, on every Linux.
const NOBODY: u32 = 65534;

/// The user `mail` of Debian; Postfix wants one whom nobody else uses.
const MAIL: u32 = 8;

/// The group `uucp` of Debian, for the same reason.
const UUCP: u32 = 10;

const POSTFIX_QUEUES: &[&str] = &[
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
    "saved", "trace",
];

const POSTFIX_SERVICES: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
";
