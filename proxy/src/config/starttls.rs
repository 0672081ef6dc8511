//! Protocols that begin in the clear and then ask for TLS.
//!
//! Owns the types, the words for them, and what is said to those who look for FTP among them. What
//! is said in them is in `starttls` of the crate. Refuses to know sockets.

use std::sync::Arc;

use serde_json::Value as Json;
use toml::de::DeValue;

use super::error::{BytesProblem, Place};
use super::section::Reader;
use super::text::Choice;
use super::value::Kind;

/// What is spoken on a listener before TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Starttls {
    /// The protocol.
    pub protocol: StarttlsProtocol,
    /// Whether a client may go on without TLS.
    pub without_tls: WithoutTls,
    /// What the listener calls itself.
    pub greeting_name: Arc<str>,
}

/// A protocol that begins in the clear.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum StarttlsProtocol {
    /// RFC 9051 §6.2.1.
    Imap,
    /// RFC 4511 §4.14.
    Ldap,
    /// The connection phase of MySQL and MariaDB.
    Mysql,
    /// RFC 2595 §4.
    Pop3,
    /// `SSLRequest` of the frontend and backend protocol, version 3.
    Postgresql,
    /// RFC 3207.
    Smtp,
    /// RFC 6120 §5.
    Xmpp,
}

impl StarttlsProtocol {
    /// The name in the configuration, in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Ldap => "ldap",
            Self::Mysql => "mysql",
            Self::Pop3 => "pop3",
            Self::Postgresql => "postgresql",
            Self::Smtp => "smtp",
            Self::Xmpp => "xmpp",
        }
    }
}

/// Whether a client may go on without TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WithoutTls {
    /// It may, if the protocol has a way to.
    Allowed,
    /// It is refused.
    Refused,
}

/// What a listener can speak before TLS.
pub(super) struct StarttlsText;

impl Kind for StarttlsText {
    type Value = StarttlsProtocol;

    fn parse(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        reader: &mut Reader<'_>,
    ) -> Option<StarttlsProtocol> {
        if value.as_str() == Some(FTP) {
            let hint = || Some("use SFTP, or let the FTP server speak TLS itself".to_owned());
            reader.errors.report(place, BytesProblem::Ftp, hint);
            return None;
        }
        SPOKEN.parse(place, value, reader)
    }

    fn json(&self) -> Json {
        SPOKEN.json()
    }

    fn written(&self, value: &StarttlsProtocol) -> Json {
        SPOKEN.written(value)
    }
}

const SPOKEN: Choice<StarttlsProtocol> = Choice(&[
    ("smtp", StarttlsProtocol::Smtp),
    ("imap", StarttlsProtocol::Imap),
    ("pop3", StarttlsProtocol::Pop3),
    ("postgresql", StarttlsProtocol::Postgresql),
    ("mysql", StarttlsProtocol::Mysql),
    ("ldap", StarttlsProtocol::Ldap),
    ("xmpp", StarttlsProtocol::Xmpp),
]);

/// What people look for among them.
const FTP: &str = "ftp";
