//! A dialogue before TLS, led through pieces of any size: for seeds and for the fuzzer alike.
//!
//! Owns what holds of every dialogue, whatever the bytes are: how they are cut into pieces changes
//! nothing, what is said is bounded, and what goes on to the backend is what the client said.
//! Refuses to know the protocols. It is a part of the harness and of the fuzz targets, which are a
//! workspace of their own.

#![allow(dead_code, reason = "no fuzz target calls all of it")]

use portunus::starttls::{
    Answer, ClientDialogue, ClientStep, Next, Refusal, ServerDialogue, Step, Unwilling, Welcome,
    Welcomed,
};

/// How a dialogue with a client ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// On without TLS.
    Clear,
    /// The client began with TLS.
    DirectTls,
    /// The client is still listened to.
    Listen,
    /// The client left.
    Quit,
    /// The client was refused.
    Refused(Refusal),
    /// TLS.
    Upgrade,
}

/// Leads a dialogue with a client that says `bytes` behind the first, which is the size of the
/// pieces, as its driver does: bytes that are there when it comes to TLS are an injection.
pub fn serve<D: ServerDialogue>(make: impl Fn() -> D, bytes: &[u8]) -> End {
    let (size, bytes) = split(bytes);
    let whole = serve_in(&mut make(), bytes, bytes.len().max(1));
    assert_eq!(serve_in(&mut make(), bytes, size), whole, "in pieces of {size}");
    assert!(whole.0.len() < SAID_BYTES_MAX + 3 * bytes.len(), "{} bytes said", whole.0.len());
    whole.1
}

fn serve_in(dialogue: &mut dyn ServerDialogue, bytes: &[u8], size: usize) -> (Vec<u8>, End) {
    let mut said = dialogue.greeting();
    let mut fed = 0;
    let mut step = Step::listen(Vec::new());
    loop {
        said.extend_from_slice(&step.say);
        let piece = bytes.get(fed..bytes.len().min(fed + size)).unwrap_or_default();
        step = match step.next {
            Next::Ask(question) => dialogue.answered(Answer::Said(&[b"250 ", &*question].concat())),
            Next::Clear(start) | Next::DirectTls(start) if !bytes[..fed].ends_with(&start) => {
                panic!("what was read is handed on changed");
            }
            Next::Clear(_) => return (said, End::Clear),
            Next::DirectTls(_) => return (said, End::DirectTls),
            Next::Listen if piece.is_empty() => return (said, End::Listen),
            Next::Upgrade(words) if piece.is_empty() => {
                said.extend(words);
                return (said, End::Upgrade);
            }
            Next::Listen => {
                fed += piece.len();
                dialogue.feed(piece)
            }
            Next::Upgrade(_) => {
                fed += piece.len();
                let step = dialogue.feed(piece);
                assert_eq!(step.next, Next::Refuse(Refusal::Injected), "behind TLS");
                step
            }
            Next::Quit => return (said, End::Quit),
            Next::Refuse(refusal) => return (said, End::Refused(refusal)),
        };
    }
}

/// Leads a dialogue with an endpoint that says `bytes` behind the first, which is the size of the
/// pieces. Only what the endpoint says in time counts, so cuts may change what comes of it; it is
/// refused for what stands behind its consent in any case.
pub fn ask(dialogue: &mut dyn ClientDialogue, bytes: &[u8]) -> Result<bool, Unwilling> {
    let (size, bytes) = split(bytes);
    let mut said = dialogue.opening().len();
    let mut pieces = bytes.chunks(size);
    while let Some(piece) = pieces.next() {
        match dialogue.feed(piece) {
            ClientStep::Listen => {}
            ClientStep::Refuse(unwilling) => return Err(unwilling),
            ClientStep::Say(words) => said += words.len(),
            ClientStep::Upgrade if pieces.next().is_some() => return Err(Unwilling::Injected),
            ClientStep::Upgrade => return Ok(true),
        }
        assert!(said < SAID_BYTES_MAX, "{said} bytes said");
    }
    Ok(false)
}

/// Reads the greeting of a backend that says `bytes` behind the first, which is the size of the
/// pieces; returns whether it is one.
pub fn welcome<W: Welcome>(make: impl Fn() -> W, bytes: &[u8]) -> bool {
    let (size, bytes) = split(bytes);
    let whole = make().feed(bytes);
    let mut reader = make();
    let mut pieces = bytes.chunks(size);
    let mut welcomed = Welcomed::Listen;
    while welcomed == Welcomed::Listen
        && let Some(piece) = pieces.next()
    {
        welcomed = reader.feed(piece);
    }
    if let Welcomed::Kept(rest) = &mut welcomed {
        rest.extend(pieces.flatten());
    }
    assert_eq!(welcomed, whole, "in pieces of {size}");
    matches!(whole, Welcomed::Kept(_))
}

/// The size of the pieces, and the bytes.
fn split(bytes: &[u8]) -> (usize, &[u8]) {
    let (size, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    (1 + usize::from(*size), bytes)
}

/// More than all that is said in the most talkative dialogue, without what is repeated of the
/// other side's words.
const SAID_BYTES_MAX: usize = 16 * 1024;
