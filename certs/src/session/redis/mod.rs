//! Sessions in Redis or Valkey, shared by many machines.
//!
//! Owns [`RedisEngine`]: which commands an [`Engine`] is made of, and under which names things lie.
//! What may be used once is fetched with `GETDEL`, which is one step of a server that does one
//! thing at a time; everything lies there with `PX`, so that the server forgets it by itself.
//!
//! Within: `url` reads the address, `dial` makes a connection to one server, through sentinels or
//! to a cluster, `link` keeps the one that all callers share, `failure` names what went wrong.
//! Nothing here waits on a clock, tries again or slows down: [`super::shared`] does.

mod dial;
mod failure;
mod link;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::{Cmd, Pipeline, RedisError, RedisResult, RedisWrite, ToRedisArgs, Value};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use self::dial::{Connection, Dialer};
use self::failure::Failure;
use self::link::Link;
pub use self::url::RedisUrlError;
use super::engine::{Answer, Engine, EngineError, EntryKey, ErrorKind, Record, Wanted};
use super::id::Use;

/// Where the store is, and what is needed to get there.
#[derive(Clone)]
pub struct RedisOptions {
    /// The address, with the password; see [`RedisUrlError`] for its kinds.
    pub url: String,
    /// Certificates in PEM that the store's own leads to, instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// What every key begins with; the version of the layout is part of it.
    pub prefix: String,
}

/// A Redis or Valkey: one server, one behind sentinels, or a cluster.
pub struct RedisEngine {
    link: Link,
    prefix: String,
}

impl RedisOptions {
    /// This address, and nothing else that differs from what is usual.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), ca: None, prefix: PREFIX.to_owned() }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address holds the password, wherever it is misplaced.
        f.debug_struct("RedisOptions").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RedisEngine {
    /// Reads the options; the first call connects.
    pub fn new(options: &RedisOptions) -> Result<Self, RedisUrlError> {
        let place = url::Place::parse(&options.url)?;
        if options.prefix.len() > PREFIX_BYTES_MAX {
            return Err(RedisUrlError::Prefix);
        }
        if let Some(pem) = &options.ca {
            if !place.tls {
                return Err(RedisUrlError::AuthoritiesWithoutTls);
            }
            check_authorities(pem)?;
        }
        let dialer = Dialer::new(place, options.ca.clone());
        Ok(Self { link: Link::new(Arc::new(dialer)), prefix: options.prefix.clone() })
    }

    /// Where the store is, without the name and the password.
    #[must_use]
    pub fn place(&self) -> String {
        self.link.dialer().place().to_string()
    }

    fn fetching(&self, wanted: &Wanted) -> Cmd {
        let name = match wanted.usage {
            Use::Single => "GETDEL",
            Use::Repeated => "GET",
        };
        let mut command = Cmd::with_capacity(2, name.len() + self.key_bytes());
        command.arg(name).arg(self.key(&wanted.key));
        command
    }

    fn storing(&self, record: &Record) -> Cmd {
        let bytes = self.key_bytes() + record.sealed.len() + SET_BYTES;
        let mut command = Cmd::with_capacity(5, bytes);
        command.arg("SET").arg(self.key(&record.key)).arg(record.sealed.as_slice());
        command.arg("PX").arg(milliseconds(record.lifetime));
        command
    }

    fn key<'a>(&'a self, entry: &'a EntryKey) -> Key<'a> {
        Key { prefix: &self.prefix, entry }
    }

    fn key_bytes(&self) -> usize {
        self.prefix.len() + ENTRY_LETTERS
    }

    async fn one(&self, command: &Cmd) -> Result<Value, EngineError> {
        let connection = self.link.get().await?;
        let answer = connection.one(command).await;
        answer.map_err(|error| self.failed(&connection, &error).into())
    }

    async fn many(
        &self,
        pipeline: &Pipeline,
    ) -> Result<Vec<Result<Value, EngineError>>, EngineError> {
        let connection = self.link.get().await?;
        let failed = |error: RedisError| EngineError::from(self.failed(&connection, &error));
        let answers = connection.many(pipeline).await.map_err(failed)?;
        let each = |answer: RedisResult<Value>| answer.map_err(failed);
        Ok(answers.into_iter().map(each).collect())
    }

    /// Names what went wrong, and gives the connection up if another one may do better: it broke,
    /// or leads to a server that is the wrong one by now.
    fn failed(&self, connection: &Arc<Connection>, error: &RedisError) -> Failure {
        let failure = Failure::of_call(error, &self.link.dialer().secrets);
        let stays = matches!(failure.kind, ErrorKind::Full | ErrorKind::Other);
        if !stays && !connection.mends_itself() {
            self.link.give_up(connection);
        }
        failure
    }

    async fn fetch_all(&self, wanted: &[Wanted]) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        if let [wanted] = wanted {
            let value = self.one(&self.fetching(wanted)).await?;
            return Ok(vec![found(value)?]);
        }
        let mut pipeline = Pipeline::with_capacity(wanted.len());
        for wanted in wanted {
            pipeline.add_command(self.fetching(wanted));
        }
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.many(&pipeline).await?;
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.and_then(found)).collect();
        // What was found is gone from the store by now, so it is told even if another key failed.
        if answers.iter().any(|answer| matches!(answer, Ok(Some(_)))) {
            return Ok(answers.into_iter().map(|answer| answer.ok().flatten()).collect());
        }
        answers.into_iter().collect()
    }

    async fn store_all(
        &self,
        records: &[Record],
    ) -> Result<Vec<Result<(), EngineError>>, EngineError> {
        if let [record] = records {
            return Ok(vec![self.one(&self.storing(record)).await.map(drop)]);
        }
        let mut pipeline = Pipeline::with_capacity(records.len());
        for record in records {
            pipeline.add_command(self.storing(record));
        }
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.many(&pipeline).await?;
        Ok(answers.into_iter().map(|answer| answer.map(drop)).collect())
    }

    async fn lay_or_read(&self, record: &Record) -> Result<Vec<u8>, EngineError> {
        let mut laying = self.storing(record);
        laying.arg("NX");
        let reading = self.fetching(&Wanted { key: record.key, usage: Use::Repeated });
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(laying).add_command(reading);
        let mut answers = self.many(&pipeline).await?.into_iter();
        let (laid, read) = (answers.next(), answers.next());
        // What lies there is agreed upon, whether or not there was room for ours.
        match read.transpose()?.map(found).transpose()?.flatten() {
            Some(agreed) => Ok(agreed),
            None => Err(laid.and_then(Result::err).unwrap_or_else(|| {
                EngineError::new(ErrorKind::Other, "what was just laid there is gone")
            })),
        }
    }

    /// Writes, reads and deletes, with the commands that everything else is made of. If it fails,
    /// or nobody waits for its end, the connection is given up: it may lead nowhere any more.
    async fn check(&self) -> Result<(), EngineError> {
        let connection = self.link.get().await?;
        let mut doubtful = Doubtful { link: &self.link, connection: &connection, is_sound: false };
        let mut writing = redis::cmd("SET");
        // Another place each time, so that no single part of a cluster speaks for all of it.
        let mut place = [0; 4];
        let _ = rand::fill(&mut place);
        let key = format!("{}probe:{:08x}", self.prefix, u32::from_be_bytes(place));
        writing.arg(&key).arg(1).arg("PX").arg(milliseconds(PROBE_LIFETIME));
        let mut reading = redis::cmd("GET");
        reading.arg(&key);
        let mut taking = redis::cmd("GETDEL");
        taking.arg(&key);
        let mut pipeline = Pipeline::with_capacity(3);
        pipeline.add_command(writing).add_command(reading).add_command(taking);
        let failed = |error: RedisError| {
            EngineError::from(Failure::of_call(&error, &self.link.dialer().secrets))
        };
        for answer in connection.many(&pipeline).await.map_err(failed)? {
            answer.map_err(failed)?;
        }
        doubtful.is_sound = true;
        Ok(())
    }
}

