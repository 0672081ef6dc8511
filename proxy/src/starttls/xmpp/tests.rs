//! What a client of XMPP gets for what it says.

use proptest::prelude::*;

use super::super::rehearsal::{End, Played, play_in_all_ways};
use super::*;

const DECLARATION: &str = "<?xml version='1.0'?>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// The header of a client.
fn header(to: &str) -> String {
    format!(
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
         to='{to}' version='1.0'>"
    )
}

fn play(text: &str) -> Played {
    play_in_all_ways(|| Server::new("chat.example", 0xabc), text.as_bytes())
}

/// The words that come behind the features, and the end.
fn behind_features(text: &str) -> (String, End) {
    let played = play(&(DECLARATION.to_owned() + &header("chat.example") + text));
    let (_, rest) = played.said.split_once("</stream:features>").expect("features");
    (rest.to_owned(), played.end)
}

#[test]
fn a_stream_is_opened_with_starttls_required_and_proceeds() {
    for start in [DECLARATION, "", "<?xml version=\"1.0\" encoding='utf-8'?>\n"] {
        let played = play(&format!("{start}{}{STARTTLS}", header("talk.example")));
        assert_eq!(played.end, End::Upgrade, "{start}");
        let expected = "<?xml version='1.0'?><stream:stream from='talk.example' \
            id='0000000000000abc' version='1.0' xml:lang='en' xmlns='jabber:client' \
            xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
            <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
            </stream:features><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
        assert_eq!(played.said, expected);
    }
    let servers = header("talk.example").replace("jabber:client", "jabber:server");
    let played = play(&(servers + STARTTLS));
    assert!(played.said.contains(" xmlns='jabber:server'"), "{played:?}");
    assert_eq!(played.end, End::Upgrade);
}

#[test]
fn a_request_may_be_written_in_every_way_that_xml_has() {
    for request in [
        "<starttls xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"></starttls>",
        " \n<starttls  xmlns='urn:ietf:params:xml:ns:xmpp-tls' />",
        "<t:starttls xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'> </starttls>",
    ] {
        assert_eq!(behind_features(request), (PROCEED.to_owned(), End::Upgrade), "{request}");
    }
}

#[test]
fn whom_the_client_wants_is_who_answers_unless_it_is_no_host() {
    for (wanted, answers) in [("talk.example", "talk.example"), ("a b", "chat.example"), ("'", "")]
    {
        let played = play(&header(wanted));
        let from = format!("from='{answers}'");
        assert_eq!(played.said.contains(&from), !answers.is_empty(), "{wanted}: {played:?}");
    }
    let nobody = header("x").replace(" to='x'", "");
    assert!(play(&nobody).said.contains("from='chat.example'"));
}

#[test]
fn bytes_behind_the_request_end_the_connection() {
    for behind in [" ", "<a/>", "<presence/>", STARTTLS, "\u{16}\u{3}\u{1}"] {
        for request in [STARTTLS, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'></starttls>"] {
            let refused = (TLS_REFUSED.to_owned(), End::Refused(Refusal::Injected));
            assert_eq!(behind_features(&format!("{request}{behind}")), refused, "{behind}");
        }
    }
}

#[test]
fn nothing_else_is_done_before_tls() {
    let login = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
    let refused = (LOGIN_REFUSED.to_owned(), End::Refused(Refusal::NoTls));
    assert_eq!(behind_features(login), refused);
    for stanza in [
        "<iq type='get' id='1'/>",
        "<message to='a@chat.example'><body>b</body></message>",
        "<presence/>",
        "<starttls/>",
        "<starttls xmlns='jabber:client'/>",
        "<stream:stream/>",
    ] {
        let (said, end) = behind_features(stanza);
        assert!(said.starts_with("<stream:error><policy-violation "), "{stanza}: {said}");
        assert_eq!(end, End::Refused(Refusal::NoTls), "{stanza}");
    }
    let (said, end) =
        behind_features("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><message/></starttls>");
    assert!(said.starts_with("<stream:error><bad-format "), "{said}");
    assert_eq!(end, End::Refused(Refusal::NotTheProtocol));
    assert_eq!(behind_features("</stream:stream>"), (END.to_owned(), End::Quit));
}

#[test]
fn a_stream_that_is_none_is_ended_with_the_error_for_it() {
    let good = header("a.example");
    for (start, condition) in [
        ("<html>".to_owned(), "bad-format"),
        ("</a>".to_owned(), "bad-format"),
        (good.replace("etherx", "other"), "invalid-namespace"),
        (good.replace("jabber:client", "jabber:other"), "invalid-namespace"),
        (good.replace("version='1.0'", "version='0.9'"), "unsupported-version"),
        (good.replace("version='1.0'", ""), "unsupported-version"),
        ("<?xml version='1.0' encoding='UTF-16'?>".to_owned(), "unsupported-encoding"),
        (format!("{DECLARATION}{DECLARATION}"), "bad-format"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]>".to_owned(), "restricted-xml"),
        (good.replace("a.example", "&amp;"), "restricted-xml"),
        ("<a b>".to_owned(), "not-well-formed"),
    ] {
        let played = play(&start);
        let Played { said, end } = &played;
        assert!(said.starts_with("<?xml version='1.0'?><stream:stream from='chat.example'"));
        assert!(said.contains(&format!("<stream:error><{condition} ")), "{start}: {said}");
        assert!(said.ends_with("</stream:stream>"), "{start}: {said}");
        assert_eq!(*end, End::Refused(Refusal::NotTheProtocol), "{start}");
    }
}

#[test]
fn other_protocols_end_the_connection_without_a_word() {
    for text in ["GET / HTTP/1.1\r\n\r\n", "EHLO there\r\n", "\u{16}\u{3}\u{1}", "\r\n\r\nhello"] {
        let end = End::Refused(Refusal::NotTheProtocol);
        assert_eq!(play(text), Played { said: String::new(), end }, "{text}");
    }
}

#[test]
fn floods_end_the_connection() {
    for flood in [" ".repeat(1025), format!("<a b='{}", "x".repeat(1024))] {
        let (said, end) = behind_features(&flood);
        assert!(said.starts_with("<stream:error><policy-violation "), "{said}");
        assert_eq!(end, End::Refused(Refusal::Flooded));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_that_nobody_wrote_do_the_same_however_they_are_cut(
        is_open: bool,
        text in "[<>/?!a:= '\"&\n]{0,30}",
        bytes in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let start = if is_open { header("a.example") } else { String::new() };
        play(&format!("{start}{text}"));
        let bytes = [start.as_bytes(), &bytes].concat();
        play_in_all_ways(|| Server::new("chat.example", 1), &bytes);
    }
}
