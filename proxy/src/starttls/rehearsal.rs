//! A dialogue as its driver leads it, without a socket: for the tests of every protocol.
//!
//! Owns what a client sees of a dialogue whose bytes come in given pieces.

use super::{Next, Refusal, ServerDialogue, Step};

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
            Next::Ask(question) => dialogue.answered(&ask(&question)),
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
