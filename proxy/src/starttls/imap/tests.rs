//! IMAP before TLS: what is answered, what is refused, and that nothing outlives the change.

use proptest::prelude::*;

use super::*;
use crate::starttls::rehearsal::{
    End, Played, ask, ask_in_all_ways, play, play_in_all_ways, welcome_in_all_ways,
};
use crate::starttls::{Unwilling, Welcomed};

const GREETING: &str = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] mx.test ready\r\n";

/// What a client hears behind the greeting, and the end.
fn played(bytes: impl AsRef<[u8]>) -> (String, End) {
    let Played { said, end } = play_in_all_ways(|| server("mx.test"), bytes.as_ref());
    (said.strip_prefix(GREETING).expect("a greeting first").to_owned(), end)
}

#[test]
fn a_client_hears_that_there_is_tls_and_gets_it() {
    let (said, end) = played("a CAPABILITY\r\nb STARTTLS\r\n");
    let capability = "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK Completed\r\n";
    assert_eq!(said, format!("{capability}b OK Begin TLS negotiation now\r\n"));
    assert_eq!(end, End::Upgrade);
}

#[test]
fn the_first_words_are_answered_in_capitals_or_not() {
    for (line, reply) in [
        ("1 noop", "1 OK Completed\r\n"),
        ("A]~!#& NoOp", "A]~!#& OK Completed\r\n"),
        ("* NOOP", "* BAD Expected a tag and a command\r\n"),
        ("a+ NOOP", "* BAD Expected a tag and a command\r\n"),
        ("(a NOOP", "* BAD Expected a tag and a command\r\n"),
        ("", "* BAD Expected a tag and a command\r\n"),
        (" NOOP", "* BAD Expected a tag and a command\r\n"),
        ("a", "a BAD Expected a command\r\n"),
        ("a (", "a BAD Expected a command\r\n"),
        ("a NOOP now", "a BAD NOOP has no arguments\r\n"),
        ("a STARTTLS now", "a BAD STARTTLS has no arguments\r\n"),
        ("a ID", "a BAD ID needs an argument\r\n"),
        ("a ID (\"name\" \"mutt\")", "* ID NIL\r\na OK Completed\r\n"),
        ("a ID NIL", "* ID NIL\r\na OK Completed\r\n"),
        ("GET NOOP", "GET OK Completed\r\n"),
    ] {
        assert_eq!(played(format!("{line}\r\n")), (reply.to_owned(), End::Listen), "{line}");
    }
    let bye = ("* BYE Logging out\r\na OK Completed\r\n".to_owned(), End::Quit);
    assert_eq!(played("a LOGOUT\r\nb NOOP\r\n"), bye);
}

#[test]
fn nobody_logs_in_or_does_anything_else_before_tls() {
    for line in [
        "a LOGIN user secret",
        "a login \"user\" \"{\"",
        "a AUTHENTICATE PLAIN",
        "a AUTHENTICATE PLAIN AGEAYg==",
        "a SELECT INBOX",
        "a UNAUTHENTICATE",
        "a ENABLE UTF8=ACCEPT",
        "a IDLE",
        "a STARTTLSX",
        "a XYZZY",
    ] {
        let (said, end) = played(format!("{line}\r\n"));
        assert_eq!(said, "a NO [PRIVACYREQUIRED] Issue STARTTLS first\r\n", "{line}");
        assert_eq!(end, End::Listen, "{line}");
    }
    let (_, end) = played("a LOGIN user secret\r\nb LOGOUT\r\n");
    assert_eq!(end, End::Refused(Refusal::NoTls));
}

#[test]
fn a_literal_is_refused_before_it_is_sent() {
    let (said, end) = played("a LOGIN {4}\r\nb STARTTLS\r\n");
    let words = "a BAD No literals before STARTTLS\r\nb OK Begin TLS negotiation now\r\n";
    assert_eq!((&*said, end), (words, End::Upgrade));
}

#[test]
fn nothing_of_a_literal_that_was_sent_is_taken_for_a_command() {
    for line in ["a LOGIN {12+}", "a LOGIN {12-}", "a NOOP {12+}", "a ID {12+}"] {
        let (said, end) = played(format!("{line}\r\nb STARTTLS\r\n"));
        assert_eq!(said, "a BAD No literals before STARTTLS\r\n* BYE Closing\r\n", "{line}");
        assert_eq!(end, End::Refused(Refusal::NoTls), "{line}");
    }
}

#[test]
fn nothing_that_stands_behind_starttls_gets_into_tls() {
    for injected in [
        "b NOOP\r\n",
        "b LOGIN evil evil\r\n",
        "b STARTTLS\r\n",
        "b",
        "\r\n",
        "\n",
        "\0",
        "\u{16}\u{3}\u{1}",
    ] {
        let (said, end) = played(format!("a STARTTLS\r\n{injected}"));
        assert_eq!(said, "a BAD Nothing may follow STARTTLS before TLS\r\n* BYE Closing\r\n");
        assert_eq!(end, End::Refused(Refusal::Injected), "{injected:?}");
    }
}

#[test]
fn what_is_not_imap_is_told_once_and_hears_no_more() {
    for bytes in ["POST / HTTP/1.1\r\nHost: mx.test:143\r\n\r\na NOOP\r\n", "a NOOP\n"] {
        let (said, end) = played(bytes);
        assert_eq!(said, "* BYE This is IMAP, in lines that end in CRLF\r\n");
        assert_eq!(end, End::Refused(Refusal::NotTheProtocol));
    }
    let end = End::Refused(Refusal::NotTheProtocol);
    assert_eq!(played([22, 3, 1, 2, 0, 1]), (String::new(), end));
}

