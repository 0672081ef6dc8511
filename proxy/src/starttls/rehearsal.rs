//! A dialogue as its driver leads it, without a socket: for the tests of every protocol.
//!
//! Owns what a client sees of a dialogue whose bytes come in given pieces.

use super::{
    Answer, ClientDialogue, ClientStep, Next, Refusal, ServerDialogue, Step, Unwilling, Welcome,
    Welcomed,
};

/// What came of a dialogue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Played {
    /// All that was said to the client, the greeting included.
    pub(super) said: String,
    /// How it ended.
    pub(super) end: End,
}

/// How a dialogue ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// On without TLS, with all that the client said, or was still to say.
    Clear(Vec<u8>),
    /// The client began with TLS: all of its bytes.
    DirectTls(Vec<u8>),
    /// The pieces are at their end, and the client is still listened to.
    Listen,
    /// The client left.
    Quit,
    /// The client was refused.
    Refused(Refusal),
    /// TLS.
    Upgrade,
}

/// Plays `pieces` to `dialogue`, with `ask` in the place of the backend.
///
/// The pieces are all there from the start, as far as the dialogue can tell: what is left of them
/// when it comes to TLS is an injection.
pub(super) fn play<'a>(
    dialogue: &mut dyn ServerDialogue,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    ask: impl Fn(&[u8]) -> Vec<u8>,
) -> Played {
    let mut said = dialogue.greeting();
    let mut pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
    let mut step = Step::silent(Next::Listen);
    let end = loop {
        said.extend_from_slice(&step.say);
        step = match step.next {
            Next::Ask(question) => dialogue.answered(Answer::Said(&ask(&question))),
            Next::Listen => match pieces.next() {
                Some(piece) => dialogue.feed(piece),
                None => break End::Listen,
            },
            Next::Upgrade(words) => match pieces.next() {
                Some(piece) => {
                    let step = dialogue.feed(piece);
                    assert_eq!(step.next, Next::Refuse(Refusal::Injected));
                    step
                }
                None => {
                    said.extend_from_slice(&words);
                    break End::Upgrade;
                }
            },
            Next::Clear(start) => break End::Clear(with(start, pieces)),
            Next::DirectTls(start) => break End::DirectTls(with(start, pieces)),
            Next::Quit => break End::Quit,
            Next::Refuse(refusal) => break End::Refused(refusal),
        };
    };
    Played { said: String::from_utf8_lossy(&said).into_owned(), end }
}

/// Plays `bytes` in one piece, byte by byte, and cut in two at every place; what comes of it is
/// the same every time.
pub(super) fn play_in_all_ways<D: ServerDialogue>(make: impl Fn() -> D, bytes: &[u8]) -> Played {
    let nobody = |_: &[u8]| Vec::new();
    let whole = play(&mut make(), [bytes], nobody);
    assert_eq!(play(&mut make(), bytes.chunks(1), nobody), whole, "byte by byte");
    for cut in 0..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(play(&mut make(), [first, second], nobody), whole, "cut at {cut}");
    }
    whole
}

fn with<'a>(start: Vec<u8>, rest: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    rest.fold(start, |mut all, piece| {
        all.extend_from_slice(piece);
        all
    })
}

/// What came of a dialogue with an endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Asked {
    /// All that was said to the endpoint.
    pub(super) said: String,
    /// How it ended; `None` if the endpoint is still listened to.
    pub(super) end: Option<Result<(), Unwilling>>,
}

/// Gives `answers` to a dialogue, each as a whole and each byte by byte; what comes of it is the
/// same both times. What follows the consent is an injection, as the driver has it.
pub(super) fn ask_in_all_ways<D: ClientDialogue>(make: impl Fn() -> D, answers: &[&str]) -> Asked {
    let whole = ask(&mut make(), answers.iter().map(|answer| answer.as_bytes()));
    let bytes = answers.iter().flat_map(|answer| answer.as_bytes().chunks(1));
    assert_eq!(ask(&mut make(), bytes), whole, "byte by byte");
    whole
}

/// Gives `pieces` to a dialogue with an endpoint.
pub(super) fn ask<'a>(
    dialogue: &mut dyn ClientDialogue,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Asked {
    let mut said = dialogue.opening();
    let mut pieces = pieces.into_iter();
    let mut end = None;
    while let (None, Some(piece)) = (end, pieces.next()) {
        match dialogue.feed(piece) {
            ClientStep::Listen => {}
            ClientStep::Refuse(unwilling) => end = Some(Err(unwilling)),
            ClientStep::Say(words) => said.extend_from_slice(&words),
            ClientStep::Upgrade => {
                let is_silent = pieces.next().is_none();
                end = Some(if is_silent { Ok(()) } else { Err(Unwilling::Injected) });
            }
        }
    }
    Asked { said: String::from_utf8_lossy(&said).into_owned(), end }
}

/// Gives `bytes` to a reader of first words, whole and byte by byte; what comes of it, with the
/// bytes that are left, is the same both times.
pub(super) fn welcome_in_all_ways<W: Welcome>(make: impl Fn() -> W, bytes: &[u8]) -> Welcomed {
    let whole = make().feed(bytes);
    let mut reader = make();
    let mut bytes = bytes.iter().copied();
    let mut by_bytes = Welcomed::Listen;
    while by_bytes == Welcomed::Listen
        && let Some(byte) = bytes.next()
    {
        by_bytes = reader.feed(&[byte]);
    }
    if let Welcomed::Kept(rest) = &mut by_bytes {
        rest.extend(bytes);
    }
    assert_eq!(by_bytes, whole, "byte by byte");
    whole
}
