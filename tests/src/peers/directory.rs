//! OpenLDAP's slapd, with a directory of one entry, `dc=example`, and one who may change it.
//!
//! Owns its configuration. Refuses to know what is asked of it.

use std::fmt::Write as _;

use super::program::{packaged, server};
use super::{Draft, PASSWORD, Peer};
use crate::authority::{Credential, authority};

/// Who may change the directory, with [`PASSWORD`].
pub const ADMINISTRATOR: &str = "cn=somebody,dc=example";

/// A slapd at the port `ldap`; with a credential it offers StartTLS there, and speaks TLS from the
/// begin at the port `ldaps`.
pub async fn slapd(credential: Option<&Credential>) -> Option<Peer> {
    let mut command = server("slapd")?;
    let mut draft = Draft::new("slapd");
    let (data, folder) = (draft.folder_of("data", 0), draft.folder.path().display().to_string());
    let schema = packaged("/etc/ldap/schema/core.schema");
    let mut text = format!("include {}\npidfile {folder}/pid\n", schema.display());
    let mut listen = format!("ldap://127.0.0.1:{}/", draft.port("ldap"));
    if let Some(credential) = credential {
        let (chain, key) = draft.credential(credential, 0);
        let ca = draft.file("ca.pem", &authority().pem());
        let _ = writeln!(text, "TLSCACertificateFile {}", ca.display());
        let _ = writeln!(text, "TLSCertificateFile {}", chain.display());
        let _ = writeln!(text, "TLSCertificateKeyFile {}", key.display());
        let _ = write!(listen, " ldaps://127.0.0.1:{}/", draft.port("ldaps"));
    }
    let _ = writeln!(
        text,
        "modulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nsuffix \"dc=example\"\n\
         rootdn \"{ADMINISTRATOR}\"\nrootpw {PASSWORD}\ndirectory {}",
        data.display()
    );
    let config = draft.file("slapd.conf", &text);
    let entry = draft.file(
        "entry.ldif",
        "dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\no: Example\n\
         dc: example\n",
    );
    let mut making = server("slapadd")?;
    making.arg("-f").arg(&config).arg("-l").arg(entry);
    let made = making.output().expect("the program was found");
    assert!(made.status.success(), "slapadd: {made:?}");
    // Any level of debugging, even none of its words, keeps it in the foreground.
    command.args(["-d", "256", "-h", &listen, "-f"]).arg(config);
    Some(draft.start(command, "").await)
}
