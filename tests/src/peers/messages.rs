//! Prosody, with the host `example.test` and one user, who may say the password in clear.
//!
//! Owns its configuration. Refuses to know what is said.

use std::fmt::Write as _;

use super::program::server;
use super::{Draft, PASSWORD, Peer, USER};
use crate::authority::Credential;

/// A Prosody at the port `xmpp`; with a credential it offers STARTTLS there, and speaks TLS from
/// the begin at the port `xmpps`.
pub async fn prosody(credential: Option<&Credential>) -> Option<Peer> {
    let mut command = server("prosody")?;
    let mut draft = Draft::new("prosody");
    let folder = draft.folder.path().display().to_string();
    let mut text = format!(
        "run_as_root = true\npidfile = \"{folder}/pid\"\ndata_path = \"{folder}/data\"\n\
         \
         c2s_require_encryption = false\nallow_unencrypted_plain_auth = true\n\
         authentication = \"internal_plain\"\nlog = {{ info = \"*console\" }}\n\
         c2s_interfaces = {{ \"127.0.0.1\" }}\nc2s_ports = {{ {} }}\ns2s_ports = {{}}\n\
         c2s_direct_tls_interfaces = {{ \"127.0.0.1\" }}\n",
        draft.port("xmpp")
    );
    text += "modules_disabled = { \"s2s\" }\n";
    text += match credential {
        Some(_) => "modules_enabled = { \"saslauth\", \"roster\", \"ping\", \"tls\" }\n",
        None => "modules_enabled = { \"saslauth\", \"roster\", \"ping\" }\n",
    };
    draft.folder_of("certs", 0);
    if let Some(credential) = credential {
        let (chain, key) = draft.credential(credential, 0);
        let _ = writeln!(
            text,
            "c2s_direct_tls_ports = {{ {} }}\n\
             ssl = {{ certificate = \"{}\"; key = \"{}\"; }}",
            draft.port("xmpps"),
            chain.display(),
            key.display()
        );
    }
    text += "VirtualHost \"example.test\"\n";
    let config = draft.file("prosody.cfg.lua", &text);
    // Its folders are named as its own encoding of file names has it.
    let accounts = draft.folder_of("data/example%2etest/accounts", 0);
    let account = format!("return {{ [\"password\"] = \"{PASSWORD}\"; }};\n");
    std::fs::write(accounts.join(format!("{USER}.dat")), account).expect("the folder is ours");
    command.args(["-F", "--config"]).arg(config);
    Some(draft.start(command, "").await)
}
