//! A client of PostgreSQL without TLS, until its backend, which has TLS, names the ways to log in.
//!
//! Owns the reading and writing of whole packets that long, and not a byte beyond it: what follows
//! is the relay's. What is answered and changed is the dialogue's to know. Refuses to know TLS.
//! Read next: `starttls::scram`.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout_at};

use super::downstream::Downstream;
use super::greeting::give;
use super::opening::{OpeningError, bad};
use crate::backend::Link;
use crate::net::with_scratch;
use crate::starttls::scram::{Doorstep, Message, Request, Verdict};

/// Has `client` begin its session at `backend`, until `deadline`. When this returns, both are to be
/// joined.
pub async fn begin<C: Downstream>(
    client: &mut C,
    backend: &mut Link,
    deadline: Instant,
) -> Result<(), OpeningError> {
    let heard = timeout_at(deadline, hear_client(client)).await;
    let (said, is_session) = heard.unwrap_or(Err(OpeningError::Timeout))?;
    let begun = async {
        backend.write_all(&said).await.map_err(OpeningError::Backend)?;
        let pushed = poll_fn(|cx| backend.poll_push(cx)).await;
        pushed.map_err(OpeningError::Backend)?;
        let mut verdict = if is_session { Verdict::Pending } else { Verdict::Given };
        while verdict == Verdict::Pending {
            let words;
            (words, verdict) = hear_backend(backend).await?;
            tell(client, &words).await?;
        }
        Ok(())
    };
    timeout_at(deadline, begun).await.unwrap_or(Err(OpeningError::Silent))
}

/// What the client has for the backend, and whether it is the begin of a session.
async fn hear_client<C: Downstream>(client: &mut C) -> Result<(Vec<u8>, bool), OpeningError> {
    let mut doorstep = Doorstep::default();
    loop {
        let heard = poll_fn(|cx| {
            ready!(client.poll_clear_text(cx))?;
            let clear = client.clear_text();
            if clear.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let count = clear.len();
            let request = doorstep.feed(clear).map_err(bad);
            client.consume(count);
            Poll::Ready(request)
        });
        match heard.await.map_err(OpeningError::Client)? {
            Request::Declined(words) => tell(client, &words).await?,
            Request::Other(said) => return Ok((said, false)),
            Request::Session(said) => return Ok((said, true)),
        }
    }
}

/// The next message of the backend, as the client is to hear it.
async fn hear_backend(backend: &mut Link) -> Result<(Vec<u8>, Verdict), OpeningError> {
    let mut message = Message::default();
    let whole = poll_fn(|cx| {
        loop {
            let missing = message.missing().map_err(bad)?;
            if missing == 0 {
                return Poll::Ready(Ok(()));
            }
            ready!(with_scratch(|scratch| {
                let scratch = scratch.get_mut(..missing).unwrap_or_default();
                let count = ready!(backend.poll_fill(cx, scratch))?;
                match scratch.get(..count).unwrap_or_default() {
                    [] => Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof))),
                    bytes => {
                        message.take(bytes);
                        Poll::Ready(Ok(()))
                    }
                }
            }))?;
        }
    });
    whole.await.map_err(OpeningError::Backend)?;
    Ok(message.finish())
}

/// Says `words`, which are no more than a stream takes at once, and sees them sent.
async fn tell<C: Downstream>(client: &mut C, words: &[u8]) -> Result<(), OpeningError> {
    give(client, words).await.map_err(OpeningError::Client)?;
    poll_fn(|cx| client.poll_flush(cx)).await.map_err(OpeningError::Client)
}
