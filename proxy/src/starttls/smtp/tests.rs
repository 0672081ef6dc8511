//! SMTP before TLS: what is answered, what is refused, and that nothing outlives the change.

use proptest::prelude::*;

use super::*;
use crate::starttls::rehearsal::{
    End, Played, ask, ask_in_all_ways, play, play_in_all_ways, welcome_in_all_ways,
};
use crate::starttls::{LINE_BYTES_MAX, Unwilling, Welcomed};

const GREETING: &str = "220 mx.test ESMTP\r\n";

/// What a client that has to come to TLS hears behind the greeting, and the end.
fn required(bytes: impl AsRef<[u8]>) -> (String, End) {
    let Played { said, end } =
        play_in_all_ways(|| server("mx.test", WithoutTls::Refused), bytes.as_ref());
    (said.strip_prefix(GREETING).expect("a greeting first").to_owned(), end)
}

#[test]
fn a_client_hears_that_there_is_tls_and_gets_it() {
    let (said, end) = required("EHLO client.test\r\nSTARTTLS\r\n");
    assert_eq!(said, "250-mx.test\r\n250 STARTTLS\r\n220 2.0.0 Ready to start TLS\r\n");
    assert_eq!(end, End::Upgrade);
}

#[test]
fn the_first_words_are_answered_in_capitals_or_not() {
    for (line, reply) in [
        ("HELO client.test", "250 mx.test\r\n"),
        ("ehlo client.test", "250-mx.test\r\n250 STARTTLS\r\n"),
        ("LHLO client.test", "250-mx.test\r\n250 STARTTLS\r\n"),
        ("NOOP", "250 2.0.0 Ok\r\n"),
        ("NOOP for fun", "250 2.0.0 Ok\r\n"),
        ("RSET", "250 2.0.0 Ok\r\n"),
        ("EHLO", "501 5.5.4 EHLO needs the name of the client\r\n"),
        ("HELO ", "501 5.5.4 HELO needs the name of the client\r\n"),
        ("", "500 5.5.2 Expected a command\r\n"),
        ("STARTTLS now", "501 5.5.4 STARTTLS has no parameters\r\n"),
    ] {
        assert_eq!(required(format!("{line}\r\n")), (reply.to_owned(), End::Listen), "{line}");
    }
    let quit = ("221 2.0.0 Bye\r\n".to_owned(), End::Quit);
    assert_eq!(required("QUIT\r\nNOOP\r\n"), quit);
}

#[test]
fn nothing_but_the_first_words_is_taken_before_tls() {
    for line in [
        "MAIL FROM:<a@client.test>",
        "RCPT TO:<b@mx.test>",
        "DATA",
        "BDAT 10 LAST",
        "AUTH PLAIN AGEAYg==",
        "auth login",
        "VRFY b",
        "EXPN b",
        "HELP",
        "ETRN mx.test",
        "XCLIENT ADDR=192.0.2.1",
        "STARTTLSX",
        "MAIL FROM:<\u{fc}@client.test>",
    ] {
        let (said, end) = required(format!("{line}\r\n"));
        assert_eq!(said, "530 5.7.0 Must issue a STARTTLS command first\r\n", "{line}");
        assert_eq!(end, End::Listen, "{line}");
    }
}

#[test]
fn who_leaves_since_there_is_no_way_without_tls_is_known_for_that() {
    let (_, end) = required("EHLO c\r\nMAIL FROM:<>\r\nQUIT\r\n");
    assert_eq!(end, End::Refused(Refusal::NoTls));
}

#[test]
fn nothing_that_stands_behind_starttls_gets_into_tls() {
    for injected in [
        "NOOP\r\n",
        "EHLO c\r\n",
        "MAIL FROM:<evil@client.test>\r\nRCPT TO:<b@mx.test>\r\nDATA\r\n",
        "STARTTLS\r\n",
        "QUIT\r\n",
        "N",
        "\r\n",
        "\n",
        "\0",
        "\u{16}\u{3}\u{1}",
        " ",
    ] {
        let (said, end) = required(format!("EHLO c\r\nSTARTTLS\r\n{injected}"));
        let hello = "250-mx.test\r\n250 STARTTLS\r\n";
        let words = "503 5.5.1 Nothing may follow STARTTLS before TLS\r\n";
        assert_eq!(said, format!("{hello}{words}"), "{injected:?}");
        assert_eq!(end, End::Refused(Refusal::Injected), "{injected:?}");
    }
}

#[test]
fn a_line_ends_in_crlf_and_in_nothing_else() {
    for line in ["EHLO c\n", "EHLO c\n\r\n", "NO\rOP\r\n", "STARTTLS\n", "EHLO c\r\r\n"] {
        let (said, end) = required(line);
        assert_eq!(said, "500 5.5.2 This is SMTP, in lines that end in CRLF\r\n", "{line:?}");
        assert_eq!(end, End::Refused(Refusal::NotTheProtocol), "{line:?}");
    }
}

