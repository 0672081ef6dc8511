//! The words before TLS, led over a socket.
//!
//! Owns reading and writing around a pure dialogue of [`crate::starttls`], the deadline, and the
//! rule that nothing of the client may be here when the last words in the clear are said. Refuses
//! to know what is said, and who answers a question to the backend ([`Consult`]). Read next:
//! `crate::starttls`, then `hello`.

use std::future::Future;
use std::io;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

use super::refusal;
use crate::config::{Starttls, StarttlsProtocol};
use crate::net::Socket;
use crate::outcome::StarttlsOutcome;
use crate::starttls::{
    Answer, Next, Refusal, ServerDialogue, Step, imap, ldap, pop3, postgresql, smtp, xmpp,
};

/// The dialogue that `rule` asks for. There is none for MySQL, which begins with the greeting of
/// the backend: see [`mysql::Server`](crate::starttls::mysql::Server).
pub fn dialogue(rule: &Starttls) -> Option<Box<dyn ServerDialogue>> {
    let name = &*rule.greeting_name;
    let without_tls = rule.without_tls;
    Some(match rule.protocol {
        StarttlsProtocol::Imap => Box::new(imap::server(name)),
        StarttlsProtocol::Ldap => Box::new(ldap::Server::new(without_tls)),
        StarttlsProtocol::Mysql => return None,
        StarttlsProtocol::Pop3 => Box::new(pop3::server(name)),
        StarttlsProtocol::Postgresql => Box::new(postgresql::Server::new(without_tls)),
        StarttlsProtocol::Smtp => Box::new(smtp::server(name, without_tls)),
        StarttlsProtocol::Xmpp => Box::new(xmpp::Server::new(name, unguessable())),
    })
}

/// A number that nobody knows before it is said.
fn unguessable() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers the handshake that follows fails.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// Somebody who can ask the backend while the dialogue goes on.
pub trait Consult {
    /// Asks it `question`; the caller bounds the time.
    fn consult(&mut self, question: &[u8]) -> impl Future<Output = Consulted> + Send;
}

/// What a backend says to a question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Consulted {
    /// No backend answers.
    Nobody,
    /// All of its answer.
    Said(Vec<u8>),
    /// It does not want the client: its words.
    Unwelcome(Vec<u8>),
}

/// For dialogues that never ask: where TLS is required, and all but SMTP.
#[derive(Clone, Copy, Debug)]
pub struct NoBackend;

impl Consult for NoBackend {
    async fn consult(&mut self, _question: &[u8]) -> Consulted {
        Consulted::Nobody
    }
}

/// What came of a dialogue, if the connection goes on.
#[derive(Debug)]
pub enum Conversed {
    /// Without TLS; these bytes of the client come first.
    Clear {
        /// The connection.
        socket: Socket,
        /// All that the backend has to hear of what was read.
        start: Vec<u8>,
    },
    /// With TLS that the client began at once; these bytes of its hello were read.
    DirectTls {
        /// The connection.
        socket: Socket,
        /// The start of the hello.
        start: Vec<u8>,
    },
    /// With TLS; nothing of the client is left over.
    Upgraded {
        /// The connection.
        socket: Socket,
    },
}

impl Conversed {
    /// As metrics have it, of a dialogue in `protocol`.
    pub fn outcome(&self, protocol: StarttlsProtocol) -> StarttlsOutcome {
        match self {
            // Clients of MySQL ask for TLS, and do not wait for an answer, since there is none.
            Self::DirectTls { .. } if protocol == StarttlsProtocol::Mysql => {
                StarttlsOutcome::Upgraded
            }
            Self::Clear { .. } => StarttlsOutcome::Clear,
            Self::DirectTls { .. } => StarttlsOutcome::DirectTls,
            Self::Upgraded { .. } => StarttlsOutcome::Upgraded,
        }
    }
}

