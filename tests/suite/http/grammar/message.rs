//! Rows about the framing of requests: lengths, codings, what follows a request.

use super::{judge_all, last, line, passes, post, refused, refused_after};

const BAD: &[u16] = &[400];
const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";
const ONE: &[&str] = &["/"];
const TWO: &[&str] = &["/", "/two"];

#[tokio::test(flavor = "multi_thread")]
async fn a_length_is_one_number_or_refused() {
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "hello");
    judge_all(vec![
        passes("a length", length("5"), ONE),
        passes("spaces around it", length(" \t5\t "), ONE),
        passes("leading zeros", length("005"), ONE),
        passes("no length and no content", post("", ""), ONE),
        passes("zero", post("Content-Length: 0\r\n", ""), ONE),
        passes("zeros", post("Content-Length: 000\r\n", ""), ONE),
        refused("two", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), BAD),
        refused("two alike", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), BAD),
        refused("two, one empty", post("Content-Length: 5\r\nContent-Length:\r\n", "hello"), BAD),
        refused("a list of two", length("5, 6"), BAD),
        refused("a list of one twice", length("5, 5"), BAD),
        refused("a list of one and nothing", length("5,"), BAD),
        refused("a plus", length("+5"), BAD),
        refused("a minus", length("-5"), BAD),
        refused("minus zero", length("-0"), BAD),
        refused("nothing", length(""), BAD),
        refused("hexadecimal", length("0x5"), BAD),
        refused("octal", length("0o5"), BAD),
        refused("a space inside", length("5 5"), BAD),
        refused("an underscore inside", length("1_0"), BAD),
        refused("a fraction", length("5.0"), BAD),
        refused("an exponent", length("5e0"), BAD),
        refused("a parameter", length("5;x=1"), BAD),
        refused("quotes", length("\"5\""), BAD),
        refused("a word", length("five"), BAD),
        refused("digits of another script", length("\u{665}"), BAD),
        refused("a vertical tab", length("5\x0b"), BAD),
        refused("a form feed", length("\x0c5"), BAD),
        refused("a null", length("5\0"), BAD),
        refused("beyond 64 bits", length("18446744073709551621"), BAD),
        refused("beyond 63 bits", length("9223372036854775813"), BAD),
        refused("far beyond", length(&"9".repeat(100)), BAD),
        refused("a name with a space", post("Content-Length : 5\r\n", "hello"), BAD),
        refused(
            "named by Connection",
            post("Connection: Content-Length\r\nContent-Length: 5\r\n", "hello"),
            BAD,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coding_is_exactly_chunked_or_refused() {
    let coding = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), CHUNKS);
    let fields = |fields: &str| post(fields, CHUNKS);
    judge_all(vec![
        passes("chunks", coding("chunked"), ONE),
        passes("in any case", coding("ChUnKeD"), ONE),
        passes("spaces around it", coding("\t chunked \t"), ONE),
        passes("a name in any case", fields("tRANSFER-eNCODING: chunked\r\n"), ONE),
        refused("unknown", coding("xchunked"), BAD),
        refused("unknown behind", coding("chunkedx"), BAD),
        refused("identity", coding("identity"), BAD),
        refused("not last", coding("chunked, identity"), BAD),
        refused("not alone", coding("gzip, chunked"), &[501]),
        refused("behind identity", coding("identity, chunked"), &[501]),
        refused("twice", coding("chunked, chunked"), &[400, 501]),
        refused("behind nothing", coding(", chunked"), &[400, 501]),
        refused("before nothing", coding("chunked,"), BAD),
        refused("a parameter", coding("chunked;x=1"), BAD),
        refused("a vertical tab", coding("\x0bchunked"), BAD),
        refused("a form feed", coding("chunked\x0c"), BAD),
        refused("a null", coding("chunked\0"), BAD),
        refused("quotes", coding("\"chunked\""), BAD),
        refused("a space inside", coding("chun ked"), BAD),
        refused("beyond ASCII", coding("ch\u{fc}nked"), BAD),
        refused("nothing", coding(""), BAD),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coding_stands_alone_and_once_or_is_refused() {
    let fields = |fields: &str| post(fields, CHUNKS);
    let old = format!(
        "POST / HTTP/1.0\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"
    );
    judge_all(vec![
        refused(
            "two",
            fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
            BAD,
        ),
        refused(
            "two the other way round",
            fields("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
            BAD,
        ),
        refused(
            "two alike",
            fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            BAD,
        ),
        refused(
            "a length before",
            fields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            BAD,
        ),
        refused(
            "a length behind",
            fields("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            BAD,
        ),
        refused(
            "a length of zero",
            fields("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
            BAD,
        ),
        refused("a bad length", fields("Content-Length: x\r\nTransfer-Encoding: chunked\r\n"), BAD),
        refused(
            "a length and a bad coding",
            fields("Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n"),
            BAD,
        ),
        refused("a space before the colon", fields("Transfer-Encoding : chunked\r\n"), BAD),
        refused("a tab before the colon", fields("Transfer-Encoding\t: chunked\r\n"), BAD),
        refused("a null in the name", fields("Transfer-\0Encoding: chunked\r\n"), BAD),
        refused("a folded value", fields("Transfer-Encoding:\r\n chunked\r\n"), BAD),
        refused("folded behind another", fields("X: y\r\n\tTransfer-Encoding: chunked\r\n"), BAD),
        refused(
            "behind a bare carriage return",
            fields("X: y\rTransfer-Encoding: chunked\r\n"),
            BAD,
        ),
        refused("behind a bare line feed", fields("X: y\nTransfer-Encoding: chunked\r\n"), BAD),
        refused(
            "named by Connection",
            fields("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n"),
            BAD,
        ),
        refused("in HTTP/1.0", old, BAD),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_where_it_says_and_the_next_one_begins_there() {
    let two = "GET /two HTTP/1.1\r\nHost: app.example\r\n\r\n";
    let in_length = post("Content-Length: 5\r\n", "hello");
    let in_chunks = post("Transfer-Encoding: chunked\r\n", CHUNKS);
    let then = |one: &[u8], other: &str| [one, other.as_bytes()].concat();
    let hidden = "hello GET /smuggled HTTP/1.1\r\nHost: app.example\r\n\r\n";
    let hidden_length = format!("Content-Length: {}\r\n", hidden.len());
    let hidden_chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let with_length = line("GET / HTTP/1.1", "Content-Length: 5\r\n");
    let with_chunks = line("DELETE / HTTP/1.1", "Transfer-Encoding: chunked\r\n");
    let old = line("POST / HTTP/1.0", "Content-Length: 5\r\n");
    let feeds = two.replace("\r\n", "\n");
    judge_all(vec![
        passes("two without content", then(&post("", ""), two), TWO),
        passes("one behind a length", then(&in_length, two), TWO),
        passes("one behind chunks", then(&in_chunks, two), TWO),
        passes("one behind an empty line", then(&in_length, &format!("\r\n{two}")), TWO),
        passes("a request in a length", post(&hidden_length, hidden), ONE),
        passes("a request in a chunk", post("Transfer-Encoding: chunked\r\n", &hidden_chunk), ONE),
        passes("content of a GET", then(&with_length, &format!("hello{two}")), TWO),
        passes("chunks of a DELETE", then(&with_chunks, &format!("{CHUNKS}{two}")), TWO),
        passes(
            "three",
            then(&in_chunks, &format!("{two}{}", two.replace("two", "three"))),
            &["/", "/two", "/three"],
        ),
        last("the last one", post("Connection: close\r\n", ""), ONE),
        last("the last one among other words", post("Connection: x, Close\r\n", ""), ONE),
        last(
            "the last one, said twice",
            post("Connection: keep-alive\r\nConnection: close\r\n", ""),
            ONE,
        ),
        last(
            "the last one, with content",
            post("Connection: close\r\nContent-Length: 5\r\n", "hello"),
            ONE,
        ),
        last("one of HTTP/1.0", line("GET / HTTP/1.0", ""), ONE),
        last("one of HTTP/1.0 with content", then(&old, "hello"), ONE),
        passes(
            "one of HTTP/1.0 that stays",
            line("GET / HTTP/1.0", "Connection: keep-alive\r\n"),
            ONE,
        ),
        refused_after("more content than was said", then(&in_length, "("), ONE, BAD),
        refused_after("line feeds behind content", then(&in_length, &feeds), ONE, BAD),
        refused_after("line feeds behind chunks", then(&in_chunks, &feeds), ONE, BAD),
        refused_after("two empty lines", then(&in_length, &format!("\r\n\r\n{two}")), ONE, BAD),
        refused_after("a bare line feed", then(&in_length, &format!("\n{two}")), ONE, BAD),
        refused_after(
            "a second one of another version",
            then(&in_length, &two.replace("1.1", "3.0")),
            ONE,
            &[505],
        ),
    ])
    .await;
}