#[test]
fn a_browser_is_told_once_and_hears_no_more() {
    let request = "POST / HTTP/1.1\r\nHost: mx.test:25\r\n\r\nEHLO c\r\nSTARTTLS\r\n";
    let (said, end) = required(request);
    assert_eq!(said, "500 5.5.2 This is SMTP, in lines that end in CRLF\r\n");
    assert_eq!(end, End::Refused(Refusal::NotTheProtocol));
}

#[test]
fn a_client_that_begins_with_tls_is_not_left_waiting() {
    let end = End::Refused(Refusal::NotTheProtocol);
    assert_eq!(required([22, 3, 1, 2, 0, 1]), (String::new(), end));
}

#[test]
fn the_fifth_error_is_the_last() {
    let (said, end) = required("MAIL FROM:<>\r\n".repeat(9));
    assert_eq!(said.matches("530 5.7.0").count(), 5);
    assert!(said.ends_with("421 4.7.0 Too many errors\r\n"), "{said}");
    assert_eq!(end, End::Refused(Refusal::TooManyErrors));
}

#[test]
fn the_twenty_first_command_is_not_answered() {
    let (said, end) = required("NOOP\r\n".repeat(20));
    assert_eq!((said.matches("250").count(), end), (20, End::Listen));
    let mut dialogue = server("mx.test", WithoutTls::Refused);
    let commands = "NOOP\r\n".repeat(10_000);
    let Played { said, end } = play(&mut dialogue, commands.as_bytes().chunks(4096), |_| vec![]);
    assert_eq!(said.matches("250").count(), 20);
    assert!(said.ends_with("421 4.7.0 Too much before STARTTLS\r\n"), "{said}");
    assert_eq!(end, End::Refused(Refusal::Flooded));
}

#[test]
fn a_line_without_end_is_not_kept() {
    let line = vec![b'a'; 1 << 20];
    let mut pieces = 0;
    let counted = line.chunks(100).inspect(|_| pieces += 1);
    let played = play(&mut server("mx.test", WithoutTls::Refused), counted, |_| vec![]);
    assert_eq!(played.end, End::Refused(Refusal::Flooded));
    assert_eq!(pieces, LINE_BYTES_MAX.div_ceil(100));
}

/// What a client that may come to TLS hears behind the greeting, and the end.
fn allowed(bytes: &str, backend: &str) -> (String, End) {
    let ask = |question: &[u8]| [backend.as_bytes(), question].concat();
    let whole = play(&mut server("mx.test", WithoutTls::Allowed), [bytes.as_bytes()], ask);
    let cut = play(&mut server("mx.test", WithoutTls::Allowed), bytes.as_bytes().chunks(1), ask);
    assert_eq!(cut, whole, "byte by byte");
    (whole.said.strip_prefix(GREETING).expect("a greeting first").to_owned(), whole.end)
}

#[test]
fn where_tls_may_be_done_without_the_backend_says_what_it_can() {
    let backend = "250-mda.test\r\n250-SIZE 1000\r\n250-AUTH PLAIN\r\n250-AUTH=LOGIN\r\n\
                   250-starttls\r\n250-PIPELINING\r\n250 ";
    let (said, end) = allowed("EHLO c.test\r\nSTARTTLS\r\n", backend);
    let hello = "250-mda.test\r\n250-SIZE 1000\r\n250-PIPELINING\r\n250-EHLO c.test\r\n\
                 250 STARTTLS\r\n";
    assert_eq!(said, format!("{hello}220 2.0.0 Ready to start TLS\r\n"));
    assert_eq!(end, End::Upgrade);
}

#[test]
fn a_backend_that_does_not_know_ehlo_says_so_itself() {
    let (said, end) = allowed("EHLO c.test\r\n", "502 5.5.2 What is ");
    assert_eq!((&*said, end), ("502 5.5.2 What is EHLO c.test\r\n", End::Listen));
}

#[test]
fn who_goes_on_with_mail_is_handed_over_with_all_that_was_said() {
    let mail = "MAIL FROM:<a@c.test>\r\nRCPT TO:<b@mx.test>\r\nDATA\r\nSTARTTLS\n";
    let (_, end) = allowed(&format!("NOOP\r\n{mail}"), "");
    assert_eq!(end, End::Clear(mail.into()));
    let (_, end) = allowed("HELO c.test\r\nMAIL", "");
    assert_eq!(end, End::Clear("HELO c.test\r\nMAIL".into()));
}

