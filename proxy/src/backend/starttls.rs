//! Asking an endpoint for TLS where that is not there from the start.
//!
//! Owns reading and writing around a pure dialogue of [`crate::starttls`]. What an endpoint says in
//! the clear decides whether TLS follows, and nothing else: not a byte of it is kept. Time is the
//! caller's: all of it counts as connecting. Refuses to know TLS. Read next: `crate::starttls`.

use std::io;

use tokio::io::AsyncWriteExt as _;

use crate::config::StarttlsProtocol;
use crate::net::{Socket, host_name};
use crate::starttls::{ClientDialogue, ClientStep, Unwilling, imap, ldap, pop3, postgresql, smtp};

/// Our part in `protocol` as the client; `None` for those in which no endpoint is ever asked.
fn dialogue(protocol: StarttlsProtocol) -> Option<Box<dyn ClientDialogue>> {
    Some(match protocol {
        StarttlsProtocol::Imap => Box::new(imap::Client::default()),
        StarttlsProtocol::Ldap => Box::new(ldap::Client::default()),
        StarttlsProtocol::Pop3 => Box::new(pop3::Client::default()),
        StarttlsProtocol::Postgresql => Box::new(postgresql::Client::default()),
        StarttlsProtocol::Smtp => Box::new(smtp::Client::new(&host_name())),
        StarttlsProtocol::Mysql | StarttlsProtocol::Xmpp => return None,
    })
}

/// Asks the endpoint at the other end of `socket` for TLS. When this returns, our next byte begins
/// our hello, and the endpoint has said nothing behind its consent.
pub(super) async fn ask(
    socket: &mut Socket,
    protocol: StarttlsProtocol,
) -> Result<(), StarttlsError> {
    let mut dialogue = dialogue(protocol).ok_or(StarttlsError::Unspoken)?;
    let dialogue = &mut *dialogue;
    socket.write_all(&dialogue.opening()).await.map_err(StarttlsError::Broken)?;
    loop {
        match hear(socket, dialogue).await? {
            ClientStep::Listen => {}
            ClientStep::Refuse(unwilling) => return Err(StarttlsError::Unwilling(unwilling)),
            ClientStep::Say(words) => {
                socket.write_all(&words).await.map_err(StarttlsError::Broken)?;
            }
            ClientStep::Upgrade if socket.has_unread() => {
                return Err(StarttlsError::Unwilling(Unwilling::Injected));
            }
            ClientStep::Upgrade => return Ok(()),
        }
    }
}

/// Gives the dialogue what the endpoint says next.
async fn hear(
    socket: &mut Socket,
    dialogue: &mut dyn ClientDialogue,
) -> Result<ClientStep, StarttlsError> {
    let heard = socket.hear(READ_BYTES, |bytes| match bytes {
        [] => Err(StarttlsError::Closed),
        bytes => Ok(dialogue.feed(bytes)),
    });
    heard.await.map_err(StarttlsError::Broken)?
}

/// Why an endpoint is not asked for TLS with success.
#[derive(Debug, thiserror::Error)]
pub enum StarttlsError {
    /// The connection broke.
    #[error("the connection broke before TLS")]
    Broken(#[source] io::Error),
    /// The endpoint closed the connection.
    #[error("the endpoint closed the connection before TLS")]
    Closed,
    /// In this protocol endpoints are not asked.
    #[error("endpoints of this protocol are not asked for TLS")]
    Unspoken,
    /// The endpoint is no partner.
    #[error(transparent)]
    Unwilling(Unwilling),
}

/// Bytes of an endpoint that are looked at together.
const READ_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    use super::*;

    /// Asks an endpoint that hears `question`, and says `answer` to it.
    async fn asked(
        protocol: StarttlsProtocol,
        question: &[u8],
        answer: &[u8],
    ) -> Result<(), StarttlsError> {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut socket = Socket::Unix(near);
        let endpoint = async {
            let mut heard = vec![0; question.len()];
            far.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, question);
            far.write_all(answer).await.unwrap();
            far.shutdown().await.unwrap();
            far
        };
        let (asked, _far) = tokio::join!(ask(&mut socket, protocol), endpoint);
        asked
    }

    const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

    #[tokio::test]
    async fn an_endpoint_that_consents_is_left_at_the_byte_behind_its_consent() {
        asked(StarttlsProtocol::Postgresql, SSL_REQUEST, b"S").await.unwrap();
        let consent = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
        let request = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
        asked(StarttlsProtocol::Ldap, request, consent).await.unwrap();
    }

    #[tokio::test]
    async fn what_stands_behind_the_consent_is_refused() {
        let error = asked(StarttlsProtocol::Postgresql, SSL_REQUEST, b"SE").await.unwrap_err();
        assert!(matches!(error, StarttlsError::Unwilling(Unwilling::Injected)), "{error:?}");
    }

    #[tokio::test]
    async fn an_endpoint_that_says_no_or_nothing_is_no_partner() {
        let error = asked(StarttlsProtocol::Postgresql, SSL_REQUEST, b"N").await.unwrap_err();
        assert!(matches!(error, StarttlsError::Unwilling(Unwilling::NoTls)), "{error:?}");
        let error = asked(StarttlsProtocol::Postgresql, SSL_REQUEST, b"").await.unwrap_err();
        assert!(matches!(error, StarttlsError::Closed), "{error:?}");
    }

    #[test]
    fn there_is_a_dialogue_for_every_protocol_that_endpoints_are_asked_in() {
        for protocol in [
            StarttlsProtocol::Imap,
            StarttlsProtocol::Ldap,
            StarttlsProtocol::Pop3,
            StarttlsProtocol::Postgresql,
            StarttlsProtocol::Smtp,
        ] {
            assert!(dialogue(protocol).is_some(), "{protocol:?}");
        }
        for protocol in [StarttlsProtocol::Mysql, StarttlsProtocol::Xmpp] {
            assert!(dialogue(protocol).is_none(), "{protocol:?}");
        }
    }
}