impl Engine for RedisEngine {
    fn fetch<'a>(&'a self, wanted: &'a [Wanted]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        Box::pin(self.fetch_all(wanted))
    }

    fn store<'a>(&'a self, records: &'a [Record]) -> Answer<'a, Vec<Result<(), EngineError>>> {
        Box::pin(self.store_all(records))
    }

    fn agree<'a>(&'a self, record: &'a Record) -> Answer<'a, Vec<u8>> {
        Box::pin(self.lay_or_read(record))
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(self.check())
    }
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisEngine");
        shown.field("place", &self.place()).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A connection in doubt, given up unless it proves sound.
struct Doubtful<'a> {
    link: &'a Link,
    connection: &'a Arc<Connection>,
    is_sound: bool,
}

impl Drop for Doubtful<'_> {
    fn drop(&mut self) {
        if !self.is_sound {
            self.link.give_up(self.connection);
        }
    }
}

/// A key as the store has it, written straight into the command.
struct Key<'a> {
    prefix: &'a str,
    entry: &'a EntryKey,
}

impl ToRedisArgs for Key<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut text = [0; PREFIX_BYTES_MAX + ENTRY_LETTERS];
        let (prefix, rest) = text.split_at_mut(self.prefix.len());
        prefix.copy_from_slice(self.prefix.as_bytes());
        let letters = URL_SAFE_NO_PAD.encode_slice(self.entry, rest);
        let length = self.prefix.len() + letters.expect("32 bytes take 43 letters");
        out.write_arg(text.get(..length).expect("it was written there"));
    }
}

/// What was found. A value that no session of ours can have is somebody else's, and nothing.
fn found(value: Value) -> Result<Option<Vec<u8>>, EngineError> {
    match value {
        Value::BulkString(sealed) if sealed.len() <= VALUE_BYTES_MAX => Ok(Some(sealed)),
        Value::BulkString(_) | Value::Nil => Ok(None),
        _ => Err(EngineError::new(ErrorKind::Other, "an answer of another kind")),
    }
}

/// Rounded down, since nothing may lie there for longer; the least that there is.
fn milliseconds(lifetime: Duration) -> u64 {
    u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).clamp(1, LIFETIME_MILLISECONDS_MAX)
}

fn check_authorities(pem: &[u8]) -> Result<(), RedisUrlError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| RedisUrlError::Authorities)?;
        roots.add(certificate).map_err(|_| RedisUrlError::Authorities)?;
    }
    if roots.is_empty() { Err(RedisUrlError::Authorities) } else { Ok(()) }
}

/// What keys begin with unless somebody says otherwise.
pub const PREFIX: &str = "portunus:1:";

const PREFIX_BYTES_MAX: usize = 80;

/// 32 bytes as base64.
const ENTRY_LETTERS: usize = 43;

/// `SET`, `PX`, `NX` and a number.
const SET_BYTES: usize = 32;

/// Larger than any session that is stored.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// What the server can add to its clock without complaint: a hundred years.
const LIFETIME_MILLISECONDS_MAX: u64 = 100 * 365 * 24 * 3_600_000;

/// How long the trace of a probe lies there, if it is not taken at once.
const PROBE_LIFETIME: Duration = Duration::from_secs(10);
