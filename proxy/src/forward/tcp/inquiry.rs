//! A backend that is asked what it can do, while the client has no TLS yet.
//!
//! Owns the connection that the question goes over: a client that goes on in the clear keeps it, a
//! client that comes to TLS gets a new one, on which nothing was said. Refuses to know the
//! question. Read next: `handshake::starttls`, which asks, and `starttls::smtp`, which knows why.

use std::io;

use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::greeting::Greeting;
use crate::backend::{Backend, Dedicated};
use crate::config::StarttlsProtocol;
use crate::handshake::starttls::{Consult, Consulted};
use crate::log::Chain;
use crate::net::ClientAddr;
use crate::outcome::BackendFailure;
use crate::proxy_protocol::Introduction;
use crate::starttls::smtp::{AnswerReader, NotAReply};
use crate::starttls::{Welcome, Welcomed};

/// Asks a backend of SMTP. It is connected to when the first question comes.
#[derive(Debug)]
pub struct Inquiry<'a> {
    backend: &'a Backend,
    client: ClientAddr,
    introduction: Introduction,
    deadline: Instant,
    connection: Option<Dedicated>,
}

impl<'a> Inquiry<'a> {
    /// `client` is introduced as `introduction` has it. No answer takes longer than half of what is
    /// left until `deadline`, so that a backend that is silent is told from a client that is.
    pub fn new(
        backend: &'a Backend,
        client: ClientAddr,
        introduction: Introduction,
        deadline: Instant,
    ) -> Self {
        Self { backend, client, introduction, deadline, connection: None }
    }

    /// The connection, if there is one: the backend has greeted on it, and has answered every
    /// question.
    pub fn into_connection(self) -> Option<Dedicated> {
        self.connection
    }

    async fn connect(&self) -> Result<Dedicated, InquiryError> {
        let key = self.backend.balance_key(self.client, &HeaderMap::new());
        let connected = self.backend.connect(key, &self.introduction).await;
        let mut connection = connected.map_err(|error| {
            debug!(client = %self.client, error = %Chain(&error), "no backend to ask");
            InquiryError::Unreachable
        })?;
        let smtp = Some(StarttlsProtocol::Smtp);
        if let Greeting::Kept { welcome, .. } = Greeting::between(smtp, self.backend.starttls(), "")
        {
            hear(&mut connection, welcome).await?;
        }
        Ok(connection)
    }

    async fn ask(&mut self, question: &[u8]) -> Result<Vec<u8>, InquiryError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let link = &mut connection.link;
        link.write_all(question).await.map_err(InquiryError::Broken)?;
        link.flush().await.map_err(InquiryError::Broken)?;
        let mut answer = AnswerReader::default();
        loop {
            let mut buffer = [0; READ_BYTES];
            let bytes = read(&mut connection, &mut buffer).await?;
            if let Some(answer) = answer.feed(bytes).map_err(InquiryError::NotAReply)? {
                self.connection = Some(connection);
                return Ok(answer);
            }
        }
    }
}

impl Consult for Inquiry<'_> {
    async fn consult(&mut self, question: &[u8]) -> Consulted {
        let patience = self.deadline.saturating_duration_since(Instant::now()) / 2;
        let asked = timeout(patience, self.ask(question)).await;
        match asked.unwrap_or(Err(InquiryError::Silent)) {
            Ok(answer) => Consulted::Said(answer),
            Err(InquiryError::Unwelcome(words)) => Consulted::Unwelcome(words),
            Err(error) => {
                self.backend.charge(error.failure());
                let client = self.client;
                debug!(%client, error = %Chain(&error), "the backend cannot be asked");
                Consulted::Nobody
            }
        }
    }
}

/// Reads the greeting, which says nothing that the client has to hear.
async fn hear(
    connection: &mut Dedicated,
    mut welcome: Box<dyn Welcome>,
) -> Result<(), InquiryError> {
    loop {
        let mut buffer = [0; READ_BYTES];
        match welcome.feed(read(connection, &mut buffer).await?) {
            Welcomed::Kept(rest) if rest.is_empty() => return Ok(()),
            Welcomed::Kept(_) => return Err(InquiryError::NotAReply(NotAReply)),
            Welcomed::Listen => {}
            Welcomed::Refused(words) => return Err(InquiryError::Unwelcome(words)),
        }
    }
}

async fn read<'b>(
    connection: &mut Dedicated,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], InquiryError> {
    match connection.link.read(buffer).await.map_err(InquiryError::Broken)? {
        0 => Err(InquiryError::Broken(io::ErrorKind::UnexpectedEof.into())),
        count => Ok(buffer.get(..count).unwrap_or_default()),
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum InquiryError {
    /// The connection broke, or was closed.
    #[error("the backend broke off before it answered")]
    Broken(#[source] io::Error),
    /// The backend does not speak SMTP.
    #[error("the backend does not answer as it should")]
    NotAReply(#[source] NotAReply),
    /// No endpoint could be connected to, which is counted already.
    #[error("the backend cannot be reached")]
    Unreachable,
    /// The backend took too long.
    #[error("the backend did not answer in time")]
    Silent,
    /// The backend does not want the client, and says so.
    #[error("the backend refused the connection")]
    Unwelcome(Vec<u8>),
}

impl InquiryError {
    /// What the backend is charged with.
    fn failure(&self) -> Option<BackendFailure> {
        match self {
            Self::Broken(_) => Some(BackendFailure::Broken),
            Self::NotAReply(_) => Some(BackendFailure::BadResponse),
            Self::Silent => Some(BackendFailure::Timeout),
            Self::Unreachable | Self::Unwelcome(_) => None,
        }
    }
}

/// More than most answers.
const READ_BYTES: usize = 1024;