#[test]
fn a_password_is_refused_in_the_clear_even_where_mail_is_not() {
    let (said, end) = allowed("AUTH PLAIN AGEAYg==\r\n", "");
    assert_eq!(said, "538 5.7.11 Encryption required, issue STARTTLS first\r\n");
    assert_eq!(end, End::Listen);
}

#[test]
fn only_mail_leads_on_in_the_clear() {
    for (line, reply) in [
        ("VRFY b", "252 2.5.2 Send some mail, and see\r\n"),
        ("EXPN b", "502 5.5.1 Not before MAIL or STARTTLS\r\n"),
        ("HELP", "502 5.5.1 Not before MAIL or STARTTLS\r\n"),
        ("XCLIENT ADDR=192.0.2.1", "502 5.5.1 Not before MAIL or STARTTLS\r\n"),
        ("RCPT TO:<b@mx.test>", "503 5.5.1 MAIL comes first\r\n"),
    ] {
        let denied = "538 5.7.11 Encryption required, issue STARTTLS first\r\n";
        let (said, end) = allowed(&format!("{line}\r\nAUTH PLAIN AGEAYg==\r\n"), "");
        assert_eq!((said, end), (format!("{reply}{denied}"), End::Listen), "{line}");
    }
}

#[test]
fn injection_is_refused_where_tls_may_be_done_without() {
    let (said, end) = allowed("EHLO c\r\nSTARTTLS\r\nMAIL FROM:<evil@c.test>\r\n", "250 ");
    assert!(said.ends_with("503 5.5.1 Nothing may follow STARTTLS before TLS\r\n"), "{said}");
    assert_eq!(end, End::Refused(Refusal::Injected));
}

#[test]
fn a_backend_that_is_not_there_or_does_not_want_the_client_ends_it() {
    for (answer, words) in [
        (Answer::Nobody, "421 4.3.2 The mail service is not available\r\n"),
        (Answer::Unwelcome(b"554 5.7.1 Not you\r\n"), "554 5.7.1 Not you\r\n"),
    ] {
        let mut dialogue = server("mx.test", WithoutTls::Allowed);
        dialogue.feed(b"EHLO c\r\n");
        let step = dialogue.answered(answer);
        assert_eq!(step, crate::starttls::Step::refuse(words.into(), Refusal::Backend));
    }
}

/// What is said to an endpoint that says this, and the end.
fn asked(answers: &[&str]) -> (String, Option<Result<(), Unwilling>>) {
    let asked = ask_in_all_ways(|| Client::new("proxy.test"), answers);
    (asked.said, asked.end)
}

#[test]
fn an_endpoint_that_offers_tls_is_asked_for_it() {
    let hello = "250-mx.test\r\n250-SIZE\r\n250-StartTLS\r\n250 HELP\r\n";
    let (said, end) = asked(&["220-mx.test\r\n220 ESMTP\r\n", hello, "220 Go on\r\n"]);
    assert_eq!(said, "EHLO proxy.test\r\nSTARTTLS\r\n");
    assert_eq!(end, Some(Ok(())));
}

#[test]
fn an_endpoint_without_tls_gets_no_mail() {
    for (answers, why) in [
        (&["554 No\r\n"][..], Unwilling::Refused),
        (&["421-No\r\n421 No\r\n"], Unwilling::Refused),
        (&["220 a\r\n", "250-a\r\n250 SIZE\r\n"], Unwilling::NoTls),
        (&["220 a\r\n", "250-STARTTLSX\r\n250 NOSTARTTLS\r\n"], Unwilling::NoTls),
        (&["220 a\r\n", "502 What?\r\n"], Unwilling::NoTls),
        (&["220 a\r\n", "250-a\r\n250 STARTTLS\r\n", "454 Not now\r\n"], Unwilling::NoTls),
        (&["SSH-2.0-x\r\n"], Unwilling::NotTheProtocol),
        (&["220 a\n"], Unwilling::NotTheProtocol),
        (&["220-a\r\n250 a\r\n"], Unwilling::NotTheProtocol),
        (&["220 a\r\n", "250-a\r\n250 STARTTLS\r\n", "250 Ok\r\n"], Unwilling::NotTheProtocol),
        (&["220 a\r\n", "250-a\r\n250 STARTTLS\r\n", "220 Go\r\n250"], Unwilling::Injected),
    ] {
        assert_eq!(asked(answers).1, Some(Err(why)), "{answers:?}");
    }
}

#[test]
fn an_endpoint_that_answers_before_it_is_asked_is_refused() {
    let ahead = "220 a\r\n250-a\r\n250 STARTTLS\r\n220 Go\r\n";
    let asked = ask(&mut Client::new("c"), [ahead.as_bytes()]);
    assert_eq!((asked.said, asked.end), (String::new(), Some(Err(Unwilling::Injected))));
}

