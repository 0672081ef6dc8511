//! Rows about what follows a head: chunks, expectations, other protocols.

use super::{judge_all, last, line, passes, post, refused, refused_after};

const BAD: &[u16] = &[400];
/// The response may have begun before the fault was read; then it is cut.
const BROKEN: &[u16] = &[0, 400];
const ONE: &[&str] = &["/"];

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_exactly_chunks_or_never_a_request() {
    let chunks = |content: &str| post("Transfer-Encoding: chunked\r\n", content);
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000));
    judge_all(vec![
        passes("one chunk", chunks("5\r\nhello\r\n0\r\n\r\n"), ONE),
        passes("two", chunks("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), ONE),
        passes("none", chunks("0\r\n\r\n"), ONE),
        passes("zeros", chunks("0005\r\nhello\r\n000\r\n\r\n"), ONE),
        passes("line ends in it", chunks("c\r\nhello\r\n0\r\n\r\n\r\n0\r\n\r\n"), ONE),
        passes("digits in upper case", chunks("A\r\nhello12345\r\n0\r\n\r\n"), ONE),
        passes("an extension", chunks("5;a=b\r\nhello\r\n0;c\r\n\r\n"), ONE),
        passes("an extension in quotes", chunks("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"), ONE),
        passes("an extension behind a space", chunks("5 ;a\r\nhello\r\n0\r\n\r\n"), ONE),
        refused("a size beyond 64 bits", chunks("fffffffffffffffff\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a size of 64 bits", chunks("ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused(
            "zeros without end",
            chunks(&format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(40))),
            BROKEN,
        ),
        refused("a prefix", chunks("0x5\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a plus", chunks("+5\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a minus", chunks("-5\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a space before the size", chunks(" 5\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a space behind the size", chunks("5 \r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a tab behind the size", chunks("5\t\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("an underscore", chunks("0_5\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a comma", chunks("5,5\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("no size", chunks("\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("only an extension", chunks(";a\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("no digits", chunks("g\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a null behind the size", chunks("5\0\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a bare line feed behind the size", chunks("5\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a bare carriage return behind the size", chunks("5\rhello\r\n0\r\n\r\n"), BROKEN),
        refused("two carriage returns", chunks("5\r\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("a bare line feed in an extension", chunks("5;a\nb\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused(
            "a bare carriage return in an extension",
            chunks("5;a\rb\r\nhello\r\n0\r\n\r\n"),
            BROKEN,
        ),
        refused("a null in an extension", chunks("5;a\0\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("an extension without end", chunks(&long), BROKEN),
        refused("more than its size", chunks("5\r\nhelloX\r\n0\r\n\r\n"), BROKEN),
        refused("less than its size", chunks("6\r\nhello\r\n0\r\n\r\n"), BROKEN),
        refused("no end of a chunk", chunks("5\r\nhello0\r\n\r\n"), BROKEN),
        refused("a bare line feed behind a chunk", chunks("5\r\nhello\n0\r\n\r\n"), BROKEN),
        refused("a bare carriage return behind a chunk", chunks("5\r\nhello\r0\r\n\r\n"), BROKEN),
        refused("a bare line feed at the end", chunks("5\r\nhello\r\n0\n\r\n"), BROKEN),
        refused("an end of bare line feeds", chunks("5\r\nhello\r\n0\r\n\n"), BROKEN),
        refused("a trailer without a colon", chunks("5\r\nhello\r\n0\r\nX\r\n\r\n"), BROKEN),
        refused("a trailer with a space", chunks("5\r\nhello\r\n0\r\nX : 1\r\n\r\n"), BROKEN),
        refused("a folded trailer", chunks("5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n"), BROKEN),
        refused("a trailer with a null", chunks("5\r\nhello\r\n0\r\nX: \0\r\n\r\n"), BROKEN),
        refused(
            "a trailer with a bare line feed",
            chunks("5\r\nhello\r\n0\r\nX: 1\nY: 2\r\n\r\n"),
            BROKEN,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expectation_is_the_one_there_is_or_refused() {
    let expect = |fields: &str| post(&format!("Content-Length: 5\r\n{fields}"), "hello");
    let in_chunks =
        post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n");
    let old = line("POST / HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 5\r\n");
    judge_all(vec![
        passes("leave to go on", expect("Expect: 100-continue\r\n"), ONE),
        passes("in any case", expect("eXPECT: 100-Continue\r\n"), ONE),
        passes("spaces around it", expect("Expect: \t100-continue \r\n"), ONE),
        passes("without content", post("Expect: 100-continue\r\n", ""), ONE),
        passes("with chunks", in_chunks, ONE),
        last("in HTTP/1.0", [old, b"hello".to_vec()].concat(), ONE),
        refused("another one", expect("Expect: 200-ok\r\n"), &[417]),
        refused("nothing", expect("Expect:\r\n"), &[417]),
        refused("a list", expect("Expect: 100-continue, x\r\n"), &[417]),
        refused("twice", expect("Expect: 100-continue\r\nExpect: 100-continue\r\n"), &[417]),
        refused("another one behind", expect("Expect: 100-continue\r\nExpect: x\r\n"), &[417]),
        refused("another one before", expect("Expect: x\r\nExpect: 100-continue\r\n"), &[417]),
        refused("quotes", expect("Expect: \"100-continue\"\r\n"), &[417]),
        refused("a parameter", expect("Expect: 100-continue;q=1\r\n"), &[417]),
        refused("more behind it", expect("Expect: 100-continuex\r\n"), &[417]),
        refused("folded", expect("Expect:\r\n 100-continue\r\n"), BAD),
        refused("a space before the colon", expect("Expect : 100-continue\r\n"), BAD),
        refused("a vertical tab", expect("Expect: \x0b100-continue\r\n"), BAD),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_is_not_passed_on_unless_it_is_asked_for_as_it_must_be() {
    let get = |fields: &str| line("GET / HTTP/1.1", fields);
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let whole = format!(
        "{websocket}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    let with_length = post(&format!("{websocket}Content-Length: 5\r\n"), "hello");
    let and_frame = [get(websocket), b"\x81\x05hello".to_vec()].concat();
    judge_all(vec![
        passes("HTTP/2 in clear text", get(h2c), ONE),
        passes("TLS", get("Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"), ONE),
        passes("several", get("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"), ONE),
        passes("twice", get("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"), ONE),
        passes("not named by Connection", get("Upgrade: websocket\r\n"), ONE),
        passes("by another method", post("Connection: Upgrade\r\nUpgrade: websocket\r\n", ""), ONE),
        passes("with content", with_length, ONE),
        // The judge does not agree to the upgrade: what follows is a request and was never sent.
        passes("a WebSocket that is declined", get(&whole), ONE),
        refused_after("what follows one that is declined", and_frame, ONE, BAD),
    ])
    .await;
}