/// Why a dialogue ended with its connection.
#[derive(Debug, thiserror::Error)]
pub enum StarttlsError {
    /// The client closed the connection.
    #[error("the client closed the connection before TLS")]
    Closed,
    /// The connection broke.
    #[error("the connection broke before TLS")]
    Broken(#[source] io::Error),
    /// The client said good-bye.
    #[error("the client said good-bye before TLS")]
    Quit,
    /// The dialogue was refused.
    #[error("the dialogue before TLS was refused")]
    Refused(#[source] Refusal),
    /// The client did not come to TLS in time.
    #[error("the client did not come to TLS in time")]
    Timeout,
}

impl StarttlsError {
    /// As metrics and logs have it.
    pub fn outcome(&self) -> StarttlsOutcome {
        match self {
            Self::Broken(_) | Self::Closed => StarttlsOutcome::ClientClosed,
            Self::Quit => StarttlsOutcome::Quit,
            Self::Timeout => StarttlsOutcome::Timeout,
            Self::Refused(refusal) => match refusal {
                Refusal::Backend => StarttlsOutcome::Backend,
                Refusal::Flooded => StarttlsOutcome::Flooded,
                Refusal::Injected => StarttlsOutcome::Injected,
                Refusal::NoTls => StarttlsOutcome::NoTls,
                Refusal::NotTheProtocol => StarttlsOutcome::NotTheProtocol,
                Refusal::TooManyErrors => StarttlsOutcome::TooManyErrors,
            },
        }
    }
}

/// Leads `dialogue` over `socket` until the client comes to TLS, goes on without it, or ends.
///
/// A client that is refused is told why before the connection ends. Nothing that a client says
/// before TLS is in what follows [`Conversed::Upgraded`]: bytes that are here by then are refused,
/// and bytes that come later are its hello.
pub async fn converse(
    mut socket: Socket,
    dialogue: &mut dyn ServerDialogue,
    backend: &mut impl Consult,
    deadline: Instant,
) -> Result<Conversed, StarttlsError> {
    let Ok(end) = timeout_at(deadline, lead(&mut socket, dialogue, backend)).await else {
        refusal::tell(socket, &dialogue.overdue()).await;
        return Err(StarttlsError::Timeout);
    };
    match end? {
        End::Clear(start) => Ok(Conversed::Clear { socket, start }),
        End::DirectTls(start) => Ok(Conversed::DirectTls { socket, start }),
        End::Upgraded => Ok(Conversed::Upgraded { socket }),
        End::Quit(words) => {
            refusal::tell(socket, &words).await;
            Err(StarttlsError::Quit)
        }
        End::Refused(words, refusal) => {
            refusal::tell(socket, &words).await;
            Err(StarttlsError::Refused(refusal))
        }
    }
}

/// How a dialogue ended, with the last words that are still to be said.
enum End {
    Clear(Vec<u8>),
    DirectTls(Vec<u8>),
    Quit(Vec<u8>),
    Refused(Vec<u8>, Refusal),
    Upgraded,
}

async fn lead(
    socket: &mut Socket,
    dialogue: &mut dyn ServerDialogue,
    backend: &mut impl Consult,
) -> Result<End, StarttlsError> {
    let mut step = Step::listen(dialogue.greeting());
    loop {
        // Last words are said by who ends the connection.
        if !matches!(step.next, Next::Quit | Next::Refuse(_)) {
            socket.write_all(&step.say).await.map_err(StarttlsError::Broken)?;
        }
        step = match step.next {
            Next::Ask(question) => match backend.consult(&question).await {
                Consulted::Nobody => dialogue.answered(Answer::Nobody),
                Consulted::Said(answer) => dialogue.answered(Answer::Said(&answer)),
                Consulted::Unwelcome(words) => dialogue.answered(Answer::Unwelcome(&words)),
            },
            Next::Clear(start) => return Ok(End::Clear(start)),
            Next::DirectTls(start) => return Ok(End::DirectTls(start)),
            Next::Listen => hear(socket, dialogue).await?,
            Next::Quit => return Ok(End::Quit(step.say)),
            Next::Refuse(refusal) => return Ok(End::Refused(step.say, refusal)),
            Next::Upgrade(_) if socket.has_unread() => {
                let words = hear(socket, dialogue).await?.say;
                return Ok(End::Refused(words, Refusal::Injected));
            }
            Next::Upgrade(words) => {
                socket.write_all(&words).await.map_err(StarttlsError::Broken)?;
                return Ok(End::Upgraded);
            }
        };
    }
}

/// Gives the dialogue what the client says next.
async fn hear(
    socket: &mut Socket,
    dialogue: &mut dyn ServerDialogue,
) -> Result<Step, StarttlsError> {
    let heard = socket.hear(READ_BYTES, |bytes| match bytes {
        [] => Err(StarttlsError::Closed),
        bytes => Ok(dialogue.feed(bytes)),
    });
    heard.await.map_err(StarttlsError::Broken)?
}

/// Bytes of a client that are looked at together.
const READ_BYTES: usize = 4096;
