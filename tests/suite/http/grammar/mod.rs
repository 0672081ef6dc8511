//! A table of requests as bytes, and what becomes of each: answered and passed on in one meaning,
//! or refused with the connection.
//!
//! Owns the way a row is judged. Every row is sent in one piece and cut in several places. What
//! reaches the backend is read by `reference`, which takes no liberties; a request that is refused
//! is followed by another one, which must never get there. The rows themselves are in the files
//! named after what they are about.

mod body;
mod head;
mod line;
mod message;
pub(super) mod reference;

use std::sync::{Arc, Mutex};

use portunus_tests::{Backend, Proxy, Response, https, raw, read_response};
use reference::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NAME, connect};

/// A row of the table.
pub(super) struct Row {
    what: &'static str,
    bytes: Vec<u8>,
    fate: Fate,
}

/// What must become of a row.
enum Fate {
    /// Each target reaches the backend and is answered with 200, and so is another request.
    Passes(&'static [&'static str]),
    /// The same, but the connection is closed behind it, whatever follows.
    PassesLast(&'static [&'static str]),
    /// As many requests are answered with 200 as there are targets; what follows is refused with
    /// one of the statuses, or without a word if there is none, and the connection is closed.
    Refused(&'static [&'static str], &'static [u16]),
}

/// A request that passes.
pub(super) fn passes(
    what: &'static str,
    bytes: impl AsRef<[u8]>,
    targets: &'static [&'static str],
) -> Row {
    Row { what, bytes: bytes.as_ref().to_vec(), fate: Fate::Passes(targets) }
}

/// A request that passes and is the last one of its connection.
pub(super) fn last(
    what: &'static str,
    bytes: impl AsRef<[u8]>,
    targets: &'static [&'static str],
) -> Row {
    Row { what, bytes: bytes.as_ref().to_vec(), fate: Fate::PassesLast(targets) }
}

/// A request that is refused.
pub(super) fn refused(what: &'static str, bytes: impl AsRef<[u8]>, status: &'static [u16]) -> Row {
    Row { what, bytes: bytes.as_ref().to_vec(), fate: Fate::Refused(&[], status) }
}

/// A request that is refused behind others that are not.
pub(super) fn refused_after(
    what: &'static str,
    bytes: impl AsRef<[u8]>,
    targets: &'static [&'static str],
    status: &'static [u16],
) -> Row {
    Row { what, bytes: bytes.as_ref().to_vec(), fate: Fate::Refused(targets, status) }
}

/// A request for `/` with these fields, each with its line end, and this content.
pub(super) fn post(fields: &str, content: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n{content}").into_bytes()
}

/// A request without content whose first line is this, and whose fields are a host and these.
pub(super) fn line(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\nHost: {NAME}\r\n{fields}\r\n").into_bytes()
}

/// What reached the backend: requests, or bytes that are none.
pub(super) type Seen = Arc<Mutex<Vec<Result<Request, String>>>>;

/// A backend that answers whatever is a request beyond doubt.
pub(super) fn judge() -> (Backend, Seen) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let backend = raw(move |mut stream, _| {
        let log = Arc::clone(&log);
        async move {
            let (mut bytes, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
            loop {
                match reference::read(&bytes) {
                    Ok(None) => {}
                    Ok(Some((request, length))) => {
                        bytes.drain(..length);
                        log.lock().unwrap().push(Ok(request));
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                        continue;
                    }
                    Err(error) => {
                        let error = format!("{error} in {}", bytes.escape_ascii());
                        return log.lock().unwrap().push(Err(error));
                    }
                }
                match stream.read(&mut buffer).await {
                    Ok(count @ 1..) => bytes.extend(&buffer[..count]),
                    _ => return,
                }
            }
        }
    });
    (backend, seen)
}

/// Sends every row, whole and cut, and judges what becomes of it.
pub(super) async fn judge_all(rows: Vec<Row>) {
    let (backend, seen) = judge();
    let proxy = Proxy::builder().listener(https(NAME)).backend(&backend).start().await;
    let mut complaints = Vec::new();
    for row in rows {
        for cut in cuts(&row.bytes) {
            if let Err(complaint) = run(&proxy, &row, cut, &seen).await {
                complaints.push(format!("{} (cut at {cut}): {complaint}", row.what));
            }
        }
    }
    assert!(complaints.is_empty(), "{} faults:\n{}", complaints.len(), complaints.join("\n"));
}

/// Where a row is cut: not at all, within the first line, before and within line ends, before the
/// last byte.
fn cuts(bytes: &[u8]) -> Vec<usize> {
    let mut cuts = vec![0, 1, bytes.len() / 2, bytes.len() - 1];
    if let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        cuts.push(end + 1);
    }
    if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        cuts.extend([end + 2, end + 3, end + 4]);
    }
    cuts.retain(|cut| *cut < bytes.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

async fn run(proxy: &Proxy, row: &Row, cut: usize, seen: &Seen) -> Result<(), String> {
    seen.lock().unwrap().clear();
    let mut client = connect(proxy).await;
    let (one, other) = row.bytes.split_at(cut);
    let follower = match row.fate {
        Fate::Passes(_) => format!("GET /follower HTTP/1.1\r\nHost: {NAME}\r\n\r\n"),
        _ => format!("GET /smuggled HTTP/1.1\r\nHost: {NAME}\r\n\r\n"),
    };
    if !one.is_empty() {
        client.send(one).await;
    }
    // Whoever is refused already may not take the rest.
    let _ = client.try_send(&[other, follower.as_bytes()].concat()).await;
    let mut answers: Vec<Response> = Vec::new();
    let mut buffer = Vec::new();
    let (targets, is_open, refusals): (_, _, &[u16]) = match row.fate {
        Fate::Passes(targets) => (targets, true, &[]),
        Fate::PassesLast(targets) => (targets, false, &[]),
        Fate::Refused(targets, refusals) => (targets, false, refusals),
    };
    let passed = targets.len() + usize::from(is_open);
    loop {
        match read_response(&mut client, &mut buffer).await {
            // Leave to send the body is no answer yet.
            Some(answer) if answer.status == 100 => {}
            Some(answer) => answers.push(answer),
            None => break,
        }
        if is_open && answers.len() >= passed {
            break;
        }
    }
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    let is_answered = statuses.get(..passed).is_some_and(|all| all.iter().all(|&s| s == 200));
    let refused = statuses.get(passed..).unwrap_or_default();
    let is_refused = match refused {
        [] => refusals.is_empty() || refusals.contains(&0),
        [status] => refusals.contains(status),
        _ => false,
    };
    if !is_answered || !is_refused {
        return Err(format!("answered with {statuses:?}"));
    }
    judge_seen(&seen.lock().unwrap(), targets, is_open)
}

fn judge_seen(
    seen: &[Result<Request, String>],
    targets: &[&str],
    is_open: bool,
) -> Result<(), String> {
    let mut requests = Vec::new();
    for request in seen {
        requests.push(request.as_ref().map_err(|error| format!("the backend got {error}"))?);
    }
    let expected: Vec<&str> =
        targets.iter().copied().chain(is_open.then_some("/follower")).collect();
    let got: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
    if got != expected {
        return Err(format!("the backend got {got:?}"));
    }
    for request in requests {
        for name in ["transfer_encoding", "expect", "http2-settings", "keep-alive"] {
            if !request.values(name).is_empty() {
                return Err(format!("the backend got a field `{name}`"));
            }
        }
        let is_body = request.body.is_empty() || request.body.starts_with(b"hello");
        if !is_body {
            return Err(format!("the backend got the content {}", request.body.escape_ascii()));
        }
    }
    Ok(())
}