#[test]
fn who_talks_too_much_before_tls_is_cut_off() {
    let (said, end) = played("a LOGIN u p\r\n".repeat(9));
    assert_eq!(said.matches("PRIVACYREQUIRED").count(), 5);
    assert!(said.ends_with("* BYE Too many errors\r\n"), "{said}");
    assert_eq!(end, End::Refused(Refusal::TooManyErrors));
    let (said, end) = played("a NOOP\r\n".repeat(30));
    assert_eq!(said.matches("a OK").count(), 20);
    assert!(said.ends_with("* BYE Too much before STARTTLS\r\n"), "{said}");
    assert_eq!(end, End::Refused(Refusal::Flooded));
    let line = vec![b'a'; 1 << 20];
    let played = play(&mut server("mx.test"), line.chunks(4096), |_| vec![]);
    assert_eq!(played.end, End::Refused(Refusal::Flooded));
}

/// What is said to an endpoint that says this, and the end.
fn asked(answers: &[&str]) -> (String, Option<Result<(), Unwilling>>) {
    let asked = ask_in_all_ways(Client::default, answers);
    (asked.said, asked.end)
}

#[test]
fn an_endpoint_is_asked_for_tls() {
    for answer in ["A1 OK Go on\r\n", "* CAPABILITY IMAP4rev1\r\n* OK still here\r\nA1 ok\r\n"] {
        let (said, end) = asked(&["* OK [CAPABILITY IMAP4rev1] ready\r\n", answer]);
        assert_eq!((&*said, end), ("A1 STARTTLS\r\n", Some(Ok(()))));
    }
}

#[test]
fn an_endpoint_without_tls_gets_no_password() {
    for (answers, why) in [
        (&["* PREAUTH Welcome\r\n"][..], Unwilling::Preauthenticated),
        (&["* preauth Welcome\r\n"], Unwilling::Preauthenticated),
        (&["* BYE Busy\r\n"], Unwilling::Refused),
        (&["* OK a\r\n", "* BYE Busy\r\n"], Unwilling::Refused),
        (&["* OK a\r\n", "A1 NO Not here\r\n"], Unwilling::NoTls),
        (&["* OK a\r\n", "A1 BAD What?\r\n"], Unwilling::NoTls),
        (&["* OK a\r\n", "A2 OK Go\r\n"], Unwilling::NotTheProtocol),
        (&["* OK a\r\n", "A1 PREAUTH Go\r\n"], Unwilling::NotTheProtocol),
        (&["* OK a\n"], Unwilling::NotTheProtocol),
        (&["220 a\r\n"], Unwilling::NotTheProtocol),
        (&["* OK a\r\n", "A1 OK Go\r\n* PREAUTH Welcome\r\n"], Unwilling::Injected),
    ] {
        assert_eq!(asked(answers).1, Some(Err(why)), "{answers:?}");
    }
}

#[test]
fn an_endpoint_that_answers_before_it_is_asked_is_refused() {
    let asked = ask(&mut Client::default(), [&b"* OK a\r\nA1 OK Go\r\n"[..]]);
    assert_eq!((asked.said, asked.end), (String::new(), Some(Err(Unwilling::Injected))));
}

#[test]
fn an_endpoint_cannot_go_on_forever() {
    let endless = format!("* OK a\r\n{}", "* OK b\r\n".repeat(10_000));
    let asked = ask(&mut Client::default(), endless.as_bytes().split_inclusive(|&b| b == b'\n'));
    assert_eq!(asked.end, Some(Err(Unwilling::NotTheProtocol)));
}

#[test]
fn the_greeting_of_a_backend_is_kept_from_a_client_that_had_one() {
    for rest in ["", "* CAPABILITY IMAP4rev1\r\n"] {
        let bytes = format!("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n{rest}");
        let welcomed = welcome_in_all_ways(welcome, bytes.as_bytes());
        assert_eq!(welcomed, Welcomed::Kept(rest.into()));
    }
}

#[test]
fn the_refusal_of_a_backend_is_passed_on() {
    let words = "* BYE [UNAVAILABLE] Busy\r\n";
    let welcomed = welcome_in_all_ways(welcome, words.as_bytes());
    assert_eq!(welcomed, Welcomed::Refused(words.into()));
}

#[test]
fn nobody_is_somebody_without_a_password() {
    let ours = "* BYE [UNAVAILABLE] The mail service is not available\r\n";
    for words in ["* PREAUTH Welcome\r\n", "* preauth\r\n", "220 a\r\n", "A1 OK a\r\n", "\r\n"] {
        let welcomed = welcome_in_all_ways(welcome, words.as_bytes());
        assert_eq!(welcomed, Welcomed::Refused(ours.into()), "{words:?}");
    }
}

proptest! {
    #[test]
    fn the_dialogue_is_the_same_however_the_bytes_are_cut(
        lines in proptest::collection::vec(
            prop_oneof![
                Just("a NOOP\r\n".to_owned()),
                Just("a LOGIN {3}\r\n".to_owned()),
                Just("a LOGIN {3+}\r\n".to_owned()),
                Just("a STARTTLS\r\n".to_owned()),
                "[ -~\r\n\t]{0,30}(\r\n)?",
            ],
            0..5,
        ),
    ) {
        play_in_all_ways(|| server("mx.test"), lines.concat().as_bytes());
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        play_in_all_ways(|| server("mx.test"), &bytes);
        ask(&mut Client::default(), [&*bytes]);
        welcome_in_all_ways(welcome, &bytes);
    }
}