#[test]
fn an_endpoint_cannot_go_on_forever() {
    for endless in ["220-a\r\n".repeat(10_000), "2".repeat(2000)] {
        let asked = ask(&mut Client::new("c"), endless.as_bytes().chunks(1000));
        assert_eq!(asked.end, Some(Err(Unwilling::NotTheProtocol)));
    }
}

#[test]
fn the_greeting_of_a_backend_is_kept_from_a_client_that_had_one() {
    for (greeting, rest) in [
        ("220 mda.test\r\n", ""),
        ("220\r\n", ""),
        ("220-mda.test\r\n220-welcomes\r\n220 you\r\n", ""),
        ("220 mda.test\n", ""),
        ("220 mda.test\r\n", "421 Going down\r\n"),
    ] {
        let welcomed = welcome_in_all_ways(welcome, format!("{greeting}{rest}").as_bytes());
        assert_eq!(welcomed, Welcomed::Kept(rest.into()), "{greeting:?}");
    }
}

#[test]
fn the_refusal_of_a_backend_is_passed_on() {
    for words in ["554 5.7.1 Not you\r\n", "421-Too\r\n421 busy\r\n"] {
        let welcomed = welcome_in_all_ways(welcome, words.as_bytes());
        assert_eq!(welcomed, Welcomed::Refused(words.into()));
    }
    for words in ["+OK\r\n", "250 Ok\r\n", "\r\n", "220-a\r\n554 b\r\n"] {
        let ours = b"421 4.3.2 The mail service is not available\r\n".to_vec();
        assert_eq!(welcome_in_all_ways(welcome, words.as_bytes()), Welcomed::Refused(ours));
    }
}

#[test]
fn an_answer_is_whole_when_its_last_line_is() {
    let read = |text: &str, size: usize| {
        let mut reader = AnswerReader::default();
        let read = text.as_bytes().chunks(size).map(|piece| reader.feed(piece));
        read.filter(|step| *step != Ok(None)).last()
    };
    for text in ["250 mda.test\r\n", "250-mda.test\r\n250-SIZE\r\n250 HELP\r\n", "502 What\n"] {
        for size in 1..=text.len() {
            assert_eq!(read(text, size), Some(Ok(Some(text.into()))), "{text:?} by {size}");
        }
    }
    for text in ["250 a\r\n250 b\r\n", "250-a\r\n550 b\r\n", "hello\r\n", "2500 a\r\n"] {
        assert_eq!(read(text, text.len()), Some(Err(NotAReply)), "{text:?}");
    }
    assert_eq!(read("250-a\r\n250", 3), None);
}

/// Lines as clients have them, and as they should not have them.
fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("EHLO c.test\r\n".to_owned()),
        Just("NOOP\r\n".to_owned()),
        Just("STARTTLS\r\n".to_owned()),
        Just("AUTH PLAIN\r\n".to_owned()),
        Just("MAIL FROM:<a@c.test>\r\n".to_owned()),
        Just("QUIT\r\n".to_owned()),
        Just("NOOP\n".to_owned()),
        "[ -~\r\n\t]{0,30}(\r\n)?",
    ]
}

proptest! {
    #[test]
    fn the_dialogue_is_the_same_however_the_bytes_are_cut(
        lines in proptest::collection::vec(any_line(), 0..12),
        cuts in proptest::collection::vec(1..40_usize, 1..40),
    ) {
        let text = lines.concat();
        let pieces = || {
            let mut rest = text.as_bytes();
            let mut cuts = cuts.iter().cycle();
            std::iter::from_fn(move || {
                let (piece, later) = rest.split_at(rest.len().min(*cuts.next()?));
                rest = later;
                (!piece.is_empty()).then_some(piece)
            })
        };
        let ask = |question: &[u8]| [b"250 ", question].concat();
        for without_tls in [WithoutTls::Allowed, WithoutTls::Refused] {
            let make = || server("mx.test", without_tls);
            let whole = play(&mut make(), [text.as_bytes()], ask);
            prop_assert_eq!(play(&mut make(), pieces(), ask), whole);
        }
    }

    #[test]
    fn what_is_relayed_in_the_clear_is_what_the_client_said(
        lines in proptest::collection::vec(any_line(), 0..6),
    ) {
        let text = lines.concat();
        let ask = |question: &[u8]| [b"250 ", question].concat();
        let played = play(&mut server("mx.test", WithoutTls::Allowed), [text.as_bytes()], ask);
        if let End::Clear(bytes) = played.end {
            prop_assert!(text.as_bytes().ends_with(&bytes));
        }
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        play_in_all_ways(|| server("mx.test", WithoutTls::Refused), &bytes);
        ask(&mut Client::new("c"), [&*bytes]);
        welcome_in_all_ways(welcome, &bytes);
    }
}
