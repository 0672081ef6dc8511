//! POP3 before TLS: what is answered, what is refused, and that nothing outlives the change.

use proptest::prelude::*;

use super::*;
use crate::starttls::rehearsal::{
    End, Played, ask, ask_in_all_ways, play, play_in_all_ways, welcome_in_all_ways,
};
use crate::starttls::{Unwilling, Welcomed};

const GREETING: &str = "+OK mx.test ready\r\n";

/// What a client hears behind the greeting, and the end.
fn played(bytes: impl AsRef<[u8]>) -> (String, End) {
    let Played { said, end } = play_in_all_ways(|| server("mx.test"), bytes.as_ref());
    (said.strip_prefix(GREETING).expect("a greeting first").to_owned(), end)
}

#[test]
fn a_client_hears_that_there_is_tls_and_gets_it() {
    let (said, end) = played("CAPA\r\nSTLS\r\n");
    assert_eq!(said, "+OK\r\nSTLS\r\n.\r\n+OK Begin TLS negotiation\r\n");
    assert_eq!(end, End::Upgrade);
}

#[test]
fn the_first_words_are_answered_in_capitals_or_not() {
    for (line, reply) in [
        ("capa", "+OK\r\nSTLS\r\n.\r\n"),
        ("CAPA all", "-ERR The command has no argument\r\n"),
        ("STLS now", "-ERR The command has no argument\r\n"),
        ("", "-ERR Issue STLS first\r\n"),
    ] {
        assert_eq!(played(format!("{line}\r\n")), (reply.to_owned(), End::Listen), "{line}");
    }
    assert_eq!(played("QUIT\r\nCAPA\r\n"), ("+OK Bye\r\n".to_owned(), End::Quit));
}

#[test]
fn nobody_logs_in_or_does_anything_else_before_tls() {
    for line in [
        "USER user",
        "pass secret",
        "APOP user c4c9334bac560ecc979e58001b3e22fb",
        "AUTH",
        "AUTH PLAIN AGEAYg==",
        "STAT",
        "RETR 1",
        "NOOP",
        "STLSX",
        "XYZZY",
    ] {
        let (said, end) = played(format!("{line}\r\n"));
        assert_eq!((&*said, end), ("-ERR Issue STLS first\r\n", End::Listen), "{line}");
    }
    let (_, end) = played("USER user\r\nQUIT\r\n");
    assert_eq!(end, End::Refused(Refusal::NoTls));
}

#[test]
fn nothing_that_stands_behind_stls_gets_into_tls() {
    for injected in
        ["CAPA\r\n", "USER evil\r\n", "STLS\r\n", "U", "\r\n", "\n", "\0", "\u{16}\u{3}\u{1}"]
    {
        let (said, end) = played(format!("STLS\r\n{injected}"));
        assert_eq!(said, "-ERR Nothing may follow STLS before TLS\r\n", "{injected:?}");
        assert_eq!(end, End::Refused(Refusal::Injected), "{injected:?}");
    }
}

#[test]
fn what_is_not_pop3_is_told_once_and_hears_no_more() {
    for bytes in ["GET / HTTP/1.1\r\nHost: mx.test:110\r\n\r\nCAPA\r\n", "CAPA\n"] {
        let (said, end) = played(bytes);
        assert_eq!(said, "-ERR This is POP3, in lines that end in CRLF\r\n");
        assert_eq!(end, End::Refused(Refusal::NotTheProtocol));
    }
    let end = End::Refused(Refusal::NotTheProtocol);
    assert_eq!(played([22, 3, 1, 2, 0, 1]), (String::new(), end));
}

#[test]
fn who_talks_too_much_before_tls_is_cut_off() {
    let (said, end) = played("USER u\r\n".repeat(9));
    assert!(said.ends_with("-ERR Issue STLS first\r\n-ERR Too many errors\r\n"), "{said}");
    assert_eq!(said.matches("Issue STLS").count(), 5);
    assert_eq!(end, End::Refused(Refusal::TooManyErrors));
    let (said, end) = played("CAPA\r\n".repeat(30));
    assert_eq!(said.matches("+OK").count(), 20);
    assert!(said.ends_with("-ERR Too much before STLS\r\n"), "{said}");
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
    for answers in [["+OK ready <1896.697170952@mx>\r\n", "+OK Go on\r\n"], ["+OK\r\n", "+OK\r\n"]]
    {
        assert_eq!(asked(&answers), ("STLS\r\n".to_owned(), Some(Ok(()))));
    }
}

#[test]
fn an_endpoint_without_tls_gets_no_password() {
    for (answers, why) in [
        (&["-ERR Busy\r\n"][..], Unwilling::Refused),
        (&["+OK a\r\n", "-ERR What?\r\n"], Unwilling::NoTls),
        (&["+OK a\n"], Unwilling::NotTheProtocol),
        (&["+OKAY\r\n"], Unwilling::NotTheProtocol),
        (&["220 a\r\n"], Unwilling::NotTheProtocol),
        (&["+OK a\r\n", "+OK Go\r\n+OK"], Unwilling::Injected),
    ] {
        assert_eq!(asked(answers).1, Some(Err(why)), "{answers:?}");
    }
    let ahead = ask(&mut Client::default(), [&b"+OK a\r\n+OK Go\r\n"[..]]);
    assert_eq!((ahead.said, ahead.end), (String::new(), Some(Err(Unwilling::Injected))));
}

#[test]
fn the_first_words_of_a_backend_are_kept_or_passed_on() {
    let kept = welcome_in_all_ways(welcome, b"+OK ready <1896.697170952@mx>\r\nrest");
    assert_eq!(kept, Welcomed::Kept(b"rest".to_vec()));
    let refused = welcome_in_all_ways(welcome, b"-ERR Busy\r\n");
    assert_eq!(refused, Welcomed::Refused(b"-ERR Busy\r\n".to_vec()));
    let ours = b"-ERR [SYS/TEMP] The mail service is not available\r\n".to_vec();
    assert_eq!(welcome_in_all_ways(welcome, b"220 a\r\n"), Welcomed::Refused(ours));
}

proptest! {
    #[test]
    fn the_dialogue_is_the_same_however_the_bytes_are_cut(
        lines in proptest::collection::vec(
            prop_oneof![
                Just("CAPA\r\n".to_owned()),
                Just("STLS\r\n".to_owned()),
                Just("USER u\r\n".to_owned()),
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
